"""Books and a waiting room in memory, which can be out of order."""

import asyncio

from services.ledger.core.release import WaitingLeg
from services.ledger.ports import StoreUnavailableError


class MemoryBooks:
    def __init__(self, outages=0):
        self.outages = outages
        self.asked = asyncio.Event()
        self.recorded = []
        self.blobs = {}
        self.needed = set()

    async def record(self, records):
        self.asked.set()
        if self.outages:
            self.outages -= 1
            raise StoreUnavailableError("the disk is full")
        self.recorded.append(records)

    async def idle_blobs(self, ended_before, limit):
        return dict(self.blobs)

    async def blobs_deleted(self, mails):
        for mail in tuple(mails):
            del self.blobs[mail]

    async def blobs_needed(self, blobs):
        return self.needed & set(blobs)

    async def forget(self, ended_before, limit):
        return 0


class MemoryRoom:
    """Gives out ``due`` once, and remembers what became of it."""

    def __init__(self, *due: WaitingLeg, served=None):
        self.due = list(due)
        self.served_by_leg = served or {}
        self.kept = []
        self.released = []
        self.records = []
        self.given_back = []
        self.postponed = []

    async def put(self, deferrals, now):
        self.kept.extend(deferrals)

    async def take(self, now, lease, limit):
        due, self.due = self.due, []
        return due

    async def served(self, legs):
        return self.served_by_leg

    async def release(self, legs, records, now):
        self.released.extend(legs)
        self.records.append(records)

    async def give_back(self, legs):
        self.given_back.extend(legs)

    async def postpone(self, legs, due):
        self.postponed.extend((leg, due) for leg in legs)

    async def next_due(self):
        return None

    async def bury(self, released_before):
        return 0
