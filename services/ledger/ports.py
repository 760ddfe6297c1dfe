"""What the ledger needs from outside: its books, its waiting room, and somebody to ask."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from kernel.model.envelope import BlobId, MailId
from kernel.model.events import MailDeferred
from services.ledger.core.record import Records
from services.ledger.core.release import WaitingLeg


class StoreUnavailableError(Exception):
    """The database cannot be reached or written now. Trying later may help."""


class Books(Protocol):
    """What became of every message. Every method may raise `StoreUnavailableError`."""

    async def record(self, records: Records) -> None:
        """Keep ``records``; return once they are on stable storage. Twins change nothing."""

    async def idle_blobs(self, ended_before: datetime, limit: int) -> Mapping[MailId, BlobId]:
        """Return blobs of mails that ended before then, and of which nothing waits."""

    async def blobs_deleted(self, mails: Collection[MailId]) -> None:
        """Remember that these mails have no blob any more."""

    async def blobs_needed(self, blobs: Collection[BlobId]) -> set[BlobId]:
        """Return those of ``blobs`` whose mail has not ended, or is known only in part."""

    async def forget(self, ended_before: datetime, limit: int) -> int:
        """Drop what is known of mails that ended before then; return how many they were."""


class WaitingRoom(Protocol):
    """Legs that wait for their time. Every method may raise `StoreUnavailableError`."""

    async def put(self, deferrals: Sequence[MailDeferred], now: datetime) -> None:
        """Keep ``deferrals``; return once they are on stable storage.

        One that is here, or was released from here, is a twin and changes nothing;
        but one with ``unless`` is put back.
        """

    async def take(self, now: datetime, lease: timedelta, limit: int) -> Sequence[WaitingLeg]:
        """Take out legs that are due, for ``lease``: nobody else gets them meanwhile."""

    async def served(self, legs: Sequence[WaitingLeg]) -> Mapping[str, Collection[str]]:
        """Return, by id of the leg, the recipients who have a stage of its ``serving``."""

    async def release(self, legs: Sequence[WaitingLeg], records: Records, now: datetime) -> None:
        """Remember that ``legs`` were published, and keep ``records`` of it."""

    async def give_back(self, legs: Sequence[WaitingLeg]) -> None:
        """Let others take ``legs``, which may have been published and may not."""

    async def postpone(self, legs: Sequence[WaitingLeg], due: datetime) -> None:
        """Let others take ``legs``, which were not published, once they are due again."""

    async def next_due(self) -> datetime | None:
        """Return when the next leg is due; ``None`` if nothing waits."""

    async def bury(self, released_before: datetime) -> int:
        """Drop the memory of legs released before then; return how many they were."""
