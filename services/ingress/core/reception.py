"""Reception: what becomes of a message while it comes in.

A small one is gathered and handed over as a whole. A large one is handed on as it
comes, so that its size costs no memory. A refused one is read to its end and dropped.
"""

from dataclasses import dataclass

from kernel.model.envelope import INLINE_LIMIT
from kernel.model.reply import Reply
from services.ingress.core import replies
from services.ingress.core.admission import judge_head, judge_size
from services.ingress.core.content import ContentReader
from services.ingress.core.effects import Effect, Offer, Open, Pour, Rejected, Seal, Spill, Take

ROOM_FOR_TRACE = 2_048
"""Kept free for our own header fields, so that a content stays inline with them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The data is over. ``refusal`` is None when the message can be taken."""

    refusal: Reply | None
    rest: bytes


class Reception:
    """Receives one message."""

    def __init__(self, offer: Offer, max_size: int, max_hops: int) -> None:
        self._offer = offer
        self._max_size = max_size
        self._max_hops = max_hops
        self._reader = ContentReader()
        self._gathered: list[bytes] = []
        self._is_open = False
        self._refusal: Reply | None = None

    def feed(self, octets: bytes) -> tuple[list[Effect], Ended | None]:
        """Take in ``octets``; return what to do now, and the end once it is reached."""
        content, rest = self._reader.feed(octets)
        self._judge()
        effects = self._keep(content)
        if rest is None:
            return effects, None
        effects += self._conclude()
        return effects, Ended(self._refusal, rest)

    def _judge(self) -> None:
        if self._refusal is None:
            self._refusal = judge_size(self._reader.size, self._max_size)
        if self._refusal is None and self._reader.bare_line_end:
            self._refusal = replies.BARE_LINE_END

    def _keep(self, content: bytes) -> list[Effect]:
        if self._refusal is not None:
            return self._forget()
        if self._is_open:
            return [Pour(content)] if content else []
        self._gathered.append(content)
        if self._reader.size <= INLINE_LIMIT - ROOM_FOR_TRACE:
            return []
        return self._open()

    def _open(self) -> list[Effect]:
        head = self._take_gathered()
        if self._refusal is not None:
            return []
        self._is_open = True
        return [Open(self._offer, head)]

    def _conclude(self) -> list[Effect]:
        if self._is_open:
            return [Seal()]
        content = self._take_gathered()
        if self._refusal is not None:
            offer = self._offer
            return [Rejected(offer.id, offer.sender, self._refusal, offer.submitter)]
        return [Take(self._offer, content)]

    def _take_gathered(self) -> bytes:
        """Return what was gathered, judged for what only its header shows."""
        content = b"".join(self._gathered)
        self._gathered.clear()
        if self._refusal is None:
            self._refusal = judge_head(content, self._max_hops)
        return content

    def _forget(self) -> list[Effect]:
        self._gathered.clear()
        if not self._is_open:
            return []
        self._is_open = False
        return [Spill()]
