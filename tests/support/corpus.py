"""Awkward messages, as they come in real life: what signatures break on, if they do.

Modelled on what mail programs, gateways, lists and spam cannons send. Every one is whole, as it
stands on the wire; `FROM_OURS` are by somebody at ours.test.
"""

RECEIVED = (
    b"Received: from [192.0.2.7] ([192.0.2.7])\r\n\tby mx.ours.test with ESMTPSA (TLSv1.3 X)\r\n"
    b"\tid 01kdq5h4g0 for <bob@elsewhere.test> (rule authenticated);\r\n"
    b"\tMon, 05 Jan 2026 12:00:00 +0000\r\n"
)
_PLAIN = (
    b"From: Ann Lee <ann@ours.test>\r\nTo: bob@elsewhere.test\r\nSubject: hello\r\n"
    b"Date: Mon, 05 Jan 2026 12:00:00 +0000\r\nMessage-ID: <1@ours.test>\r\n"
)
_MIME = _PLAIN + b"MIME-Version: 1.0\r\n"

FROM_OURS = {
    "plain": _PLAIN + b"\r\nhi\r\n",
    "no body, no empty line": _PLAIN,
    "no body": _PLAIN + b"\r\n",
    "no line end at the end": _PLAIN + b"\r\nhi",
    "blanks and no line end at the end": _PLAIN + b"\r\nhi \t ",
    "nothing but blanks": _PLAIN + b"\r\n \t \r\n\t\r\n",
    "nothing but empty lines": _PLAIN + b"\r\n\r\n\r\n\r\n",
    "empty lines at the end": _PLAIN + b"\r\nhi\r\n\r\n\r\n\r\n",
    "blank lines at the end": _PLAIN + b"\r\nhi\r\n  \r\n\t\r\n",
    "empty lines at the start": _PLAIN + b"\r\n\r\n\r\nhi\r\n",
    "blanks at line ends": _PLAIN + b"\r\nhi  there \r\n\ttabs\t\t \r\n  indented\r\n",
    "dots at line starts": _PLAIN + b"\r\n.\r\n..\r\n.hidden\r\nend.\r\n.",
    "format=flowed": _MIME
    + b"Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\r\n\r\n"
    + b"a line that goes \r\non, and a signature\r\n\r\n-- \r\nAnn\r\n",
    "folded with tabs": b"From: Ann Lee\r\n\t<ann@ours.test>\r\nTo: bob@elsewhere.test,\r\n"
    b"\tcat@elsewhere.test,\r\n        dan@elsewhere.test\r\n"
    b"Subject: a\r\n \t subject   with \t blanks \r\n\tin it \r\n\r\nhi\r\n",
    "folded at once": b"From:\r\n ann@ours.test\r\nSubject:\r\n\tlate\r\n"
    b"References:\r\n <1@ours.test>\r\n <2@ours.test>\r\n\r\nhi\r\n",
    "a fold of blanks alone": b"From: ann@ours.test\r\nSubject: x\r\n \r\n\t\r\n y\r\n\r\nhi\r\n",
    "odd case": b"fROM: <ANN@OURS.TEST>\r\nsUBJECT: x\r\nMESSAGE-id: <X@Y>\r\n\r\nhi\r\n",
    "empty values": b"From: ann@ours.test\r\nSubject:\r\nTo: \r\nCc:\t\r\nReply-To:\r\n\r\nhi\r\n",
    "two subjects": b"Subject: one\r\nFrom: ann@ours.test\r\nSubject: two\r\nTo: b@x.test\r\n"
    b"To: c@x.test\r\n\r\nhi\r\n",
    "a line that is very long": _PLAIN + b"\r\n" + b"x" * 998 + b"\r\n" + b"y " * 499 + b"\r\n",
    "a field that is very long": b"From: ann@ours.test\r\nSubject: " + b"word " * 190 + b"\r\n"
    b"References: " + b"\r\n ".join(b"<%d@list.elsewhere.test>" % n for n in range(200)) + b"\r\n"
    b"\r\nhi\r\n",
    "encoded words": b"From: =?iso-8859-1?Q?J=FCrgen_M=FCller?= <ann@ours.test>\r\n"
    b"Subject: =?UTF-8?B?w6TDtsO8?=\r\n =?UTF-8?Q?_=E2=82=AC?=\r\n\r\nhi\r\n",
    "comments and quotes in From": b'From: "Lee, Ann (sales)" <ann@ours.test> (at (the) desk)\r\n'
    b"Sender: desk@ours.test\r\n\r\nhi\r\n",
    "groups beside": b"From: ann@ours.test\r\nTo: undisclosed-recipients:;\r\n\r\nhi\r\n",
    "8-bit body": _MIME + b"Content-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe \xa0 \xa4\r\n",
    "8-bit header": b"From: J\xfcrgen <ann@ours.test>\r\nSubject: Gr\xfc\xdfe\r\n\r\nhi\r\n",
    "SMTPUTF8": "From: Jürgen <jürgen@ours.test>\r\nTo: 漢@elsewhere.test\r\nSubject: Größe €\r\n"
    "\r\nGrüße\r\n".encode(),
    "multipart with a preamble": _MIME
    + b'Content-Type: multipart/mixed;\r\n boundary="=_b 1"\r\n\r\nThis is MIME.\r\n'
    + b"--=_b 1\r\nContent-Type: text/plain\r\n\r\nhi \r\n\r\n--=_b 1\r\n"
    + b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + (b"QUJD" * 18 + b"\r\n") * 40
    + b"\r\n--=_b 1--\r\nepilogue\r\n\r\n",
    "broken MIME": _MIME
    + b"Content-Type: multipart/mixed; boundary=x\r\nContent-Type: text/html\r\n"
    b"Content-Transfer-Encoding: nonsense\r\n\r\n--x\r\n\r\n--y--\r\n<html>\r\n",
    "signed by others": b"DKIM-Signature: v=1; a=rsa-sha256; d=x.test; s=x; h=from; bh=AAAA;\r\n"
    b"\tb=AAAA\r\nAuthentication-Results: mx.x.test; dkim=pass\r\n" + _PLAIN + b"\r\nhi\r\n",
    "from a list": b"List-Id: <l.ours.test>\r\nList-Unsubscribe: <https://ours.test/u>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nPrecedence: list\r\n"
    + _PLAIN
    + b"In-Reply-To: <0@x.test>\r\nAuto-Submitted: auto-generated\r\n\r\nhi\r\n",
    "resent": b"Resent-From: ann@ours.test\r\nResent-To: cat@x.test\r\nResent-Date: now\r\n"
    b"Resent-From: ann@ours.test\r\n" + _PLAIN + b"\r\nhi\r\n",
    "control characters": _PLAIN + b"X-Bell: \x07\r\n\r\n\x0c\x1b[1mbold\x00\r\n",
    "one field name after another": b"From: ann@ours.test\r\n"
    + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(500))
    + b"\r\nhi\r\n",
    "html in one line": _MIME
    + b"Content-Type: text/html\r\n\r\n<p>"
    + b"<b>x</b> " * 100
    + b"\r\n",
    "as large as a blob": _PLAIN + b"\r\n" + b"The quick brown  fox. \r\n" * 4_000 + b"\r\n\r\n",
}
FROM_OURS = {name: RECEIVED + octets for name, octets in FROM_OURS.items()}

BLANKS_BEFORE_COLONS = (
    RECEIVED + b"From : ann@ours.test\r\nSubject\t: x\r\nTO:bob@elsewhere.test\r\n\r\nhi\r\n"
)
"""As RFC 5322 §4.5 still has it read; dkimpy does not."""
