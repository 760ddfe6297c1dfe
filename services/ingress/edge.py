"""Edge: aiosmtpd's server class as a thin shell over our own session core.

aiosmtpd reads line by line in a task for each connection; here what arrives goes into
`Session` as it is, and the effects that come out are carried out. A task exists only
while something has to be awaited, and it outlives the client: what was begun for a
message comes to its end even if nobody is left to hear of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

import structlog
from aiosmtpd.smtp import SMTP

from kernel.listening import Peer, plain_address
from kernel.model.envelope import INLINE_LIMIT, MailId
from kernel.model.questions import AdmissionAnswer, RelayAnswer
from kernel.model.reply import Reply
from services.ingress import journal, metrics
from services.ingress.core import effects, replies
from services.ingress.core.doorway import Doorway
from services.ingress.core.session import Session
from services.ingress.core.watch import Overdue, Phase, Times, Watch
from services.ingress.entrance import Entrance
from services.ingress.peer import take_up_tls, tls_of
from services.ingress.ports import DirectoryUnavailableError
from services.ingress.upload import FULL, SpilledError, Upload

P = ParamSpec("P")
T = TypeVar("T")

_OVERDUE = {
    Overdue.IDLE: replies.IDLE,
    Overdue.SLOW: replies.TOO_SLOW,
    Overdue.LONG: replies.TOO_LONG,
}

_log = structlog.get_logger("ingress")


class Connection(SMTP):
    """One client."""

    transport: asyncio.Transport

    def __init__(self, entrance: Entrance, peer: Peer | None = None) -> None:
        """Take a seat; aiosmtpd's own way costs 94 µs, for handlers that we do not have."""
        self.loop = asyncio.get_running_loop()
        self._entrance = entrance
        self._peer = peer  # who a balancer says it is
        self._core: Session | None = None
        self._client = ""
        self._port = 0
        self._watch = Watch(self.loop.time())
        self._counted: MailId = ""
        self._held = 0
        self._upload: Upload | None = None
        self._is_upgrading = False
        self._is_ahead = False
        self._is_choked = False
        self._is_resuming = False
        self._is_paused = False
        self._saw_eof = False

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client in, or turn it away."""
        self.transport = cast("asyncio.Transport", transport)
        peer = self._peer or transport.get_extra_info("peername") or ("", 0)
        self._client, self._port = plain_address(peer[0]), peer[1]
        if (self._client, self._port) in self._entrance.callers:
            self._entrance = self._entrance.on_trial()
        doorway = self._entrance.doorway()
        if doorway is None:
            self._turn_away(replies.NOT_YET)
            return
        refusal = self._admission_to_crowd(doorway)
        if refusal is not None:
            self._turn_away(refusal, words=not doorway.begins_with_tls)
            return
        self._core = Session(doorway, self._client)
        self._step(self._core.greet)

    def data_received(self, data: bytes) -> None:
        """Hand what came to the session."""
        if self._core is not None:
            self._is_ahead = self._core.is_waiting
            if self._core.is_busy:
                self._grow(len(data))
            self._step(self._core.receive, data)

    def eof_received(self) -> bool:
        """Stay for the answer that is due, if there is one, and if TLS does not forbid it."""
        self._saw_eof = True
        waits = self._core is not None and self._core.is_waiting
        return waits and self.transport.get_extra_info("ssl_object") is None

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Forget the client; what is sealed goes on without it."""
        self._core = None
        self._hold(0)
        self._entrance.crowd.let_out(self)
        if self._upload is not None:
            self._upload.spill()

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not read what we say."""
        self._is_choked = True
        self._regulate()

    def resume_writing(self) -> None:
        """Go on."""
        self._is_choked = False
        if self._is_resuming:
            self._resume()
        self._regulate()

    # What the crowd tells us.

    @property
    def is_busy(self) -> bool:
        """Whether a message is coming in or being made ours."""
        return self._core is not None and self._core.is_busy

    @property
    def unread(self) -> int:
        """Octets that the client has not read yet, as far as we know."""
        return self.transport.get_write_buffer_size()

    def leave(self) -> None:
        """Ask the client to go, at once or after its message."""
        if self._is_upgrading:
            self.abort()  # in the middle of a handshake there are no words
        elif self._core is not None:
            self._step(self._core.leave)

    def check(self, now: float, times: Times) -> None:
        """Hang up if something has taken too long."""
        if self._core is None:
            return
        overdue = self._watch.look(self._phase(self._core), now, times)
        if overdue is None:
            return
        self._entrance.limits.note(self._entrance.name, overdue.value, self._client, now)
        if overdue is Overdue.DEAF:
            self.abort()  # no words get through
        else:
            self._step(self._core.end, _OVERDUE[overdue])

    def abort(self) -> None:
        """Drop the connection."""
        self.transport.abort()

    # Doing what the session wants.

    def _admission_to_crowd(self, doorway: Doorway) -> Reply | None:
        if self._entrance.is_trial:
            return None
        listener, limits = doorway.listener, self._entrance.limits
        shut_out = limits.at_door(listener, self._client, self.loop.time())
        return shut_out or self._entrance.crowd.admit(self, listener, self._client)

    def _phase(self, core: Session) -> Phase:
        """Return whom this connection waits for."""
        if self._is_choked or core.is_closed:
            return Phase.DEAF
        if core.is_waiting or self._is_upgrading or self._is_paused:
            return Phase.OURS
        return Phase.CONTENT if core.is_busy else Phase.COMMAND

    def _grow(self, octets: int) -> None:
        """Note that a message has grown; what is poured on stands in the upload's own budget."""
        self._watch.content(octets)
        if self._upload is None:
            self._hold(min(self._held + octets, INLINE_LIMIT))

    def _hold(self, octets: int) -> None:
        if octets != self._held:
            self._entrance.budget.change(octets - self._held)
            self._held = octets

    def _turn_away(self, reply: Reply, *, words: bool = True) -> None:
        metrics.turned_away(self._entrance.name).inc()
        if words:
            self.transport.write(reply.lines())
        self.transport.close()

    def _step(
        self, step: Callable[P, list[effects.Effect]], *args: P.args, **options: P.kwargs
    ) -> None:
        """Let the session take a step, and do what it wants done."""
        core = self._core
        if core is None:
            return
        try:
            self._act(step(*args, **options))
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("a step failed", session=self._name())
            self._act(core.stumble())
        if self._held and not core.is_busy:
            self._hold(0)
        if self._saw_eof and not core.is_waiting:
            self.transport.close()
        self._regulate()

    def _act(self, wanted: Sequence[effects.Effect]) -> None:
        for effect in wanted:
            self._acts[type(effect)](self, effect)

    def _regulate(self) -> None:
        """Read on, unless somebody cannot keep up: the client, the store, or we."""
        core, upload = self._core, self._upload
        if core is None or self._is_upgrading:
            return
        pause = (
            self._is_choked
            or (self._is_ahead and core.is_waiting)
            or (upload is not None and upload.is_full)
        )
        if pause is not self._is_paused:
            self._is_paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()

    def _say(self, effect: effects.Say) -> None:
        self._watch.command(self.loop.time())
        self.transport.write(effect.octets)

    def _close(self, _: effects.Close) -> None:
        if self._upload is not None:
            self._upload.spill()
        self.transport.close()

    def _introduced(self, effect: effects.Introduced) -> None:
        """Know the client by its own address; its place in the crowd is that of who brings it."""
        _log.info("introduced", session=self._name(), client=effect.client)
        self._client = effect.client

    def _admit(self, effect: effects.Admit) -> None:
        def admitted(core: Session, answer: AdmissionAnswer | None) -> list[effects.Effect]:
            is_out = answer is None or not answer.admitted
            if is_out and not self._entrance.is_trial:
                metrics.turned_away(self._entrance.name).inc()
                _log.info("not admitted", session=self._name())
            return core.admitted(answer)

        self._ask(lambda: self._entrance.directory.admit(effect.question), admitted)

    def _pause(self, effect: effects.Pause) -> None:
        self.loop.call_later(effect.seconds, self._resume)

    def _resume(self) -> None:
        """Go on, once the client has read what was said."""
        self._is_resuming = self._is_choked
        if self._core is not None and not self._is_choked:
            self._step(self._core.resumed)

    def _limited(self, effect: effects.Limited) -> None:
        if not self._entrance.is_trial:
            now = self.loop.time()
            self._entrance.limits.note(self._entrance.name, effect.limit, self._client, now)

    def _decide(self, effect: effects.Decide) -> None:
        def decided(core: Session, answers: Sequence[RelayAnswer] | None) -> list[effects.Effect]:
            return core.decided(answers and self._measured(effect, answers))

        self._ask(lambda: self._entrance.directory.decide(effect.questions), decided)

    def _measured(
        self, effect: effects.Decide, answers: Sequence[RelayAnswer]
    ) -> Sequence[RelayAnswer]:
        """Return ``answers``, but that who sends too much is told so."""
        doorway = self._entrance.doorway()
        if doorway is None or self._entrance.is_trial:
            return answers
        is_new = effect.mail != self._counted
        now = self.loop.time()
        judged = self._entrance.limits.judge(
            doorway.listener, effect.questions, answers, now, is_new=is_new
        )
        if is_new and any(answer.reply.is_positive for answer in judged):
            self._counted = effect.mail
        return judged

    def _login(self, effect: effects.Login) -> None:
        self._ask(lambda: self._entrance.directory.log_in(effect.question), Session.logged_in)

    def _ask(
        self,
        question: Callable[[], Awaitable[T]],
        answered: Callable[[Session, T | None], list[effects.Effect]],
    ) -> None:
        async def ask() -> None:
            answer = await self._answer_to(question)
            if self._core is not None:
                self._step(partial(answered, self._core), answer)

        self._entrance.crowd.work(ask())

    async def _answer_to(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """Return the answer, or None if there is none: never a yes and never a no."""
        try:
            return await question()
        except DirectoryUnavailableError as error:
            _log.warning("auth cannot be asked", session=self._name(), why=str(error))
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("asking auth failed", session=self._name())
        return None

    def _take(self, effect: effects.Take) -> None:
        self._hold(0)
        self._entrance.crowd.work(self._keep(effect))

    async def _keep(self, effect: effects.Take) -> None:
        try:
            with self._entrance.budget.holding(len(effect.content)):
                reply = await self._entrance.intake.take(effect.offer, effect.content)
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("keeping a message failed", mail=effect.offer.id)
            reply = replies.TRY_LATER
        if self._core is not None:
            self._step(self._core.stored, reply)

    def _open(self, effect: effects.Open) -> None:
        self._hold(0)
        self._upload = Upload(self._regulate)
        self._upload.pour(effect.head)
        self._entrance.crowd.work(self._keep_stream(effect.offer, self._upload))

    async def _keep_stream(self, offer: effects.Offer, upload: Upload) -> None:
        intake = self._entrance.intake
        try:
            with self._entrance.budget.holding(FULL):
                reply = await intake.take_stream(offer, upload.chunks())
        except SpilledError:
            return
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("keeping a message failed", mail=offer.id)
            reply = replies.TRY_LATER
        if await upload.was_sealed() and self._core is not None:
            self._upload = None
            self._step(self._core.stored, reply)

    def _pour(self, effect: effects.Pour) -> None:
        if self._upload is not None:
            self._upload.pour(effect.octets)

    def _seal(self, _: effects.Seal) -> None:
        if self._upload is not None:
            self._upload.seal()

    def _spill(self, _: effects.Spill) -> None:
        if self._upload is not None:
            self._upload.spill()
            self._upload = None

    def _refused(self, effect: effects.Refused) -> None:
        if not self._entrance.is_trial:
            journal.refused(self._entrance.name, self._client, effect)

    def _rejected(self, effect: effects.Rejected) -> None:
        journal.rejected(self._entrance.name, self._client, effect)

    def _start_tls(self, _: effects.StartTls) -> None:
        """Stop reading at once: what comes from now on is TLS, and not for us to read."""
        self._is_upgrading = True
        self.transport.pause_reading()
        self._entrance.crowd.work(self._upgrade())

    async def _upgrade(self) -> None:
        try:
            async with self._entrance.handshakes.one_of(self._client):
                context = self._entrance.certificates.context
                transport = await take_up_tls(self.transport, self, context)
        except OSError as error:
            _log.info("no TLS", session=self._name(), why=repr(error))
            transport = None
        if transport is None:
            self.transport.abort()
            self.connection_lost(None)
            return
        self.transport = transport
        self._is_upgrading = False
        tls = tls_of(transport, self._entrance.certificates)
        if self._core is not None and tls is not None:
            self._step(self._core.secured, tls)

    def _name(self) -> str:
        return f"{self._entrance.name} {self._client}:{self._port}"

    _acts: ClassVar[Mapping[type[effects.Effect], Callable[["Connection", Any], None]]] = {
        effects.Say: _say,
        effects.Close: _close,
        effects.Pause: _pause,
        effects.Limited: _limited,
        effects.Introduced: _introduced,
        effects.Admit: _admit,
        effects.Decide: _decide,
        effects.Login: _login,
        effects.StartTls: _start_tls,
        effects.Take: _take,
        effects.Open: _open,
        effects.Pour: _pour,
        effects.Seal: _seal,
        effects.Spill: _spill,
        effects.Refused: _refused,
        effects.Rejected: _rejected,
    }
