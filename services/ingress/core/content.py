"""Content: the octets of a message, as they come by DATA or in chunks, in big bites.

A CR or LF that stands alone is never passed on as it came: what it means is a matter of
opinion, and two servers of different opinion are how messages are smuggled (RFC 5321 §2.3.8).
In a binary message it means nothing: that comes in chunks alone, and goes on in chunks alone.
"""

_CR, _LF, _CRLF = b"\r", b"\n", b"\r\n"
_END = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_HOLD = len(_END) - 1


class DataReader:
    """Reads what follows DATA: finds its end and undoes dot-stuffing (RFC 5321 §4.5.2).

    CRLF.CRLF alone is an end (§4.1.1.4), and a dot is stuffed after a CRLF alone.
    """

    def __init__(self) -> None:
        self._held = _CRLF  # DATA's own line end counts: a lone dot may come first
        self._fresh = True

    def feed(self, octets: bytes) -> tuple[bytes, bytes | None]:
        """Return the content that is certain now, and what follows its end (None: not ended)."""
        octets = self._held + octets
        end = _first_end(octets)
        if end >= 0:
            return self._unstuffed(octets[: end + len(_CRLF)]), octets[end + len(_END) :]
        cut = self._cut(octets)
        self._held = octets[cut:]
        return self._unstuffed(octets[:cut]), None

    @staticmethod
    def _cut(octets: bytes) -> int:
        """Where to part what is certain from what may belong to an end or a stuffed dot."""
        cut = max(len(octets) - _HOLD, 0)
        if octets.endswith(_CR, 0, cut):
            return cut - 1
        return cut - len(_CRLF) if octets.endswith(_CRLF, 0, cut) else cut

    def _unstuffed(self, octets: bytes) -> bytes:
        if not octets:
            return octets
        stuffed = octets.rfind(_STUFFED) >= 0  # as above
        content = octets.replace(_STUFFED, _CRLF) if stuffed else octets
        if self._fresh:
            content = content[len(_CRLF) :]
            self._fresh = False
        return content


def _first_end(octets: bytes) -> int:
    """Return where the first end begins, or -1.

    From behind, which is three times as fast; mostly there is one, or none.
    """
    last = octets.rfind(_END)
    has_more = last > 0 and octets.rfind(_END, 0, last + _HOLD) >= 0
    return octets.find(_END) if has_more else last


class AsIs:
    """Passes octets on: of a binary message no line ends anything (RFC 3030 §3)."""

    is_bad = False

    def feed(self, octets: bytes) -> bytes:
        """Return the content."""
        return octets

    def finish(self) -> bytes:
        """Return the rest of the content: nothing."""
        return b""


class LineEnds:
    """Sees to it that lines end with CRLF, whatever the pieces in which they come.

    Either a CR or LF that stands alone is noted, or it is made a CRLF.
    """

    def __init__(self, *, normalise: bool) -> None:
        self.is_bad = False
        """Whether one stood alone, and was left so."""
        self._normalise = normalise
        self._held = b""
        self._ends_line = True

    def feed(self, octets: bytes) -> bytes:
        """Return the content that is certain now: a last CR waits for what follows it."""
        octets = self._held + octets
        self._held = b""
        if octets.endswith(_CR):
            octets, self._held = octets[:-1], _CR
        return self._judged(octets)

    def finish(self) -> bytes:
        """Return the rest of the content, which ends its last line."""
        rest, self._held = self._judged(self._held), b""
        return rest if self._ends_line else rest + _CRLF

    def _judged(self, octets: bytes) -> bytes:
        if not octets:
            return octets
        if not octets.count(_CRLF) == octets.count(_LF) == octets.count(_CR):
            if self._normalise:
                octets = octets.replace(_CRLF, _LF).replace(_CR, _LF).replace(_LF, _CRLF)
            else:
                self.is_bad = True
        self._ends_line = octets.endswith(_CRLF)
        return octets
