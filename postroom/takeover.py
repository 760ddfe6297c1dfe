"""Brings the users of a file to the server, one after the other, and keeps a record of each."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from postroom.client import Api, Item
from postroom.errors import NotFoundError, RefusedError
from postroom.importing import Entry, Fault
from postroom.resource import edited

Deed = Literal["added", "updated", "left", "skipped", "failed"]
DOMAINS, USERS, ALIASES = "v1/domains", "v1/users", "v1/aliases"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of somebody in the file, or of an alias."""

    line: int
    who: str
    deed: Deed
    why: str = ""


@dataclass(slots=True)
class Takeover:
    """Brings users over. A ``trial`` changes nothing, and finds out what would become of each.

    Who is there already is left alone, or made as the file says if ``update``. So are
    aliases, which then stand for those of the file as well.
    """

    api: Api
    update: bool = False
    trial: bool = False
    outcomes: list[Outcome] = field(default_factory=list)

    def pass_over(self, faults: Iterable[Fault]) -> None:
        """Record those who cannot be brought."""
        for fault in faults:
            deed: Deed = "skipped" if fault.harmless else "failed"
            self.outcomes.append(Outcome(fault.line, fault.who, deed, fault.why))

    async def bring(self, entries: Sequence[Entry]) -> None:
        """Bring all; raises `UnreachableError` when it can go no further."""
        for entry in entries:
            await self._record(entry.line, entry.address, self._user(entry))
        for alias, (line, targets) in aliases_of(entries).items():
            await self._record(line, alias, self._alias(alias, targets), "an alias")

    async def _record(self, line: int, who: str, doing: Awaitable[Deed], why: str = "") -> None:
        try:
            self.outcomes.append(Outcome(line, who, await doing, why))
        except RefusedError as error:
            words = f"{error.field}: {error}" if error.field else str(error)
            self.outcomes.append(Outcome(line, who, "failed", words))

    async def _user(self, entry: Entry) -> Deed:
        """Bring a user, found by the address: the login may be somebody else's here."""
        found = await self._find(USERS, entry.address)
        if found is not None:
            self._spare_ourselves(found)
            return await self._change(USERS, entry.address, found, entry.differences)
        if self.trial and entry.login and await self._find(USERS, entry.login):
            raise RefusedError(f"{entry.login} exists already", "login")
        login = {"login": entry.login} if entry.login else {}
        return await self._add(USERS, {"address": entry.address, **login, **entry.facts})

    def _spare_ourselves(self, found: Item) -> None:
        """With another password we would shut ourselves out in the middle of the work."""
        if self.update and found["login"] == self.api.login:
            raise RefusedError("the command itself logs in as this user: change it apart")

    async def _alias(self, alias: str, targets: Sequence[str]) -> Deed:
        found = await self._find(ALIASES, alias)
        if found is None:
            return await self._add(ALIASES, {"address": alias, "targets": targets})
        edits = {"targets": (targets, ())}
        return await self._change(ALIASES, alias, found, lambda item: edited(item, edits))

    async def _find(self, path: str, name: str) -> Item | None:
        try:
            return await self.api.get(path, name)
        except NotFoundError:
            return None

    async def _add(self, path: str, body: Item) -> Deed:
        if self.trial:
            domain = body["address"].rpartition("@")[2]
            if await self._find(DOMAINS, domain) is None:
                raise RefusedError(f"{domain} is no domain of ours", "address")
        else:
            await self.api.post(path, body=body)
        return "added"

    async def _change(
        self, path: str, name: str, found: Item, changes: Callable[[Item], Item]
    ) -> Deed:
        if not (self.update and changes(found)):
            return "left"
        if not self.trial:
            await self.api.revise(path, name, changes=changes)
        return "updated"


def aliases_of(entries: Iterable[Entry]) -> dict[str, tuple[int, list[str]]]:
    """Return for whom each alias stands, and the line that names it first."""
    found: dict[str, tuple[int, list[str]]] = {}
    for entry in entries:
        for alias in entry.aliases:
            found.setdefault(alias.casefold(), (entry.line, []))[1].append(entry.address)
    return found
