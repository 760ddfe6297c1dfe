"""Debinary: makes a binary message one that lines can carry (RFC 3030 §3, RFC 2045 §6).

Parts that are said to be binary become base64; in all the rest lines end with CRLF, and a CR or
LF that stood alone is a line end. That is done while the octets pass by: a message of any size
costs no more memory than its longest header section.
"""

import re
from base64 import encodebytes
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from functools import lru_cache
from typing import Protocol

_CR, _LF, _CRLF = b"\r", b"\n", b"\r\n"
_MAX_HEADER = 131_072
"""Octets; a longer header section is taken for text."""
_DEEPEST = 30
"""Multiparts within multiparts; what is deeper is taken for text."""
_LONGEST_FIELD = 4_096
"""Octets; what a longer field says of the body is not read."""
_LONGEST_BOUNDARY = 200  # octets; RFC 2046 §5.1.1 has 70
_MOST_PARTS = 2_000
"""Each costs something, however small it is; what comes after them is taken for text."""
_PADDING = 99  # octets of white space that may follow a boundary, RFC 2046 §5.1.1
_LINE = 57  # octets that make a line of base64
_ENCODING = re.compile(
    rb"^content-transfer-encoding[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*",
    re.IGNORECASE | re.MULTILINE,
)
_ABOUT_BODY = re.compile(
    rb"^content-(?:type|transfer-encoding)[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*",
    re.IGNORECASE | re.MULTILINE,
)
_MESSAGES = frozenset({"message/rfc822", "message/global"})
_TEXT = "text/plain"


class _Writer(Protocol):
    """Writes the body of a part, piece by piece."""

    def feed(self, octets: bytes) -> bytes:
        """Return what is certain now."""

    def end(self) -> bytes:
        """Return the rest."""


class _Lines:
    """Ends every line with CRLF."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        octets = self._held + octets
        self._held = _CR if octets.endswith(_CR) else b""
        return _with_line_ends(octets.removesuffix(_CR))

    def end(self) -> bytes:
        return _CRLF if self._held else b""


class _Base64:
    """Writes lines of base64."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        octets = self._held + octets
        whole = len(octets) // _LINE * _LINE
        self._held = octets[whole:]
        return encodebytes(octets[:whole]).replace(_LF, _CRLF)

    def end(self) -> bytes:
        return encodebytes(self._held).replace(_LF, _CRLF)


@dataclass(frozen=True, slots=True)
class _Multipart:
    """A multipart that we are in. ``default`` is the type of parts that do not say theirs."""

    boundary: bytes
    default: str


class Debinary:
    """Converts one message. However its octets are cut, the same comes out."""

    def __init__(self) -> None:
        self._octets = b""
        self._around: list[_Multipart] = []  # the innermost last
        self._writer: _Writer | None = None  # none in a header section
        self._separator = 0  # octets of the empty line before a body that are still to come
        self._tail = _CRLF
        self._parts_left = _MOST_PARTS

    def feed(self, octets: bytes) -> bytes:
        """Take in the next octets; return what is certain now."""
        self._octets += octets
        return self._read(is_last=False)

    def finish(self) -> bytes:
        """Return the rest, which ends the last line."""
        rest = self._read(is_last=True)
        return rest if (self._tail + rest).endswith(_CRLF) else rest + _CRLF

    def _read(self, *, is_last: bool) -> bytes:
        read = []
        while (some := self._step(is_last=is_last)) is not None:
            read.append(some)
        octets = b"".join(read)
        self._tail = (self._tail + octets)[-2:]
        return octets

    def _step(self, *, is_last: bool) -> bytes | None:
        """Read a header section, or some of a body; None if there is too little of it."""
        if self._writer is None:
            return self._read_header(is_last=is_last)
        return self._read_body(self._writer, is_last=is_last)

    def _read_header(self, *, is_last: bool) -> bytes | None:
        octets = _CRLF + self._octets  # whatever came before has ended its line
        end = octets.find(_CRLF + _CRLF)
        delimiter = self._delimiter(octets, is_last=is_last)
        if delimiter is not None and not 0 <= end < delimiter.start():
            section = octets[len(_CRLF) : delimiter.start()]
            return _with_line_ends(section) + self._cross(delimiter)
        if end >= 0:
            self._octets = octets[end + len(_CRLF) :]
            return self._begin_body(octets[len(_CRLF) : end + len(_CRLF)])
        if is_last or len(octets) > _MAX_HEADER:
            self._writer = _Lines()
            return b""
        return None

    def _begin_body(self, section: bytes) -> bytes:
        """Return the header section as it goes on; what follows is read by what it says."""
        header = _Header.of(_with_line_ends(section), self._default_type)
        if header.boundary and len(self._around) < _DEEPEST:
            default = "message/rfc822" if header.type == "multipart/digest" else _TEXT
            self._around.append(_Multipart(header.boundary, default))
        elif header.type in _MESSAGES and not header.is_encoded and self._parts_left > 0:
            self._parts_left -= 1
            self._octets = self._octets[len(_CRLF) :]  # the empty line; another section follows
            return header.relabelled(b"8bit") + _CRLF
        self._separator = len(_CRLF)
        if header.is_binary and not header.is_composite:
            self._writer = _Base64()
            return header.relabelled(b"base64")
        self._writer = _Lines()
        return header.relabelled(b"8bit")

    @property
    def _default_type(self) -> str:
        return self._around[-1].default if self._around else _TEXT

    def _read_body(self, writer: _Writer, *, is_last: bool) -> bytes | None:
        delimiter = self._delimiter(self._octets, is_last=is_last)
        if delimiter is not None:
            body = self._octets[: delimiter.start()]
            return self._write(writer, body) + writer.end() + self._cross(delimiter)
        keep = 0 if is_last else self._longest
        body = self._octets[: max(0, len(self._octets) - keep)]
        self._octets = self._octets[len(body) :]
        if is_last:
            rest = self._write(writer, body) + writer.end()
            self._writer = _Lines()
            return rest or None
        return self._write(writer, body) if body else None

    def _write(self, writer: _Writer, body: bytes) -> bytes:
        separator = body[: self._separator]
        self._separator -= len(separator)
        return separator + writer.feed(body[len(separator) :])

    def _delimiter(self, octets: bytes, *, is_last: bool) -> re.Match[bytes] | None:
        if not self._around:
            return None
        return _delimiters(tuple(one.boundary for one in self._around), is_last).search(octets)

    @property
    def _longest(self) -> int:
        """How many octets a line that parts one body from the next may have."""
        longest = max((len(one.boundary) for one in self._around), default=0)
        return longest + _PADDING + len(b"\r\n----\r\n") if longest else 0

    def _cross(self, delimiter: re.Match[bytes]) -> bytes:
        """Return the line that ends a part; read on in the multipart that it is of."""
        while self._around[-1].boundary != delimiter[1]:
            self._around.pop()
        self._octets = delimiter.string[delimiter.end() :]
        self._separator = 0
        self._parts_left -= 1
        if delimiter[2]:
            self._around.pop()
        is_enough = self._parts_left <= 0
        if is_enough:
            self._around.clear()
        if delimiter[2] or is_enough:
            self._writer = _Lines()
            return delimiter[0]
        self._octets = self._octets[len(_CRLF) :]
        self._writer = None
        return delimiter[0] + _CRLF


