"""Self-test: finds out at start, and whenever the rules change, whether strangers can relay.

A listener that relays for them makes an open relay, found by spammers within hours, so we
do not call ourselves ready then. The question is put to the very session and the very auth
that serve strangers, but as a trial: nobody counts it, and it takes up no connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

import structlog

from kernel.health import STARTING
from kernel.model.events import DirectoryChanged
from kernel.model.questions import (
    AdmissionAnswer,
    AdmissionQuestion,
    Listener,
    LoginAnswer,
    LoginQuestion,
    RelayAnswer,
    RelayQuestion,
)
from kernel.model.reply import Reply
from services.ingress.adapters.visiting import Caller, NotReachedError, replies_to, ways_to
from services.ingress.core.doorway import Doorway
from services.ingress.core.probes import Names, Probe, probes
from services.ingress.core.selftest import STRANGERS, Finding, Trial, Verdict, is_blocked, relayed
from services.ingress.ports import Directory, DirectoryUnavailableError

Found = dict[str, tuple[Finding, ...]]
Test = Callable[[str, Doorway], Awaitable[tuple[Finding, ...]]]

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


@dataclass(frozen=True, slots=True)
class OnTrial:
    """The directory, asked by nobody who has a mail to send."""

    directory: Directory

    async def decide(self, questions: Sequence[RelayQuestion]) -> Sequence[RelayAnswer]:
        """Return one answer for each question."""
        return await self.directory.decide([replace(each, trial=True) for each in questions])

    async def admit(self, question: AdmissionQuestion) -> AdmissionAnswer:
        """Judge who wants to connect."""
        return await self.directory.admit(question)

    async def log_in(self, question: LoginQuestion) -> LoginAnswer:
        """Judge a login."""
        return await self.directory.log_in(question)

    async def listener(self, name: str) -> Listener:
        """Return the settings of a listener."""
        return await self.directory.listener(name)


class SelfTest:
    """Knows of each listener whether it relays for strangers.

    ``doorways`` are the way into each listener, ``None`` while there is none. Those in
    ``places`` are visited over TCP as well, where we have an address that is not on the LAN;
    ``callers`` holds from where, meanwhile.
    """

    def __init__(
        self,
        directory: Directory,
        doorways: Mapping[str, Callable[[], Doorway | None]],
        ours: Names,
        *,
        places: Mapping[str, str],
        callers: set[Caller],
    ) -> None:
        self._directory = directory
        self._doorways = doorways
        self._ours = ours
        self._places = places
        self._callers = callers
        self._driven: Found = {}
        self._visited: Found = {}
        self._why_not = STARTING
        self._stale = asyncio.Event()

    def trouble(self) -> str:
        """Return which listeners relay for strangers, or an empty string.

        What was found once counts until something else is found.
        """
        if self._driven.keys() != self._doorways.keys():
            return self._why_not
        told = [f"{name} ({_told(findings)})" for name, findings in self._found().items()]
        return f"this is an open relay: {'; '.join(told)}" if told else ""

    async def notice(self, change: DirectoryChanged) -> None:
        """Test again, if ``change`` may change the outcome."""
        if change.kind in CONCERNS:
            self._stale.set()

    async def follow(self) -> None:
        """Test now, after each change, and now and then for good measure, until cancelled.

        Visits are made at start and now and then: no change of the rules changes what they
        find beyond the rules, unless it is what they have found before.
        """
        is_visit_due = True
        while True:
            self._stale.clear()
            is_known = await self._each(self._drive, self._driven)
            if is_known and is_visit_due:
                await self._each(self._visit, self._visited)
            pause = _WATCHING if self._found() else _SELDOM
            was_changed = await self._changes_within(pause if is_known else _SOON)
            is_visit_due = not was_changed or any(self._visited.values())

    async def _changes_within(self, pause: float) -> bool:
        """Wait, but no longer than until something has changed; return whether it has."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stale.wait()
            await asyncio.sleep(_SETTLE)
            return True
        return False

    async def _each(self, test: Test, found: Found) -> bool:
        """Test every listener; return whether each gave an answer."""
        is_known = True
        for name, doorway_of in self._doorways.items():
            doorway = doorway_of()
            if doorway is None:
                is_known = False
                continue
            try:
                self._note(name, found, await test(name, doorway))
            except (UntestableError, DirectoryUnavailableError) as error:
                self._why_not = f"nobody knows yet whether strangers can relay: {error}"
                is_known = False
        return is_known

    def _found(self) -> Found:
        """Return what relays, by listener."""
        both = ((n, self._driven.get(n, ()) + self._visited.get(n, ())) for n in self._doorways)
        return {name: findings for name, findings in both if findings}

    def _note(self, name: str, found: Found, findings: tuple[Finding, ...]) -> None:
        before = self._found().get(name, ())
        found[name] = findings
        if findings and not before:
            _log.error(
                "this is an open relay: mail from strangers to strangers is taken",
                listener=name,
                forms=[finding.probe.form for finding in findings],
                rules=sorted({finding.rule for finding in findings}),
            )
        elif before and not self._found().get(name):
            _log.info("no stranger can relay any more", listener=name)

    # Driving a session without a socket.

    async def _drive(self, name: str, doorway: Doorway) -> tuple[Finding, ...]:
        """Return the probes that a listener relays. Raises `UntestableError`."""
        findings = await self._as_a_stranger(name, doorway)
        found = relayed(findings)
        if not found and any(finding.verdict is Verdict.UNKNOWN for finding in findings):
            raise UntestableError("there was no answer")
        return found

    async def _as_a_stranger(self, name: str, doorway: Doorway) -> list[Finding]:
        """Return what becomes of the probes from an address that is not on the LAN.

        One that is blocked says nothing of other strangers, as long as there is another.
        """
        findings: list[Finding] = []
        for client in STRANGERS:
            admission = await self._directory.admit(AdmissionQuestion(name, client))
            if not admission.in_lan:
                findings = await self._try(probes(self._ours), doorway, client, admission)
                if not is_blocked(findings):
                    break
        if not findings:
            raise UntestableError("every address that is kept for documentation is on the LAN")
        return findings

    async def _try(
        self, trying: Sequence[Probe], doorway: Doorway, client: str, admission: AdmissionAnswer
    ) -> list[Finding]:
        trials = [Trial(probe, doorway, client, admission) for probe in trying]
        questions = [question for trial in trials for question in trial.questions]
        answers = iter(await self._directory.decide(questions) if questions else ())
        return [trial.judged(tuple(islice(answers, len(trial.questions)))) for trial in trials]

    # Visiting over TCP.

    async def _visit(self, name: str, doorway: Doorway) -> tuple[Finding, ...]:
        """Return the probes that are taken from an address of ours that is not on the LAN."""
        place = self._places.get(name)
        ways = ways_to(place, implicit_tls=doorway.begins_with_tls) if place else ()
        for way in ways:
            admission = await self._directory.admit(AdmissionQuestion(name, way.source))
            if way.source and not admission.in_lan:
                trying = probes(replace(self._ours, address=way.host))
                with suppress(NotReachedError):
                    replies = await replies_to(way, trying, self._callers)
                    told = await self._try(trying, doorway, way.source, admission)
                    return relayed(_as_heard(*pair) for pair in zip(told, replies, strict=True))
        return ()


def _as_heard(finding: Finding, reply: Reply) -> Finding:
    """Return a finding as it was heard over TCP, where nobody names the rule."""
    return replace(finding, reply=reply)


def _told(found: Sequence[Finding]) -> str:
    first = found[0]
    more = f" and {len(found) - 1} more forms" if len(found) > 1 else ""
    return f"{first.probe.form}, by the rule {first.rule}{more}"
