"""Lines: cuts what a client sends into command lines (RFC 5321 §2.3.8: only CRLF ends one)."""

MAX_LINE = 12_288
"""The longest line that any command may have, without its CRLF (RFC 4954 §4)."""

_CRLF = b"\r\n"


class Lines:
    """Keeps what has not been read yet; of an endless line no more than `MAX_LINE` octets and one.

    So a line that is too long still comes out once it ends, cut off, and longer than `MAX_LINE`.
    """

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0
        self._overlong: bytes | None = None
        self.is_drained = True
        """Whether nothing is left, not even half a line."""

    def feed(self, octets: bytes) -> None:
        """Put ``octets`` at the end of the queue."""
        if self._overlong is not None:
            self._octets += octets
            self._skip()
        elif self.is_drained:
            self._octets = octets
        else:
            self._octets = self._octets[self._at :] + octets
        self._at = 0
        self.is_drained = not self._octets

    def next(self) -> bytes | None:
        """Take the next line, without its CRLF; None if it has not come in full."""
        end = self._octets.find(_CRLF, self._at)
        if end < 0 or self._overlong is not None:
            self._bound()
            return None
        line = self._octets[self._at : end]
        self._at = end + len(_CRLF)
        self.is_drained = self._at == len(self._octets)
        return line

    def follows(self, verb: bytes) -> bool:
        """Return whether the next line is there in full and begins with ``verb``."""
        if self.is_drained:
            return False
        start = self._octets[self._at : self._at + len(verb)]
        return start.upper() == verb and self._octets.find(_CRLF, self._at) > 0

    def take(self, most: int | None = None) -> bytes:
        """Take everything that is there, or ``most`` octets of it, be they lines or not."""
        if most is None or most >= len(self._octets) - self._at:
            octets = self._octets[self._at :]
            self.clear()
            return octets
        self._at += most
        return self._octets[self._at - most : self._at]

    def clear(self) -> None:
        """Forget what is there."""
        self._octets, self._at, self._overlong, self.is_drained = b"", 0, None, True

    def _bound(self) -> None:
        if self._overlong is None and len(self._octets) - self._at > MAX_LINE + len(_CRLF):
            self._overlong = self._octets[self._at : self._at + MAX_LINE + 1]
            self._octets, self._at = self._octets[-1:], 0

    def _skip(self) -> None:
        end = self._octets.find(_CRLF)
        if end < 0:
            self._octets = self._octets[-1:]
            return
        self._octets = (self._overlong or b"") + self._octets[end:]
        self._overlong = None
