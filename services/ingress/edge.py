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
from kernel.model.questions import AdmissionAnswer
from kernel.model.reply import Reply
from services.ingress import journal, metrics
from services.ingress.core import effects, replies
from services.ingress.core.doorway import Doorway
from services.ingress.core.session import Session
from services.ingress.entrance import Entrance
from services.ingress.peer import take_up_tls, tls_of
from services.ingress.ports import DirectoryUnavailableError
from services.ingress.upload import SpilledError, Upload

P = ParamSpec("P")
T = TypeVar("T")

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
        self._touched = self.loop.time()
        self._upload: Upload | None = None
        self._is_upgrading = False
        self._is_ahead = False
        self._is_choked = False
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
            self._touched = self.loop.time()
            self._is_ahead = self._core.is_waiting
            self._step(self._core.receive, data)

    def eof_received(self) -> bool:
        """Stay for the answer that is due, if there is one, and if TLS does not forbid it."""
        self._saw_eof = True
        waits = self._core is not None and self._core.is_waiting
        return waits and self.transport.get_extra_info("ssl_object") is None

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Forget the client; what is sealed goes on without it."""
        self._core = None
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
        self._regulate()

    # What the crowd tells us.

    @property
    def is_busy(self) -> bool:
        """Whether a message is coming in or being made ours."""
        return self._core is not None and self._core.is_busy

    def leave(self) -> None:
        """Ask the client to go, at once or after its message."""
        if self._is_upgrading:
            self.abort()  # in the middle of a handshake there are no words
        elif self._core is not None:
            self._step(self._core.leave)

    def check_idle(self, now: float, limit: float) -> None:
        """Hang up if the client has been silent for longer than ``limit``."""
        if self._core is None or now - self._touched < limit:
            return
        if self._core.is_closed or self._is_upgrading:
            self.abort()
        elif not self._core.is_waiting:
            self._touched = now
            self._step(self._core.end, replies.IDLE)

    def abort(self) -> None:
        """Drop the connection."""
        self.transport.abort()

    # Doing what the session wants.

    def _admission_to_crowd(self, doorway: Doorway) -> Reply | None:
        if self._entrance.is_trial:
            return None
        return self._entrance.crowd.admit(self, doorway.listener, self._client)

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
        self.transport.write(effect.octets)

    def _close(self, _: effects.Close) -> None:
        if self._upload is not None:
            self._upload.spill()
        self.transport.close()

    def _admit(self, effect: effects.Admit) -> None:
        def admitted(core: Session, answer: AdmissionAnswer | None) -> list[effects.Effect]:
            is_out = answer is None or not answer.admitted
            if is_out and not self._entrance.is_trial:
                metrics.turned_away(self._entrance.name).inc()
                _log.info("not admitted", session=self._name())
            return core.admitted(answer)

        self._ask(lambda: self._entrance.directory.admit(effect.question), admitted)

    def _decide(self, effect: effects.Decide) -> None:
        self._ask(lambda: self._entrance.directory.decide(effect.questions), Session.decided)

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
        self._entrance.crowd.work(self._keep(effect))

    async def _keep(self, effect: effects.Take) -> None:
        try:
            reply = await self._entrance.intake.take(effect.offer, effect.content)
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("keeping a message failed", mail=effect.offer.id)
            reply = replies.TRY_LATER
        if self._core is not None:
            self._step(self._core.stored, reply)

    def _open(self, effect: effects.Open) -> None:
        self._upload = Upload(self._regulate)
        self._entrance.crowd.work(self._keep_stream(effect, self._upload))

    async def _keep_stream(self, effect: effects.Open, upload: Upload) -> None:
        intake = self._entrance.intake
        try:
            reply = await intake.take_stream(effect.offer, effect.head, upload.chunks())
        except SpilledError:
            return
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("keeping a message failed", mail=effect.offer.id)
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
            transport = await take_up_tls(self.transport, self, self._entrance.certificates.context)
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
