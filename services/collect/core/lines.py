"""Lines: cuts what a client sends into command lines. LF alone ends one, too: it hurts nobody."""

_LF = b"\n"


class Lines:
    """Keeps what has not been read yet; of an endless line no more than a little over ``limit``.

    So a line that is too long still comes out once it ends, cut off, and longer than ``limit``.
    """

    def __init__(self, limit: int) -> None:
        self._most = limit + 2  # room for CR, and for one octet that tells of all the others
        self._octets = bytearray()

    def feed(self, octets: bytes) -> None:
        """Put ``octets`` at the end of the queue."""
        self._octets += octets

    def next(self) -> bytes | None:
        """Take the next line, without its end; None if it has not come in full."""
        end = self._octets.find(_LF)
        if end < 0:
            del self._octets[self._most :]
            return None
        line = bytes(self._octets[: min(end, self._most)])
        del self._octets[: end + 1]
        return line.removesuffix(b"\r")

    def clear(self) -> None:
        """Forget what is there."""
        self._octets.clear()
