"""Fingerprints: what names a certificate, in one form however it was written."""

import re

_SHA256 = re.compile(r"(?:sha-?256(?: fingerprint)?[:=] ?)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})")


class BadFingerprintError(ValueError):
    """The text is no fingerprint."""


def parse_fingerprint(text: str) -> str:
    """Return ``sha256:`` and 64 digits, also of what OpenSSL prints; or raise."""
    match = _SHA256.fullmatch(text.strip().lower())
    if match is None:
        raise BadFingerprintError(
            f"{text!r} is no fingerprint: write sha256: and the 64 digits that "
            "`openssl x509 -fingerprint -sha256` prints"
        )
    return "sha256:" + match[1].replace(":", "")
