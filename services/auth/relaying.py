"""Relaying: gathers the facts of a question, has them decided, and says so in the metrics."""

from collections.abc import Sequence

import structlog
from prometheus_client import Counter

from kernel.clock import Clock
from kernel.model.address import Address
from kernel.model.questions import (
    AdmissionAnswer,
    AdmissionQuestion,
    Listener,
    RelayAnswer,
    RelayQuestion,
    Whereabouts,
)
from services.auth.core.directory import keys_for
from services.auth.core.grants import Grant, Refusal
from services.auth.core.lan import Client
from services.auth.core.relay import RULES, TRY_LATER, Decision, Facts, decide
from services.auth.directory import Directory

NO_LISTENER = Decision(TRY_LATER, "unknown-listener")
_log = structlog.get_logger("auth")

DECISIONS = Counter("postroom_auth_decisions_total", "Relay decisions, by rule.", ["rule"])
_MORE_NAMES = ("no-such-user", "no-relay-privilege", "relay-denied", NO_LISTENER.rule)
_COUNTED = {rule: DECISIONS.labels(rule) for rule in (*(name for name, _ in RULES), *_MORE_NAMES)}


class UnknownListenerError(Exception):
    """Nobody has set up a listener of that name."""

    def __str__(self) -> str:
        return f"there is no listener {self.args[0]}"


class Relaying:
    """Answers what may be relayed, and where addresses lead."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def afresh(self) -> "Relaying":
        """Return the same, with a directory that remembers nothing yet."""
        return Relaying(self._directory.afresh(), self._clock)

    async def answer(self, questions: Sequence[RelayQuestion]) -> list[RelayAnswer]:
        """Return one answer for each question. Raises `DirectoryUnavailableError`."""
        gathered = await self.gather(questions)
        decisions = [decide(facts) if facts else NO_LISTENER for facts in gathered]
        for question, decision in zip(questions, decisions, strict=True):
            if not question.trial:
                _note(question, decision)
        return [
            RelayAnswer(d.reply, d.rule, d.submitter, bool(facts and facts.is_stranger))
            for facts, d in zip(gathered, decisions, strict=True)
        ]

    async def gather(self, questions: Sequence[RelayQuestion]) -> list[Facts | None]:
        """Return the facts of each question; ``None`` where there is no such listener."""
        policies = await self._directory.policies()
        keys = {key for question in questions for key in policies.keys(question)}
        entries = await self._directory.entries(keys)
        grants = await self._directory.grants(policies.grant_keys(questions))
        now = self._clock()
        logins = {name for q in questions for name in policies.logins(q, grants, now)}
        users = await self._directory.users(logins)
        return [
            policies.facts(question, entries, users, grants, now)
            if question.listener in policies.listeners
            else None
            for question in questions
        ]

    async def grants_of(self, client: Client) -> tuple[tuple[Grant, ...], Refusal | None]:
        """Return the fresh grants of a client, and why none counts from there if that is so."""
        policies = await self._directory.policies()
        key = policies.granting.key(client)
        held = (await self._directory.grants([key]))[key] or ()
        return held, policies.granting.judge_client(client, policies.lan)

    async def admit(self, question: AdmissionQuestion) -> AdmissionAnswer:
        """Return whether the client may connect. Raises `UnknownListenerError`."""
        policies = await self._directory.policies()
        if question.listener not in policies.listeners:
            raise UnknownListenerError(question.listener)
        return policies.admission(question.listener, question.client)

    async def listener(self, name: str) -> Listener:
        """Return the listener, as it is now: ingress goes by it for a while.

        Raises `UnknownListenerError`.
        """
        settings = (await self._directory.policies(max_age=0)).listeners.get(name)
        if settings is None:
            raise UnknownListenerError(name)
        return settings.public(name)

    async def whereabouts(self, addresses: Sequence[Address]) -> list[Whereabouts]:
        """Return where mail for each address goes. Raises `DirectoryUnavailableError`."""
        policies = await self._directory.policies()
        keys = {key for address in addresses for key in keys_for(address, policies.domains)}
        entries = await self._directory.entries(keys)
        now = self._clock()
        return [policies.whereabouts(address, entries, now) for address in addresses]


def _note(question: RelayQuestion, decision: Decision) -> None:
    _COUNTED[decision.rule].inc()
    if decision.rule == "open-relay":
        _log.warning(
            "relayed for a stranger: this listener is an open relay",
            listener=question.listener,
            client=question.client,
            recipient=str(question.recipient),
        )
    elif decision is NO_LISTENER:
        _log.error("nobody has set up that listener", listener=question.listener)
