"""Who receives a message in the end: aliases and forwards followed to where they lead."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kernel.model.address import Address
from kernel.model.envelope import Recipient
from kernel.model.questions import Place, Whereabouts

MAX_DEPTH = 10
"""An alias of an alias of …: so many steps and no more."""

MAX_MEMBERS = 10_000
"""How many addresses the aliases of one message may stand for altogether."""

SUCCESS, NEVER = "SUCCESS", "NEVER"

Known = Mapping[Address, Whereabouts]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can tell yet: first it must be known where mail for ``addresses`` goes."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Ending:
    """A recipient at the end of its aliases.

    ``recipient`` is a mailbox name where ``place`` is a mailbox. Where ``place`` is
    an alias, it is one that leads back to itself, too far, or to nobody. A remote one is
    ``forwarded`` if an alias led there, and its sender did not name it as well.
    """

    recipient: Recipient
    place: Place
    forwarded: bool = False


@dataclass(frozen=True, slots=True)
class Replacement:
    """A recipient in whose stead ``members`` receive the message."""

    recipient: Address
    members: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Expansion:
    """Who receives the message, each once, and which recipients are not among them.

    ``spread`` are those of the latter who stand for several, and whose sender wants to hear of
    success: it is told of the alias, and not of its members.
    """

    endings: tuple[Ending, ...]
    replacements: tuple[Replacement, ...] = ()
    spread: tuple[Recipient, ...] = ()


def expand(recipients: Sequence[Recipient], known: Known) -> Unknown | Expansion:
    """Follow the aliases among ``recipients`` as far as ``known`` goes.

    Every recipient leads to at least one ending: an alias that cannot be followed
    is one itself, so that its sender can be told.
    """
    walk = _Walk(known)
    level: Iterable[_Step] = [_Step(recipient) for recipient in recipients]
    for depth in range(MAX_DEPTH + 1):
        fresh = walk.arrive(level)
        missing = tuple(s.address for s in fresh if s.address not in known)
        if missing:
            return Unknown(missing)
        level = [member for s in fresh for member in walk.go_on(s, depth)]
        if not level:
            break
    walk.end_loops()
    replacements = _replacements(recipients, walk, known)
    return Expansion(
        tuple(walk.endings.values()), replacements, _spread(recipients, replacements, walk)
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """An address that was arrived at, and from which alias."""

    recipient: Recipient
    parent: Address | None = None

    @property
    def address(self) -> Address:
        return self.recipient.address


class _Walk:
    """Breadth first, so that each address is reached on its shortest way, and once."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._steps: dict[Address, _Step] = {}
        self._parents: dict[Address, list[Address]] = {}
        self._members = 0
        self.endings: dict[tuple[Address, Place], Ending] = {}
        self.ends_at: dict[Address, tuple[Address, Place]] = {}
        self.spread: set[Address] = set()

    def arrive(self, level: Iterable[_Step]) -> list[_Step]:
        """Return the steps of ``level`` that lead to new addresses."""
        fresh: list[_Step] = []
        for step in level:
            if step.parent is not None:
                self._parents.setdefault(step.address, []).append(step.parent)
            if step.address not in self._steps:
                self._steps[step.address] = step
                fresh.append(step)
            elif end := self.ends_at.get(step.address):
                self._hear(end, step.recipient)
        return fresh

    def go_on(self, step: _Step, depth: int) -> list[_Step]:
        """Return where ``step`` leads; nowhere if it has come to its end."""
        where = self._known[step.address]
        if where.place is not Place.ALIAS:
            self._end(step, where)
            return []
        if depth == MAX_DEPTH or self._members + len(where.targets) > MAX_MEMBERS:
            self._end(step, where)
            return []
        self._members += len(where.targets)
        told = step.recipient
        if len(where.targets) > 1:
            told = replace(told, notify=_without_success(told.notify))
            self.spread.add(self._beginning_of(step))
        return [_Step(_member(told, target), step.address) for target in where.targets]

    def _beginning_of(self, step: _Step) -> Address:
        while step.parent is not None:
            step = self._steps[step.parent]
        return step.address

    def end_loops(self) -> None:
        """Give an ending to the outermost of the aliases that lead to none."""
        aliases = [s for s in self._steps.values() if s.address not in self.ends_at]
        if not aliases:
            return
        leading = self._leading_somewhere()
        for step in aliases:
            outermost = step.parent is None or step.parent in leading
            if step.address not in leading and outermost:
                self._end(step, self._known[step.address])

    def _leading_somewhere(self) -> set[Address]:
        leading: set[Address] = set()
        waiting = list(self.ends_at)
        while waiting:
            address = waiting.pop()
            if address not in leading:
                leading.add(address)
                waiting.extend(self._parents.get(address, ()))
        return leading

    def _end(self, step: _Step, where: Whereabouts) -> None:
        recipient = step.recipient
        if where.place is Place.MAILBOX and where.targets and where.targets[0] != step.address:
            recipient = _member(recipient, where.targets[0])
        end = (recipient.address, where.place)
        self.ends_at[step.address] = end
        if end in self.endings:
            self._hear(end, recipient)
        else:
            forwarded = where.place is Place.REMOTE and step.parent is not None
            self.endings[end] = Ending(recipient, where.place, forwarded)

    def _hear(self, end: tuple[Address, Place], recipient: Recipient) -> None:
        """Of two ways to one ending, one that wants to hear of failures outdoes NEVER."""
        ending = self.endings[end]
        if NEVER in ending.recipient.notify and NEVER not in recipient.notify:
            louder = replace(recipient, address=ending.recipient.address)
            self.endings[end] = replace(ending, recipient=louder)


def _member(recipient: Recipient, target: Address) -> Recipient:
    """Return what an alias' member is told: what its alias was told (RFC 3461 §5.2.7)."""
    orcpt = recipient.orcpt or _orcpt(recipient.address)
    return Recipient(target, orcpt, recipient.notify)


def _without_success(notify: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the members of an alias for several are told (RFC 3461 §5.2.7.3 (b))."""
    if SUCCESS not in notify:
        return notify
    return tuple(word for word in notify if word != SUCCESS) or (NEVER,)


def _orcpt(address: Address) -> str:
    """Spell an address as an ORCPT parameter (RFC 3461 §4.2, RFC 6533 §3)."""
    kind, escape = ("rfc822", "+{:02X}") if address.is_ascii else ("utf-8", "\\x{{{:X}}}")
    return f"{kind};" + "".join(
        c if "!" <= c <= "~" and c not in "+=\\" else escape.format(ord(c)) for c in str(address)
    )


def _replacements(
    recipients: Sequence[Recipient], walk: _Walk, known: Known
) -> tuple[Replacement, ...]:
    ending = {address for address, _ in walk.endings}
    gone = dict.fromkeys(r.address for r in recipients if r.address not in ending)
    return tuple(Replacement(address, known[address].targets) for address in gone)


def _spread(
    recipients: Sequence[Recipient], replacements: Sequence[Replacement], walk: _Walk
) -> tuple[Recipient, ...]:
    gone = {replacement.recipient for replacement in replacements} & walk.spread
    wanted = {r.address: r for r in recipients if r.address in gone and SUCCESS in r.notify}
    return tuple(wanted.values())
