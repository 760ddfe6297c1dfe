"""Admission: may this content come in? The checks that need nothing but its octets."""

import re

from kernel.model.reply import Reply
from services.ingress.core import replies

_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_END_OF_HEADER = b"\r\n\r\n"


def judge_head(head: bytes, max_hops: int) -> Reply | None:
    """Return why a message that begins with ``head`` is refused, or None.

    More ``Received`` fields than any honest way has are a loop (RFC 5321 §6.3).
    """
    header = header_of(head)
    if header.count(b"\n") < max_hops:  # not even with one field a line
        return None
    return replies.TOO_MANY_HOPS if len(_RECEIVED.findall(header)) > max_hops else None


def judge_lines(head: bytes) -> Reply | None:
    """Return why a binary message that begins with ``head`` is refused, or None.

    Whatever the body, a header is made of lines (RFC 3030 §3).
    """
    header = header_of(head).removesuffix(b"\r")  # where it was cut
    if has_header(head) and not header.count(b"\r\n") == header.count(b"\r") == header.count(b"\n"):
        return replies.BARE_LINE_END
    return None


def judge_size(size: int, max_size: int) -> Reply | None:
    """Return the refusal of a message of so many octets, or None; no limit if ``max_size`` is 0."""
    return replies.TOO_BIG if 0 < max_size < size else None


def header_of(head: bytes) -> bytes:
    """Return the header section at the start of ``head``."""
    if head.startswith(b"\r\n"):
        return b""
    end = head.find(_END_OF_HEADER)
    return head if end < 0 else head[: end + 2]


def has_header(head: bytes) -> bool:
    """Return whether ``head`` begins with a header section, be it an empty one."""
    return head.startswith(b"\r\n") or _FIELD.match(head) is not None
