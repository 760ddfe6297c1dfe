"""Stuffing: a content as it follows DATA, in SMTP and LMTP alike (RFC 5321 §4.5.2)."""


class Stuffer:
    """Makes a content fit for DATA (RFC 5321 §4.5.2), chunk by chunk.

    A dot after a bare LF is doubled too: no server can then be made to see an
    end of data that we did not write.
    """

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        """Return ``chunk`` with the dots doubled that begin a line."""
        if not chunk:
            return chunk
        begins_line = self._tail.endswith(b"\n")
        self._tail = (self._tail + chunk[-2:])[-2:]
        stuffed = chunk.replace(b"\n.", b"\n..")
        return b"." + stuffed if begins_line and chunk.startswith(b".") else stuffed

    def end(self) -> bytes:
        """Return the end of data; begins with a line end if the content had none."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


def stuffed(octets: bytes) -> bytes:
    """Return a whole content as it follows 354, its end included."""
    stuffer = Stuffer()
    return stuffer.feed(octets) + stuffer.end()
