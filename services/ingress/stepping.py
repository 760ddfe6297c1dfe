"""Stepping: lets a session take its steps, and carries out what it wants."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVarTuple, Unpack

import structlog
from aiosmtpd.smtp import SMTP

from kernel.listening import Peer
from kernel.model.envelope import INLINE_LIMIT, MailId
from services.ingress.core import effects
from services.ingress.core.session import Session
from services.ingress.core.watch import Watch
from services.ingress.entrance import Entrance
from services.ingress.upload import Upload

A = TypeVarTuple("A")
Acts = Mapping[type[effects.Effect], Callable[[Any, Any], None]]
"""How each effect is carried out, by a method."""
_Step = tuple[Callable[..., list[effects.Effect]], tuple[Any, ...]]

_log = structlog.get_logger("ingress")


class Stepping(SMTP):
    """The state of one connection, and how a step is taken."""

    transport: asyncio.Transport
    _acts: ClassVar[Acts]

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
        self._is_stepping = False
        self._next_step: _Step | None = None

    def _step(self, step: Callable[[Unpack[A]], list[effects.Effect]], *args: *A) -> None:
        """Let the session take a step, and do what it wants done.

        An answer that is there at once is the next step, and waits for the end of this one.
        """
        if self._is_stepping:
            self._next_step = step, args
            return
        self._is_stepping = True
        try:
            self._take_steps((step, args))
        finally:
            self._is_stepping = False
        self._settle()

    def _take_steps(self, next_step: _Step | None) -> None:
        while next_step is not None and (core := self._core) is not None:
            step, args = next_step
            self._next_step = None
            try:
                for effect in step(*args):
                    self._acts[type(effect)](self, effect)
            except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
                _log.exception("a step failed", session=self._name())
                self._stumble(core)
            if self._held and not core.is_busy:
                self._hold(0)
            next_step, self._next_step = self._next_step, None

    def _stumble(self, core: Session) -> None:
        self._next_step = None
        for effect in core.stumble():
            self._acts[type(effect)](self, effect)

    def _settle(self) -> None:
        """See to what hangs on how far the session has come."""
        core = self._core
        if core is None:
            return
        if self._saw_eof and not core.is_waiting:
            self.transport.close()
        if self._is_ahead or self._is_choked or self._is_paused or self._upload is not None:
            self._regulate()

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

    def _grow(self, octets: int) -> None:
        """Note that a message has grown; what is poured on stands in the upload's own budget."""
        self._watch.content(octets)
        if self._upload is None:
            self._hold(min(self._held + octets, INLINE_LIMIT))

    def _hold(self, octets: int) -> None:
        if octets != self._held:
            self._entrance.budget.change(octets - self._held)
            self._held = octets

    def _name(self) -> str:
        return f"{self._entrance.name} {self._client}:{self._port}"
