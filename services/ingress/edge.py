"""Edge: aiosmtpd's server class as a thin shell over our own session core.

aiosmtpd reads line by line in a task for each connection; here what arrives goes into
`Session` as it is, and the effects that come out are carried out. A task exists only
while something has to be awaited, and it outlives the client: what was begun for a
message comes to its end even if nobody is left to hear of it.
"""

import asyncio
from typing import ClassVar, cast

import structlog

from kernel.listening import plain_address
from kernel.model.reply import Reply
from services.ingress import journal, metrics
from services.ingress.asking import Asking
from services.ingress.core import effects, replies
from services.ingress.core.doorway import Doorway
from services.ingress.core.session import Session
from services.ingress.core.watch import Overdue, Phase, Times
from services.ingress.keeping import Keeping
from services.ingress.peer import take_up_tls, tls_of
from services.ingress.stepping import Acts

_OVERDUE = {
    Overdue.IDLE: replies.IDLE,
    Overdue.SLOW: replies.TOO_SLOW,
    Overdue.LONG: replies.TOO_LONG,
}

_log = structlog.get_logger("ingress")


class Connection(Asking, Keeping):
    """One client."""

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

    def _turn_away(self, reply: Reply, *, words: bool = True) -> None:
        metrics.turned_away(self._entrance.name).inc()
        if words:
            self.transport.write(reply.lines())
        self.transport.close()

    def _say(self, effect: effects.Say) -> None:
        self._watch.command()
        self.transport.write(effect.octets)

    def _close(self, _: effects.Close) -> None:
        if self._upload is not None:
            self._upload.spill()
        self.transport.close()

    def _introduced(self, effect: effects.Introduced) -> None:
        """Know the client by its own address, if there is a place for it."""
        _log.info("introduced", session=self._name(), client=effect.client)
        self._client = effect.client
        doorway = self._entrance.doorway()
        refusal = replies.NOT_YET if doorway is None else self._admission_to_crowd(doorway)
        if refusal is not None:
            metrics.turned_away(self._entrance.name).inc()
        if self._core is not None:
            self._step(self._core.introduced, refusal)

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

    def _refused(self, effect: effects.Refused) -> None:
        if not self._entrance.is_trial:
            journal.refused(self._entrance.name, self._client, effect)

    def _rejected(self, effect: effects.Rejected) -> None:
        journal.rejected(self._entrance.name, self._client, effect)

    def _start_tls(self, effect: effects.StartTls) -> None:
        """Stop reading at once: what comes from now on is TLS, and not for us to read."""
        self._is_upgrading = True
        self.transport.pause_reading()
        self._entrance.crowd.work(self._upgrade(asks=effect.asks))

    async def _upgrade(self, *, asks: bool) -> None:
        try:
            async with self._entrance.handshakes.one_of(self._client):
                context = self._entrance.certificates.context_for(asks=asks)
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
        if tls is not None and tls.certificate:
            _log.info(
                "client certificate", session=self._name(), sha256=tls.certificate, of=tls.holder
            )
        if self._core is not None and tls is not None:
            self._step(self._core.secured, tls)

    _acts: ClassVar[Acts] = {
        **Asking.asks,
        **Keeping.keeps,
        effects.Say: _say,
        effects.Close: _close,
        effects.Pause: _pause,
        effects.Limited: _limited,
        effects.Introduced: _introduced,
        effects.StartTls: _start_tls,
        effects.Refused: _refused,
        effects.Rejected: _rejected,
    }
