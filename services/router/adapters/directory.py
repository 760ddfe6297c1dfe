"""Asks auth where mail goes, and remembers its answers for a few seconds."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from kernel.batching import Batcher
from kernel.http import Peer, PeerUnavailableError
from kernel.model.address import Address
from kernel.model.events import DirectoryChanged
from kernel.model.questions import Whereabouts
from services.router.ports import DirectoryUnavailableError

MAX_REMEMBERED = 50_000
MAX_BATCH = 256


class CachedDirectory:
    """Auth's directory. One question about an address is under way at a time.

    ``now`` is any clock that only goes forward, in seconds. An answer is as old as its
    question: it may have been on the way for long.
    """

    def __init__(self, auth: Peer, now: Callable[[], float], *, remember: float = 3.0) -> None:
        self._auth = auth
        self._now = now
        self._remember = remember
        self._known: dict[Address | str, tuple[float, Whereabouts]] = {}
        self._asking: dict[Address, asyncio.Task[Whereabouts]] = {}
        self._batcher = Batcher(self._ask_all, limit=MAX_BATCH)
        self._trouble = ""

    def recall(self, addresses: Iterable[Address]) -> dict[Address, Whereabouts]:
        """Return what is known of ``addresses``, whole domains included."""
        now = self._now()
        found = {}
        for address in addresses:
            entry = self._known.get(address) or self._known.get(address.domain)
            if entry is not None and now < entry[0]:
                found[address] = entry[1]
        return found

    async def look_up(self, addresses: Iterable[Address]) -> dict[Address, Whereabouts]:
        """Return where mail for each of ``addresses`` goes, from memory if it is there."""
        everyone = dict.fromkeys(addresses)
        found = self.recall(everyone)
        asking = {a: self._question(a) for a in everyone if a not in found}
        if asking:
            await asyncio.wait(asking.values())
        return found | {address: task.result() for address, task in asking.items()}

    async def forget(self, notice: DirectoryChanged) -> None:
        """Drop what is remembered, and do not remember answers that are under way."""
        if notice.concerns_logins_alone:
            return
        self._known.clear()
        self._asking.clear()

    def trouble(self) -> str:
        """Return why auth does not answer, or an empty string."""
        return self._trouble

    def _question(self, address: Address) -> asyncio.Task[Whereabouts]:
        task = self._asking.get(address)
        if task is None:
            task = asyncio.create_task(self._batcher.ask(address))
            self._asking[address] = task
            until = self._now() + self._remember
            task.add_done_callback(lambda done: self._answered(address, done, until))
        return task

    def _answered(self, address: Address, task: asyncio.Task[Whereabouts], until: float) -> None:
        """Remember the answer, unless the directory changed since it was asked for."""
        failed = task.cancelled() or task.exception() is not None
        if self._asking.get(address) is not task:
            return
        del self._asking[address]
        if not failed:
            self._keep(address, task.result(), until)

    def _keep(self, address: Address, where: Whereabouts, until: float) -> None:
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        key = address.domain if where.whole_domain else address
        self._known[key] = (until, where)

    async def _ask_all(self, addresses: Sequence[Address]) -> list[Whereabouts]:
        try:
            answers = await self._auth.ask("/internal/whereabouts", addresses, list[Whereabouts])
        except PeerUnavailableError as error:
            self._trouble = str(error)
            raise DirectoryUnavailableError(self._trouble) from error
        if len(answers) != len(addresses):
            self._trouble = f"auth gave {len(answers)} answers to {len(addresses)} questions"
            raise DirectoryUnavailableError(self._trouble)
        self._trouble = ""
        return answers
