"""Self-test: finds out at start, and whenever the rules change, whether strangers can relay.

A listener that relays for them makes an open relay, found by spammers within hours, so we
do not call ourselves ready then. The question is put to the very session and the very auth
that serve strangers, but as a trial: nobody counts it, and it takes up no connection.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import structlog

from kernel.health import STARTING
from kernel.model.events import DirectoryChanged
from kernel.model.questions import AdmissionAnswer, AdmissionQuestion
from services.ingress.core.doorway import Doorway
from services.ingress.core.probes import Probe
from services.ingress.core.selftest import STRANGERS, Finding, Trial, Verdict, relayed
from services.ingress.ports import Directory, DirectoryUnavailableError

CONCERNS = frozenset({"listeners", "networks", "lists", "domains"})
"""The kinds of change after which somebody else may relay."""

_SETTLE = 0.3
"""Seconds in which the changes of a moment gather, and reach every process of auth."""
_SOON = 1.0
_WATCHING = 5.0
_SELDOM = 300.0

_log = structlog.get_logger("ingress")


class UntestableError(Exception):
    """It cannot be told right now whether strangers can relay. Says why."""


class SelfTest:
    """Knows of each listener whether it relays for strangers.

    ``doorways`` are the way into each listener, ``None`` while there is none.
    """

    def __init__(
        self,
        directory: Directory,
        doorways: Mapping[str, Callable[[], Doorway | None]],
        probes: Sequence[Probe],
    ) -> None:
        self._directory = directory
        self._doorways = doorways
        self._probes = probes
        self._relayed: dict[str, tuple[Finding, ...]] = {}
        self._why_not = STARTING
        self._stale = asyncio.Event()

    def trouble(self) -> str:
        """Return which listeners relay for strangers, or an empty string.

        What was found once counts until something else is found.
        """
        if self._relayed.keys() != self._doorways.keys():
            return self._why_not
        found = [f"{name} ({_told(open_)})" for name, open_ in self._relayed.items() if open_]
        return f"this is an open relay: {'; '.join(found)}" if found else ""

    async def notice(self, change: DirectoryChanged) -> None:
        """Test again, if ``change`` may change the outcome."""
        if change.kind in CONCERNS:
            self._stale.set()

    async def follow(self) -> None:
        """Test now, after each change, and now and then for good measure, until cancelled."""
        while True:
            self._stale.clear()
            pause = await self._test_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stale.wait()
                    await asyncio.sleep(_SETTLE)

    async def _test_all(self) -> float:
        """Test every listener; return after how many seconds to do so again."""
        pause = _SELDOM
        for name in self._doorways:
            try:
                findings = await self._test(name)
            except (UntestableError, DirectoryUnavailableError) as error:
                self._why_not = f"nobody knows yet whether strangers can relay: {error}"
                pause = _SOON
            else:
                self._note(name, findings)
        return min(pause, _WATCHING) if any(self._relayed.values()) else pause

    def _note(self, name: str, findings: tuple[Finding, ...]) -> None:
        before, self._relayed[name] = self._relayed.get(name, ()), findings
        if findings and findings != before:
            _log.error(
                "this is an open relay: mail from strangers to strangers is taken",
                listener=name,
                forms=[finding.probe.form for finding in findings],
                rules=sorted({finding.rule for finding in findings}),
            )
        elif before and not findings:
            _log.info("no stranger can relay any more", listener=name)

    async def _test(self, name: str) -> tuple[Finding, ...]:
        """Return the probes that a listener relays. Raises `UntestableError`."""
        doorway = self._doorways[name]()
        if doorway is None:
            raise UntestableError("nobody can come in yet")
        client, admission = await self._stranger(name)
        findings = await self._try(doorway, client, admission)
        found = relayed(findings)
        if not found and any(finding.verdict is Verdict.UNKNOWN for finding in findings):
            raise UntestableError("there was no answer")
        return found

    async def _stranger(self, name: str) -> tuple[str, AdmissionAnswer]:
        """Return an address that is not on the LAN, and whether it may connect."""
        for client in STRANGERS:
            answer = await self._directory.admit(AdmissionQuestion(name, client))
            if not answer.in_lan:
                return client, answer
        raise UntestableError("every address that is kept for documentation is on the LAN")

    async def _try(
        self, doorway: Doorway, client: str, admission: AdmissionAnswer
    ) -> list[Finding]:
        trials = [Trial(probe, doorway, client, admission) for probe in self._probes]
        questions = [question for trial in trials for question in trial.questions]
        answers = iter(await self._directory.decide(questions) if questions else ())
        return [trial.judged(tuple(islice(answers, len(trial.questions)))) for trial in trials]


def _told(found: Sequence[Finding]) -> str:
    first = found[0]
    more = f" and {len(found) - 1} more forms" if len(found) > 1 else ""
    return f"{first.probe.form}, by the rule {first.rule}{more}"
