"""Content: finds the end of the data and undoes dot-stuffing (RFC 5321 §4.5.2), in big bites.

CRLF.CRLF alone ends the data (§4.1.1.4). A CR or LF that stands alone is noted: to
guess what it means is how messages are smuggled.
"""

_END = b"\r\n.\r\n"
_CRLF = b"\r\n"
_HOLD = len(_END) - 1


class ContentReader:
    """Reads one content. The octets it gives are the message, free of stuffing."""

    def __init__(self) -> None:
        self.size = 0
        self.bare_line_end = False
        self._held = _CRLF  # DATA's own line end counts: a lone dot may come first
        self._fresh = True

    def feed(self, octets: bytes) -> tuple[bytes, bytes | None]:
        """Return the content that is certain now, and what follows its end (None: not ended)."""
        octets = self._held + octets
        end = octets.find(_END)
        if end >= 0:
            return self._clean(octets[: end + len(_CRLF)]), octets[end + len(_END) :]
        cut = self._cut(octets)
        self._held = octets[cut:]
        return self._clean(octets[:cut]), None

    @staticmethod
    def _cut(octets: bytes) -> int:
        """Where to part what is certain from what may belong to an end or a stuffed dot."""
        cut = max(len(octets) - _HOLD, 0)
        if octets.endswith(b"\r", 0, cut):
            return cut - 1
        return cut - len(_CRLF) if octets.endswith(_CRLF, 0, cut) else cut

    def _clean(self, octets: bytes) -> bytes:
        if not octets:
            return octets
        unpaired = octets.replace(_CRLF, b"")
        if b"\r" in unpaired or b"\n" in unpaired:
            self.bare_line_end = True
        clean = octets.replace(b"\r\n.", _CRLF)
        if self._fresh:
            clean = clean[len(_CRLF) :]
            self._fresh = False
        self.size += len(clean)
        return clean