@dataclass(frozen=True, slots=True)
class _Header:
    """What a header section says of the body that follows."""

    section: bytes
    type: str
    encoding: str
    boundary: bytes

    @classmethod
    def of(cls, section: bytes, default_type: str) -> "_Header":
        """Read ``section``, by a parser that takes whatever comes."""
        fields = (field[0] for field in _ABOUT_BODY.finditer(section))
        said = _CRLF.join(field for field in fields if len(field) <= _LONGEST_FIELD)
        message: Message = message_from_bytes(said + _CRLF)
        message.set_default_type(default_type)
        kind = message.get_content_type()
        words = str(message.get("Content-Transfer-Encoding", "")).lower().split()
        text = message.get_boundary("") if kind.startswith("multipart/") else ""
        boundary = text.encode("utf-8", "replace")
        if len(boundary) > _LONGEST_BOUNDARY:
            boundary = b""
        return cls(section, kind, words[0] if words else "", boundary)

    @property
    def is_binary(self) -> bool:
        """Whether the body may hold any octets."""
        return self.encoding == "binary"

    @property
    def is_encoded(self) -> bool:
        """Whether the body is not what it stands for."""
        return self.encoding in {"base64", "quoted-printable"}

    @property
    def is_composite(self) -> bool:
        """Whether the body may not be encoded as a whole (RFC 2045 §6.4)."""
        return self.type.startswith("multipart/") or self.type in _MESSAGES

    def relabelled(self, encoding: bytes) -> bytes:
        """Return the section; what was called binary is called ``encoding``."""
        if not self.is_binary:
            return self.section
        return _ENCODING.sub(b"Content-Transfer-Encoding: " + encoding, self.section)


@lru_cache(maxsize=256)
def _delimiters(boundaries: tuple[bytes, ...], is_last: bool) -> re.Pattern[bytes]:  # noqa: FBT001 - private, and cached
    """Match a line that begins or ends a part of any of these multiparts (RFC 2046 §5.1.1)."""
    names = b"|".join(re.escape(name) for name in sorted(set(boundaries), key=len, reverse=True))
    end = rb"(?=\r\n|\Z)" if is_last else rb"(?=\r\n)"
    return re.compile(rb"\r\n--(%b)(--)?[ \t]{0,%d}%b" % (names, _PADDING, end))


def _with_line_ends(octets: bytes) -> bytes:
    if octets.count(_CRLF) == octets.count(_LF) == octets.count(_CR):
        return octets
    return octets.replace(_CRLF, _LF).replace(_CR, _LF).replace(_LF, _CRLF)
