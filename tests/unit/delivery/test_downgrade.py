"""8-bit messages as a 7-bit server gets them, or does not."""

from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.core.downgrade import downgraded, fit_for

PLAIN = "Content-Type: text/plain; charset=utf-8\n"
EIGHT_BIT = "Content-Transfer-Encoding: 8bit\n"
MIXED = 'Content-Type: multipart/mixed; boundary="=_b"\n'


def wire(text):
    return text.replace("\n", "\r\n").encode()


def mail(fields, body):
    return wire(f"From: ann@ours.test\nSubject: x\nMIME-Version: 1.0\n{fields}\n{body}")


def texts(octets):
    """Return what a reader sees: each part's type and decoded content."""
    message = message_from_bytes(octets, policy=default)
    parts = [part for part in message.walk() if not part.is_multipart()]
    return [(part.get_content_type(), part.get_payload(decode=True)) for part in parts]


@pytest.mark.parametrize(
    ("octets", "encodings"),
    [
        (mail(PLAIN + EIGHT_BIT, "Grüße\n"), ["quoted-printable"]),
        (mail(PLAIN, "declared 7-bit: Grüße\n"), ["quoted-printable"]),
        (mail(PLAIN + "Content-Transfer-Encoding: BINARY\n", "ö\n"), ["quoted-printable"]),
        (mail(PLAIN + EIGHT_BIT, "blank ends \nöö\t\n\n\n"), ["quoted-printable"]),
        (mail(PLAIN + EIGHT_BIT, f"{'ü' * 400}\n.\n..\nFrom ö\n=3D\n"), ["quoted-printable"]),
        (mail(PLAIN + EIGHT_BIT, "no end of line: ß"), ["quoted-printable"]),
        (mail(PLAIN + EIGHT_BIT, "\nö"), ["quoted-printable"]),
        (mail("Content-Type: image/x; name=a\n" + EIGHT_BIT, "\0ö\n" * 90), ["base64"]),
        (
            mail(
                MIXED + EIGHT_BIT,
                "For old readers.\n--=_b\n"
                f"{PLAIN}{EIGHT_BIT}\nGrüße\n--=_b\n"
                f"{PLAIN}Content-Transfer-Encoding: base64\n\nw7Y=\n--=_b\n"
                f"Content-Type: application/pdf\n{EIGHT_BIT}\n%PDF ö\n--=_b--\nThe end.\n",
            ),
            ["quoted-printable", "base64", "base64"],
        ),
        (
            mail(
                MIXED,
                f"--=_b\n{PLAIN}\nplain\n--=_b\nContent-Type: message/rfc822\n{EIGHT_BIT}\n"
                f"Subject: inner\nMIME-Version: 1.0\n{PLAIN}{EIGHT_BIT}\nGrüße\n--=_b--\n",
            ),
            [None, "quoted-printable"],
        ),
        (mail(PLAIN + "X-Long:\n\tfolded\n    oddly\n" + EIGHT_BIT, "ö\n"), ["quoted-printable"]),
    ],
)
def test_a_7bit_message_says_the_same(octets, encodings):
    result = downgraded(octets)

    assert result.isascii()
    assert texts(result) == texts(octets)
    assert all(len(line) <= 998 for line in result.split(b"\r\n"))
    assert b"\n" not in result.replace(b"\r\n", b"")
    message = message_from_bytes(result)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert [part["Content-Transfer-Encoding"] for part in leaves] == encodings
    assert b"8bit" not in result


def test_what_is_not_concerned_stays_octet_by_octet():
    octets = mail(
        MIXED, f"--=_b\nContent-Type: TEXT/x;\n  a=b\n\n odd \t\n\n--=_b\n{PLAIN}\nö\n--=_b--\n"
    )

    before, _, after = downgraded(octets).partition(b"--=_b\r\nContent-Type: text/plain")

    assert octets.startswith(before)
    assert after.endswith(b"--=_b--\r\n")


SIGNED = 'Content-Type: multipart/signed; micalg=x; protocol="p"; boundary="=_b"\n'


@pytest.mark.parametrize(
    "octets",
    [
        wire("Subject: x\n\nno MIME: Grüße\n"),
        wire(f"DKIM-Signature: v=1\nMIME-Version: 1.0\n{PLAIN}\nGrüße\n"),
        wire(f"ARC-Message-Signature: i=1\nMIME-Version: 1.0\n{PLAIN}\nGrüße\n"),
        mail(SIGNED, f"--=_b\n{PLAIN}\nGrüße\n--=_b\nContent-Type: application/x\n\nx\n--=_b--\n"),
        mail("Content-Type: application/pkcs7-mime\n", "ö\n"),
        mail(PLAIN, "-----BEGIN PGP SIGNED MESSAGE-----\nö\n"),
        mail(PLAIN + "X-Name: Größe\n", "x\n"),
        mail(PLAIN + "Content-Transfer-Encoding: base64\n", "ö\n"),
        mail(PLAIN + "Content-Transfer-Encoding: x-odd\n", "ö\n"),
        mail(MIXED, f"preamble ö\n--=_b\n{PLAIN}\nx\n--=_b--\n"),
        mail(MIXED, f"--=_b\n{PLAIN}\nx\n--=_b--\nepilogue ö\n"),
        mail(MIXED, f"--=_b\n{PLAIN}\nö, and no end\n"),
        mail("Content-Type: message/partial; id=a; number=1\n", "ö\n"),
        mail("Content-Type: message/rfc822\n", "Subject: old\n\nö\n"),
        mail(
            "Content-Type: message/rfc822\n",
            f"DKIM-Signature: v=1\nMIME-Version: 1.0\n{PLAIN}\nö\n",
        ),
        "".join(
            f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{n}"\r\n\r\n--{n}\r\n'
            for n in range(2_000)
        ).encode()
        + b"\xff",
    ],
    ids=[
        "no MIME",
        "DKIM",
        "ARC",
        "signed",
        "S/MIME",
        "PGP",
        "8-bit header",
        "8-bit base64",
        "unknown encoding",
        "preamble",
        "epilogue",
        "no last boundary",
        "a part of a message",
        "an old message within",
        "a signed message within",
        "nested without end",
    ],
)
def test_some_messages_stay_as_they_are(octets):
    assert downgraded(octets) is None


@pytest.mark.parametrize("offers", [{"8BITMIME": ""}, {}])
def test_it_is_done_where_it_must_be(offers):
    octets = mail(PLAIN, "ö\n")

    assert (fit_for(offers, octets) == octets) == bool(offers)
    assert fit_for({}, b"\xff") == b"\xff"


words = st.sampled_from(
    [
        "MIME-Version: 1.0\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
        'Content-Type: multipart/mixed; boundary="b"\r\n',
        "Content-Type: message/rfc822\r\n",
        "Content-Type: message/delivery-status\r\n",
        "Content-Type:",
        "Content-Transfer-Encoding: 8bit\r\n",
        "Content-Transfer-Encoding: ",
        "\r\n",
        "\r\n\r\n",
        "--b\r\n",
        "\r\n--b--\r\n",
        "ö",
        "a: b\r\n",
        " ",
        "=",
        "\n",
        "\r",
        "\0",
    ]
)


@given(st.lists(words | st.text(max_size=5), max_size=25))
def test_whatever_comes_it_is_7bit_and_says_the_same_or_nothing(pieces):
    octets = ("MIME-Version: 1.0\r\n" + "".join(pieces)).encode()

    result = downgraded(octets)

    if result is not None:
        assert result.isascii()
        assert texts(result) == texts(octets)
