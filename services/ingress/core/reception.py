"""Reception: what becomes of a message while it comes in.

A small one is gathered and handed over as a whole. A large one is handed on as it
comes, so that its size costs no memory. A refused one is dropped, and read to its end.
"""

from kernel.model.envelope import INLINE_LIMIT, Body
from kernel.model.questions import BareLineEnds, Listener
from kernel.model.reply import Reply
from services.ingress.core import replies
from services.ingress.core.admission import (
    has_header,
    header_of,
    judge_head,
    judge_lines,
    judge_size,
)
from services.ingress.core.content import AsIs, LineEnds
from services.ingress.core.effects import Effect, Offer, Open, Pour, Rejected, Seal, Spill, Take

ROOM_FOR_TRACE = 2_048
"""Kept free for our own header fields, so that a content stays inline with them."""
_WHOLE = INLINE_LIMIT - ROOM_FOR_TRACE


class Reception:
    """Receives one message, for as long as nothing speaks against it.

    What is said of it hangs on its octets, and not on the pieces in which they came.
    """

    def __init__(self, offer: Offer, listener: Listener, max_hops: int) -> None:
        self._offer = offer
        self._max_size = listener.max_message_size
        self._max_hops = max_hops
        self._line_ends = _line_ends(offer, listener)
        self._size = 0
        self._gathered: list[bytes] = []
        self._is_open = False
        self._bad_head: Reply | None = None
        self.refusal: Reply | None = None
        """Why the message cannot be taken, or None."""

    def _judge(self) -> None:
        bad_body = replies.BARE_LINE_END if self._line_ends.is_bad else self._bad_head
        self.refusal = judge_size(self._size, self._max_size) or bad_body

    def feed(self, octets: bytes) -> list[Effect]:
        """Take in ``octets`` of the content; return what to do now."""
        return self._keep(self._line_ends.feed(octets))

    def finish(self) -> list[Effect]:
        """Return what to do at the end: `Take` or `Seal` it, or log why not."""
        rest = self._line_ends.finish()
        effects = self._keep(rest) if rest else []
        return effects + ([Seal()] if self._close() else self._hand_over())

    def abandon(self) -> list[Effect]:
        """Return what to do so that nothing of the message stays."""
        self._gathered.clear()
        return [Spill()] if self._close() else []

    def _close(self) -> bool:
        """Return whether it was open."""
        was_open, self._is_open = self._is_open, False
        return was_open

    def _keep(self, octets: bytes) -> list[Effect]:
        self._size += len(octets)
        self._judge()
        if self.refusal is not None:
            return self.abandon()
        if self._is_open:
            return [Pour(octets)] if octets else []
        self._gathered.append(octets)
        return self._open() if self._size > _WHOLE else []

    def _open(self) -> list[Effect]:
        content = self._take_gathered()
        if self.refusal is not None:
            return []
        self._is_open = True
        return [Open(self._offer, content[:_WHOLE]), Pour(content[_WHOLE:])]

    def _hand_over(self) -> list[Effect]:
        content = self._take_gathered()
        if self.refusal is not None:
            return [self.rejected(self.refusal)]
        return [Take(self._offer, content)]

    def rejected(self, reply: Reply) -> Rejected:
        """Return the note for the log that the message was refused with ``reply``."""
        return Rejected(self._offer.id, self._offer.sender, reply, self._offer.submitter)

    def _take_gathered(self) -> bytes:
        """Return what was gathered, judged for what only its header shows."""
        content = b"".join(self._gathered)
        self._gathered.clear()
        if self.refusal is None:
            self.refusal = self._bad_head = self._judge_head(content[:_WHOLE])
        return content

    def _judge_head(self, head: bytes) -> Reply | None:
        """Return why a message that begins with ``head`` is refused, or None.

        What the header of a binary one is made of is not looked at later, as its lines are not.
        """
        if self._offer.body is not Body.BINARY:
            return judge_head(head, self._max_hops)
        is_cut = len(header_of(head)) == _WHOLE and has_header(head)
        if is_cut:
            return replies.HEADER_TOO_BIG
        return judge_lines(head) or judge_head(head, self._max_hops)


def _line_ends(offer: Offer, listener: Listener) -> LineEnds | AsIs:
    if offer.body is Body.BINARY:
        return AsIs()
    return LineEnds(normalise=listener.bare_line_ends is BareLineEnds.NORMALISE)
