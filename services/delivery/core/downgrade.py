"""Downgrade: an 8-bit message made 7-bit, for a server without 8BITMIME (RFC 6152 §3)."""

import re
from binascii import a2b_qp, b2a_qp
from collections.abc import Mapping
from email.encoders import encode_base64
from email.errors import MessageError
from email.generator import BytesGenerator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from io import BytesIO

_AS_IT_CAME = compat32.clone(linesep="\r\n", max_line_length=0, mangle_from_=False)
_SIGNATURES = ("DKIM-Signature", "ARC-Message-Signature", "DomainKey-Signature")
_SEALED = frozenset(
    {
        "multipart/signed",
        "multipart/encrypted",
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
    }
)
_PGP = b"-----BEGIN PGP"
_AFTER_NAME = re.compile(rb"^([!-9;-~]+:)[ \t]+", re.MULTILINE)
_AT_A_LOSS = (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""What `email` may come to with a message that is broken, or made to break it."""
_UNENCODED = frozenset({"", "7bit", "8bit", "binary"})


class _CannotError(Exception):
    """Something would be changed that must stay as it is."""


def fit_for(offers: Mapping[str, str], octets: bytes) -> bytes:
    """Return ``octets`` as a server with ``offers`` can have them, if that is possible.

    Comes before a signature of ours: behind it, nothing may change any more.
    """
    if "8BITMIME" in offers or octets.isascii():
        return octets
    return downgraded(octets) or octets


def downgraded(octets: bytes) -> bytes | None:
    """Return ``octets`` as 7-bit MIME that says the same, or ``None`` where that is not safe.

    Texts become quoted-printable, other parts base64. Not safe are signed and encrypted
    messages, 8-bit headers, contents that no MIME field describes, and whatever would not be
    written as it was read.
    """
    if _PGP in octets:
        return None
    try:
        message = BytesParser(policy=_AS_IT_CAME).parsebytes(octets)
        if "MIME-Version" not in message or _rough(_written(message)) != _rough(octets):
            return None
        for part in message.walk():
            _downgrade(part)
        result = _written(message)
    except (_CannotError, *_AT_A_LOSS):
        return None
    return result if result.isascii() else None


def _downgrade(part: Message) -> None:
    kind = part.get_content_type()
    if kind in _SEALED or any(name in part for name in _SIGNATURES):
        raise _CannotError
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    if kind == "message/rfc822" and not all(
        "MIME-Version" in inner for inner in part.get_payload()
    ):
        raise _CannotError
    if part.is_multipart():
        if encoding in ("8bit", "binary"):
            part.replace_header("Content-Transfer-Encoding", "7bit")
        return
    payload = part.get_payload(decode=True) if encoding in _UNENCODED else b""
    if not isinstance(payload, bytes):
        raise _CannotError
    if payload.isascii():
        if encoding in ("8bit", "binary"):
            part.replace_header("Content-Transfer-Encoding", "7bit")
        return
    if kind.startswith("message/"):  # what is no multipart here may only be 7-bit (RFC 2046 §5.2)
        raise _CannotError
    _encode(part, payload, text=kind.startswith("text/"))


def _encode(part: Message, payload: bytes, *, text: bool) -> None:
    del part["Content-Transfer-Encoding"]
    quoted = b2a_qp(payload, istext=True) if text else b""
    if text and a2b_qp(quoted) == payload:
        part["Content-Transfer-Encoding"] = "quoted-printable"
        part.set_payload(quoted.decode("ascii"))
    else:
        part.set_payload(payload)
        encode_base64(part)


def _written(message: Message) -> bytes:
    file = BytesIO()
    BytesGenerator(file, policy=_AS_IT_CAME).flatten(message)
    return file.getvalue()


def _rough(octets: bytes) -> bytes:
    """Return ``octets`` without what may change: the blank between a field's name and its body."""
    return _AFTER_NAME.sub(b"\\1", octets)
