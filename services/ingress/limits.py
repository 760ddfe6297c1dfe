"""Limits: what strangers and users may do here, measured over all connections of this process.

Several ingress processes measure each for itself. The LAN is not measured at all.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from kernel.model.questions import Listener, RelayAnswer, RelayQuestion
from kernel.model.rate import Rate
from kernel.model.reply import Reply
from services.ingress import metrics
from services.ingress.core import replies
from services.ingress.core.limits import Meters, neighbourhood

_ROOM = 100_000
_EPISODE = (Rate(1, 600),)
"""How often the log warns of the same limit and the same client."""

_log = structlog.get_logger("ingress")


@dataclass(frozen=True, slots=True)
class _Allowance:
    """What somebody may send: who it is, what their limits are called, and how high they are."""

    who: str
    suffix: str
    messages: Sequence[Rate]
    recipients: Sequence[Rate]


class Limits:
    """Who exceeds ``guesses`` at the names of our users is shut out for ``shut_out`` seconds."""

    def __init__(self, guesses: Sequence[Rate] = (), shut_out: float = 0.0) -> None:
        self._guesses = guesses
        self._shut_out_for = shut_out
        self._meters = Meters(_ROOM)
        self._shut_out: dict[tuple[str, str], float] = {}

    def at_door(self, listener: Listener, client: str, now: float) -> Reply | None:
        """Return what a client hears instead of a greeting, or None.

        Where users may log in they are let in, though their neighbour guesses.
        """
        is_out = not listener.mechanisms and self._is_out(listener.name, client, now)
        return replies.SHUT_OUT if is_out else None

    def judge(
        self,
        listener: Listener,
        questions: Sequence[RelayQuestion],
        answers: Sequence[RelayAnswer],
        now: float,
        *,
        is_new: bool,
    ) -> Sequence[RelayAnswer]:
        """Return ``answers``, but that too much is refused. ``is_new``: the message counts too."""
        judged = []
        for question, answer in zip(questions, answers, strict=True):
            said = answer
            if answer.stranger or answer.submitter or question.login:  # else from the LAN
                said = self._judge(listener, question, answer, now, is_new=is_new)
            is_new = is_new and not said.reply.is_positive
            judged.append(said)
        return judged

    def levels(
        self, listener: Listener, client: str, login: str, now: float, *, stranger: bool
    ) -> Iterator[tuple[str, float, str]]:
        """Yield the limits of what somebody may send: name, how much is used, how much there is."""
        allowance = _allowance_of(listener, client, login, stranger=stranger)
        if allowance is None:
            return
        limits = [(f"message_rate_{allowance.suffix}", allowance.messages, allowance.who)]
        limits.append((f"recipient_rate_{allowance.suffix}", allowance.recipients, allowance.who))
        if stranger:
            limits.append(("unknown_recipients", self._guesses, neighbourhood(client)))
        for name, rates, who in limits:
            for rate in rates:
                yield name, self._meters.level((listener.name, name, who), rate, now), str(rate)
        if stranger and self._is_out(listener.name, client, now):
            left = self._shut_out[listener.name, neighbourhood(client)] - now
            yield "shut_out", left, f"{self._shut_out_for:.0f} s"

    def note(self, listener: str, limit: str, who: str, now: float) -> None:
        """Count that a limit was met; warn of it once an episode."""
        metrics.limited(listener, limit).inc()
        if self._meters.take(("warned", listener, limit, who), _EPISODE, now) is None:
            _log.warning("limited", listener=listener, limit=limit, who=who)

    def _judge(
        self,
        listener: Listener,
        question: RelayQuestion,
        answer: RelayAnswer,
        now: float,
        *,
        is_new: bool,
    ) -> RelayAnswer:
        allowance = _allowance(listener, question, answer)
        if allowance is None:
            return answer
        if answer.stranger and self._is_out(listener.name, question.client, now):
            return RelayAnswer(replies.TOO_MANY_GUESSES, "unknown-recipients", stranger=True)
        if answer.stranger and answer.reply.status == replies.NOBODY:
            self._guessed(listener.name, question.client, now)
        if not answer.reply.is_positive:
            return answer
        limit = self._exceeded(listener.name, allowance, now, is_new=is_new)
        if not limit:
            return answer
        self.note(listener.name, limit, allowance.who, now)
        rule = limit.replace("_", "-")
        return RelayAnswer(replies.TOO_MUCH, rule, answer.submitter, answer.stranger)

    def _exceeded(self, listener: str, of: _Allowance, now: float, *, is_new: bool) -> str:
        """Return the limit that one more would exceed; none, and it is counted."""
        message, recipient = f"message_rate_{of.suffix}", f"recipient_rate_{of.suffix}"
        if self._meters.take((listener, recipient, of.who), of.recipients, now):
            return recipient
        if is_new and self._meters.take((listener, message, of.who), of.messages, now):
            return message
        return ""

    def _is_out(self, listener: str, client: str, now: float) -> bool:
        return bool(self._shut_out) and now < self._shut_out.get(
            (listener, neighbourhood(client)), now
        )

    def _guessed(self, listener: str, client: str, now: float) -> None:
        who = neighbourhood(client)
        if self._meters.take((listener, "unknown_recipients", who), self._guesses, now) is None:
            return
        self.note(listener, "unknown_recipients", who, now)
        if len(self._shut_out) >= _ROOM:
            self._shut_out = {key: until for key, until in self._shut_out.items() if until > now}
        if len(self._shut_out) < _ROOM:
            self._shut_out[listener, who] = now + self._shut_out_for


def _allowance(
    listener: Listener, question: RelayQuestion, answer: RelayAnswer
) -> _Allowance | None:
    user = question.login or answer.submitter
    return _allowance_of(listener, question.client, user, stranger=answer.stranger)


def _allowance_of(
    listener: Listener, client: str, user: str, *, stranger: bool
) -> _Allowance | None:
    if user:
        messages, recipients = listener.message_rate_per_user, listener.recipient_rate_per_user
        return _Allowance(user, "per_user", messages, recipients)
    if stranger:
        messages, recipients = listener.message_rate_per_ip, listener.recipient_rate_per_ip
        return _Allowance(neighbourhood(client), "per_ip", messages, recipients)
    return None


class Budget:
    """Counts the octets of messages that stand in memory on their way in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @property
    def is_spent(self) -> bool:
        """Whether there is no room for another message."""
        return self.held >= self._most

    def change(self, octets: int) -> None:
        """Count ``octets`` more, or fewer."""
        self.held += octets


class Handshakes:
    """Lets so many TLS handshakes go on at a time, and a tenth of them from one address.

    Who has to wait longer than a handshake may take is given up.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._patience = patience
        self._share = max(1, most // 10)
        self._all = asyncio.Semaphore(most)
        self._own: dict[str, asyncio.Semaphore] = {}
        self._coming: Counter[str] = Counter()

    @asynccontextmanager
    async def one_of(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn. Raises `TimeoutError`."""
        who = neighbourhood(client)
        own = self._own.setdefault(who, asyncio.Semaphore(self._share))
        self._coming[who] += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._turn(own)
            try:
                yield
            finally:
                self._all.release()
                own.release()
        finally:
            self._coming[who] -= 1
            if not self._coming[who]:
                del self._own[who], self._coming[who]

    async def _turn(self, own: asyncio.Semaphore) -> None:
        await own.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            own.release()
            raise
