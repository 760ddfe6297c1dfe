"""Authentication results: what we found out about a message, as a header field (RFC 8601)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kernel.dkim.fields import HeaderField, join_header, split_header

NAME = "Authentication-Results"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~@]+")
_PIECE = re.compile(r"\\.|[()]|[^\\()\s]+", re.DOTALL)
_SERVER = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;/()"]+))')
_ENOUGH = 2_000
"""Octets in which an author must have named itself: comments can be nested without end."""


@dataclass(frozen=True, slots=True)
class AuthResult:
    """One method and what came of it, such as ``spf=pass smtp.mailfrom=x.test`` (§2.2)."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        parts = [f"{self.method}={self.result}"]
        if self.reason:
            parts.append(f'reason="{_quotable(self.reason)}"')
        parts += [f"{name}={_value(value)}" for name, value in self.properties if value]
        return " ".join(parts)


def field_for(hostname: str, results: Iterable[AuthResult]) -> bytes:
    """Return the field, ready to stand before a message."""
    found = [str(result) for result in results] or ["none"]
    parts = ";\r\n\t".join([hostname, *found])
    return f"{NAME}: {parts}\r\n".encode()


def without_forged(header: bytes, hostname: str) -> bytes:
    """Return ``header`` without the fields that claim to be ours (§5).

    A field whose author cannot be read goes as well: another reader may think it ours.
    """
    if NAME.lower().encode() not in header.lower():
        return header
    fields = split_header(header)
    return join_header(field for field in fields if not _claims_to_be(field, hostname))


def _claims_to_be(field: HeaderField, hostname: str) -> bool:
    if field.name != NAME.lower():
        return False
    text = field.value[:_ENOUGH].decode("utf-8", "replace")
    match = _SERVER.match(text, _behind_comments(text))
    if match is None:
        return True
    server = match[2] if match[1] is None else re.sub(r"\\(.)", r"\1", match[1])
    return server.rstrip(".").lower() == hostname.rstrip(".").lower()


def _behind_comments(text: str) -> int:
    """Return where something stands that is in no comment (RFC 5322 §3.2.2): they can be nested."""
    depth = 0
    for piece in _PIECE.finditer(text):
        if not depth and piece[0] != "(":
            return piece.start()
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
    return len(text)


def _value(text: str) -> str:
    """Return ``text`` as a value: a token, or else quoted (RFC 2045 §5.1)."""
    return text if _TOKEN.fullmatch(text) else f'"{_quotable(text)}"'


def _quotable(text: str) -> str:
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:200]
    return plain.replace("\\", "\\\\").replace('"', '\\"')
