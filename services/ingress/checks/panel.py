"""Panel: all checks that are wanted, at once, each within its time."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog
from publicsuffixlist import PublicSuffixList

from kernel import maillog
from kernel.names import NameServers
from services.ingress.checks import metrics
from services.ingress.checks.authentication import Authentication
from services.ingress.checks.clamd import Clamd
from services.ingress.checks.client import DnsLists, ReverseName
from services.ingress.checks.greylist import Greylist
from services.ingress.checks.names import Names
from services.ingress.checks.port import Arrival, Check, CheckUnavailableError
from services.ingress.checks.rspamd import Rspamd
from services.ingress.checks.settings import CheckSettings, Reverse
from services.ingress.core.checks import Ending, Finding, Verdict, settle
from services.ingress.core.dnslists import DnsList
from services.ingress.ports import Memory

NEEDS_MESSAGE = "needs the message"

_log = structlog.get_logger("ingress")


@dataclass(frozen=True, slots=True)
class Panel:
    """The checks, and those of them without which no mail is taken."""

    checks: Sequence[Check]
    hostname: str
    closed: frozenset[str] = frozenset()

    async def judge(self, arrival: Arrival) -> Verdict:
        """Return what becomes of a message, and write down what each check said."""
        findings = await asyncio.gather(*(_examine(check, arrival) for check in self.checks))
        offer = arrival.offer
        maillog.note(
            "checked",
            offer.id,
            listener=offer.listener,
            client=offer.client,
            checks={finding.check: finding.outcome for finding in findings},
            results=[str(result) for finding in findings for result in finding.results],
        )
        return settle(findings, self.hostname, self.closed)

    async def preview(self, arrival: Arrival) -> Sequence[tuple[Finding, float]]:
        """Return what each check can say before there is a message, and after how many seconds."""
        return await asyncio.gather(*(_preview(check, arrival) for check in self.checks))


async def _examine(check: Check, arrival: Arrival) -> Finding:
    finding = await _finding_of(check, check.examine(arrival), arrival)
    metrics.checks(check.name, finding.outcome).inc()
    return finding


async def _preview(check: Check, arrival: Arrival) -> tuple[Finding, float]:
    clock = asyncio.get_running_loop().time
    began, looking = clock(), check.preview(arrival)
    if looking is None:
        return Finding(check.name, NEEDS_MESSAGE), 0.0
    return await _finding_of(check, looking, arrival), clock() - began


async def _finding_of(
    check: Check, looking: Coroutine[Any, Any, Finding], arrival: Arrival
) -> Finding:
    try:
        async with asyncio.timeout(check.limit):
            return await looking
    except TimeoutError:
        _log.warning("a check took too long", check=check.name, mail=arrival.offer.id)
        return Finding(check.name, Ending.OVERDUE)
    except (CheckUnavailableError, OSError) as error:
        _log.warning("cannot check", check=check.name, mail=arrival.offer.id, why=str(error))
        return Finding(check.name, Ending.UNAVAILABLE)
    except Exception:  # noqa: BLE001 - our own fault keeps nobody's mail out
        _log.exception("a check broke", check=check.name, mail=arrival.offer.id)
        return Finding(check.name, Ending.BROKEN)


@asynccontextmanager
async def open_panel(
    settings: CheckSettings, hostname: str, memory: Memory
) -> AsyncIterator[Panel]:
    """Yield the checks that the settings want."""
    patience = settings.dns_timeout.total_seconds()
    async with AsyncExitStack() as stack:
        clock = asyncio.get_running_loop().time
        asked = Names(NameServers.of(settings), patience, clock)
        names = await stack.enter_async_context(asked)
        checks: list[Check] = []
        if settings.authenticate:
            suffixes = await asyncio.to_thread(PublicSuffixList)
            checks.append(Authentication(names, suffixes, hostname, settings.dmarc, patience))
        if settings.dnslists:
            lists = [DnsList.parse(text) for text in settings.dnslists]
            checks.append(DnsLists(names, lists, patience))
        if settings.reverse is not Reverse.OFF:
            checks.append(ReverseName(names, settings.reverse is Reverse.REFUSE, patience))
        if settings.greylist:
            checks.append(Greylist(memory, settings.greylist))
        checks += await _scanners(settings, stack)
        yield Panel(checks, hostname, frozenset(settings.fail_closed))


async def _scanners(settings: CheckSettings, stack: AsyncExitStack) -> list[Check]:
    patience = settings.scan_timeout.total_seconds()
    scanners: list[Check] = []
    if settings.rspamd:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        scanners.append(Rspamd(session, settings.rspamd, patience))
    if settings.clamd:
        scanners.append(Clamd(settings.clamd, patience))
    return scanners
