"""Body hash: what DKIM signs of a body (RFC 6376 §3.4, §3.7), reckoned while it comes in.

A body of any size costs a few octets here: empty lines at the end are counted, not kept.
"""

import hashlib
import re

from kernel.dkim.canon import Canon

_SPACES = re.compile(rb"[ \t]{2,}|\t")
_CR, _LF, _CRLF = b"\r", b"\n", b"\r\n"
_MANY = 4_096


class BodyHash:
    """Hashes one body in one canonical form, with SHA-256."""

    def __init__(self, canon: Canon) -> None:
        self._canon = canon
        self._hash = hashlib.sha256()
        self._loose = b" \r\n" if canon.relaxed else _CRLF
        self._empty_lines = 0
        self._tail = b""
        self._size = 0

    def feed(self, octets: bytes) -> None:
        """Take in the next octets of the body."""
        text = self._tail + octets
        if self._canon.relaxed:
            text = _SPACES.sub(b" ", text).replace(b" \r\n", _CRLF)
        loose = text[len(text.rstrip(self._loose)) :]
        loose = loose[_behind_bare_line_ends(loose) :]
        solid = text[: len(text) - len(loose)]
        if solid:
            self._add_empty_lines()
            self._add(solid)
        self._empty_lines += loose.count(_CRLF)
        self._tail = loose.rpartition(_CRLF)[2]

    def _add_empty_lines(self) -> None:
        """Add the line ends that have turned out not to be the last."""
        while self._empty_lines:
            some = min(self._empty_lines, _MANY)
            self._add(_CRLF * some)
            self._empty_lines -= some

    def _add(self, octets: bytes) -> None:
        limit = self._canon.limit
        room = len(octets) if limit is None else max(0, limit - self._size)
        self._hash.update(octets[:room])
        self._size += len(octets)

    def digest(self) -> bytes:
        """Return the hash, once there is no more. An empty body is one line if simple (§3.4.3)."""
        if _CR in self._tail:  # it stands alone, at the very end
            self._add_empty_lines()
            self._add(self._tail)
        self._empty_lines, self._tail = 0, b""
        if self._size or not self._canon.relaxed:
            self._add(_CRLF)
        return self._hash.digest()

    @property
    def is_partial(self) -> bool:
        """Whether there was more than the signature wants to cover."""
        return self._canon.limit is not None and self._size > self._canon.limit


def _behind_bare_line_ends(loose: bytes) -> int:
    """Return where nothing but empty lines is left: a CR or LF alone is content, if binary.

    The last CR may be half a line end yet.
    """
    bare = loose.replace(_CRLF, b"..").removesuffix(_CR)
    return max(bare.rfind(_CR), bare.rfind(_LF)) + 1
