"""Greylisting: remembers for all processes of ingress who has been heard of before."""

from datetime import datetime, timedelta

from kernel.clock import Clock
from kernel.model.questions import GreylistAnswer, GreylistQuestion
from services.auth.adapters import greylist
from services.auth.adapters.database import Database
from services.auth.core.greylist import judge, mail_of
from services.auth.errands import Errands

MOST = 1_000_000
"""Rows, of some 150 octets each. Strangers make as many as they like."""
PRUNE_EVERY = timedelta(minutes=10)
PRUNE_AFTER = 10_000
"""Rows written since the last time."""


class Greylisting:
    """Asked once for each message of a stranger, where that is wanted."""

    def __init__(
        self, database: Database, clock: Clock, errands: Errands, most: int = MOST
    ) -> None:
        self._database = database
        self._clock = clock
        self._errands = errands
        self._most = most
        self._pruned = clock()
        self._written = 0

    async def answer(self, question: GreylistQuestion) -> GreylistAnswer:
        """Return who it is; remember it, unless on trial. Raises `DirectoryUnavailableError`."""
        now = self._clock()
        delay = timedelta(seconds=question.delay)
        mail = mail_of(question.client, question.sender, question.recipients)
        async with self._database.writing() as db:
            known = await greylist.find(db, {mail.network, *mail.triplets})
            judgement = judge(mail, known, delay, now)
            if question.trial:
                return GreylistAnswer(judgement.acquaintance)
            await greylist.keep(db, judgement.changes)
        self._written += len(judgement.changes)
        if now - self._pruned >= PRUNE_EVERY or self._written >= PRUNE_AFTER:
            self._pruned, self._written = now, 0
            self._errands.run(self._prune(now), "removing old greylist entries")
        return GreylistAnswer(judgement.acquaintance)

    async def _prune(self, now: datetime) -> None:
        async with self._database.writing() as db:
            await greylist.prune(db, now, self._most)
