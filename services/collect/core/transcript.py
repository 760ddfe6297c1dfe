"""Transcript: a message on its way out, part by part, as the wire wants it (RFC 1939 §3, §7)."""

import re

_BARE_LF = re.compile(rb"(?<!\r)\n")
_END = b".\r\n"


class Transcript:
    """Stuffs dots, and ends what ends too early; with ``lines``, cuts after so many of the body.

    Lines that end in LF alone, as other software writes them, get their CRLF.
    """

    def __init__(self, lines: int | None = None) -> None:
        self._head = None if lines is None else _Head(lines)
        self._held = b""  # a CR at the end of a part: perhaps LF follows
        self._is_at_start = True

    @property
    def is_partial(self) -> bool:
        """Whether it was never to be the whole message."""
        return self._head is not None

    @property
    def is_full(self) -> bool:
        """Whether nothing more of the message is wanted."""
        return self._head is not None and self._head.is_full

    def feed(self, octets: bytes) -> bytes:
        """Return the next part for the wire."""
        text = self._held + octets
        self._held = b"\r" if text.endswith(b"\r") else b""
        return self._spell(text.removesuffix(b"\r"))

    def end(self) -> bytes:
        """Return what ends the message."""
        last = b"" if self.is_full else self._spell(self._held)
        return last + _END if self._is_at_start else last + b"\r\n" + _END

    def _spell(self, text: bytes) -> bytes:
        if text.count(b"\n") != text.count(b"\r\n"):
            text = _BARE_LF.sub(b"\r\n", text)
        if self._head is not None:
            text = self._head.cut(text)
        if not text:
            return b""
        stuffed = text.replace(b"\n.", b"\n..")
        if self._is_at_start and text.startswith(b"."):
            stuffed = b"." + stuffed
        self._is_at_start = text.endswith(b"\n")
        return stuffed


class _Head:
    """The header, the blank line, and so many lines of the body (RFC 1939 §7, TOP)."""

    def __init__(self, lines: int) -> None:
        self._left = lines
        self._is_in_header = True
        self._is_at_start = True
        self.is_full = False

    def cut(self, text: bytes) -> bytes:
        """Return what is wanted of ``text``."""
        at = 0
        while not self.is_full and (end := text.find(b"\n", at)) >= 0:
            self._end_line(is_blank=self._is_at_start and text[at:end] == b"\r")
            self._is_at_start = True
            at = end + 1
        if self.is_full:
            return text[:at]
        self._is_at_start = self._is_at_start and at == len(text)
        return text

    def _end_line(self, *, is_blank: bool) -> None:
        if self._is_in_header:
            self._is_in_header = not is_blank
        else:
            self._left -= 1
        self.is_full = not self._is_in_header and self._left <= 0
