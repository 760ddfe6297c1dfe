"""Outlook: what ingress itself would make of a client now, beside what auth decides.

For people who ask why (`postroom explain`): nothing is counted, remembered or refused by it.
Checks that need a message are named, and not made. Several processes measure each for itself.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from kernel import wire
from kernel.clock import Clock
from kernel.model.address import Address
from kernel.model.envelope import Body, Recipient
from kernel.model.questions import Listener
from services.ingress.checks.panel import Panel
from services.ingress.checks.port import Arrival
from services.ingress.core.effects import Offer
from services.ingress.crowd import Crowd
from services.ingress.limits import Limits
from services.ingress.policies import Policies

NAME = "explain-checks"
"""``POST /internal/explain-checks`` at the health port."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A mail that might come. Of who is no ``stranger`` nothing is checked.

    ``login`` is the user under whose name the mail would count, or empty.
    """

    listener: str
    client: str
    recipient: str
    helo: str = ""
    sender: str = ""
    login: str = ""
    stranger: bool = True


@dataclass(frozen=True, slots=True)
class CheckState:
    """What a check says, and after how long. Without a ``closed`` one no mail is taken."""

    check: str
    outcome: str
    seconds: float
    closed: bool
    results: tuple[str, ...] = ()
    reply: str = ""


@dataclass(frozen=True, slots=True)
class LimitState:
    """How much of a limit is used."""

    limit: str
    used: float
    most: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that there is to say."""

    checks: tuple[CheckState, ...]
    limits: tuple[LimitState, ...]


@dataclass(frozen=True, slots=True)
class Lookout:
    """Answers. ``uptime`` is the clock of ``limits``."""

    policies: Policies
    panel: Panel
    limits: Limits
    crowd: Crowd
    clock: Clock
    uptime: Callable[[], float]

    async def answer(self, body: bytes) -> bytes:
        """Answer the `Visit` in ``body`` by an `Outlook`. Raises `ValueError`."""
        visit = wire.from_json(body, Visit)
        listener = self.policies.current(visit.listener)
        if listener is None:
            raise ValueError(f"there is no listener {visit.listener}")
        arrival = _arrival(visit, self.clock())
        checks = tuple(await self._checks(arrival)) if visit.stranger else ()
        return wire.to_json(Outlook(checks, tuple(self._limits(listener, visit))))

    async def _checks(self, arrival: Arrival) -> list[CheckState]:
        return [
            CheckState(
                finding.check,
                finding.outcome,
                round(seconds, 3),
                finding.check in self.panel.closed,
                tuple(map(str, finding.results)),
                str(finding.refusal or ""),
            )
            for finding, seconds in await self.panel.preview(arrival)
        ]

    def _limits(self, listener: Listener, visit: Visit) -> Iterator[LimitState]:
        name, most = listener.name, listener.max_connections_per_ip
        yield LimitState("connections", self.crowd.count(name), str(listener.max_connections))
        yield LimitState("connections_per_ip", self.crowd.count(name, visit.client), str(most))
        levels = self.limits.levels(
            listener, visit.client, visit.login, self.uptime(), stranger=visit.stranger
        )
        for limit, used, rate in levels:
            yield LimitState(limit, round(used, 1), rate)


def _arrival(visit: Visit, now: datetime) -> Arrival:
    """Return the message that might come, of which nothing is known but its envelope."""
    offer = Offer(
        id="explain",
        listener=visit.listener,
        client=str(ip_address(visit.client)),
        helo=visit.helo,
        protocol="ESMTP",
        tls=None,
        sender=Address.parse(visit.sender) if visit.sender else None,
        recipients=(Recipient(Address.parse(visit.recipient)),),
        rules=(),
        submitter=visit.login,
        body=Body.SEVEN_BIT,
        smtputf8=False,
        ret="",
        envid="",
        stranger=visit.stranger,
    )
    return Arrival(offer, now, (), (), None, {}, 0, _nothing)


async def _nothing() -> AsyncIterator[bytes]:
    yield b""
