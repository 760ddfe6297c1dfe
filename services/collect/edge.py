"""Edge: carries a session from one end to the other, one task for each client.

What arrives goes into `Session`, and the effects that come out are carried out. A client
that leaves cancels nothing: what its QUIT has begun comes to its end without it.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace

import structlog

from kernel.mailboxes.port import (
    MailboxBusyError,
    Mailboxes,
    MailboxUnavailableError,
    MessageMissingError,
)
from kernel.model.address import Address
from kernel.model.questions import LoginAnswer, LoginVerdict
from kernel.tls import Certificates
from services.collect import metrics
from services.collect.core import effects
from services.collect.core.doorway import Doorway
from services.collect.core.maildrop import Message
from services.collect.core.pop3 import Obstacle, Session
from services.collect.ports import Doorkeeper, DoorkeeperUnavailableError
from services.collect.wire import Wire

_log = structlog.get_logger("collect")


@dataclass(frozen=True, slots=True)
class Entrance:
    """What all clients of one listener share. Limits are in seconds."""

    doorway: Doorway
    doorkeeper: Doorkeeper
    mailboxes: Mailboxes
    certificates: Certificates
    idle_limit: float
    login_limit: float

    @property
    def name(self) -> str:
        """The listener's."""
        return self.doorway.listener


class Visit:
    """One client, from greeting to goodbye."""

    def __init__(self, entrance: Entrance, wire: Wire) -> None:
        self._entrance = entrance
        self._wire = wire
        doorway = entrance.doorway
        if wire.is_secured:
            doorway = replace(doorway, binding=self._binding())
        self._session = Session(doorway, wire.client, secured=wire.is_secured)
        self._claim = AsyncExitStack()
        self._mailbox: Address | None = None
        self._login = ""
        self._deleted = 0
        self._deadline = asyncio.get_running_loop().time() + entrance.login_limit

    async def run(self) -> None:
        """Talk until the client leaves, or has been silent for too long (RFC 1939 §3)."""
        try:
            async with self._claim:
                await self._converse()
            await self._wire.close(self._entrance.idle_limit)
        except OSError as error:  # a timeout is one
            _log.debug("gone", **self._who(), why=repr(error))
        except Exception:  # noqa: BLE001 - our own fault ends one session, and no other
            _log.exception("a session failed", **self._who())
        finally:
            self._wire.abort()
            self._note_end()

    async def _converse(self) -> None:
        await self._act(self._session.greet())
        while not self._session.is_closed:
            async with asyncio.timeout_at(self._patience()):
                octets = await self._wire.read()
            if not octets:
                break
            await self._act(self._session.receive(octets))

    def _patience(self) -> float:
        """Return until when the client may be silent."""
        idle = asyncio.get_running_loop().time() + self._entrance.idle_limit
        return idle if self._session.is_logged_in else min(idle, self._deadline)

    async def _act(self, wanted: Iterable[effects.Effect]) -> None:
        """Do what the session wants, and what it wants next."""
        line = deque(wanted)
        while line:
            line.extend(await self._carry_out(line.popleft()))

    async def _carry_out(self, effect: effects.Effect) -> list[effects.Effect]:
        match effect:
            case effects.Say():
                await self._say(effect.octets)
            case effects.Login():
                return self._session.logged_in(await self._ask(effect))
            case effects.Claim():
                return self._session.claimed(await self._open(effect))
            case effects.StartTls():
                await self._wire.take_up_tls(self._entrance.certificates.context)
                return self._session.secured(self._binding())
            case effects.Fetch():
                return await self._fetch(effect)
            case effects.Update():
                return self._session.updated(everything=await self._update(effect))
            case effects.Close():
                pass  # follows once the session is over
        return self._session.said()

    async def _say(self, octets: bytes) -> None:
        async with asyncio.timeout(self._entrance.idle_limit):
            await self._wire.write(octets)

    async def _ask(self, effect: effects.Login) -> LoginAnswer | None:
        """Return the answer, or None if there is none: never a yes and never a no."""
        try:
            answer = await self._entrance.doorkeeper.log_in(effect.question)
        except DoorkeeperUnavailableError as error:
            _log.warning("auth cannot be asked", **self._who(), why=str(error))
            self._count("unavailable")
            return None
        if answer.verdict in (LoginVerdict.REFUSED, LoginVerdict.LOCKED):
            self._count(answer.verdict.value)
        return answer

    async def _open(self, effect: effects.Claim) -> list[Message] | Obstacle:
        mailboxes = self._entrance.mailboxes
        try:
            await self._claim.enter_async_context(mailboxes.claim(effect.mailbox))
            stored = await mailboxes.messages(effect.mailbox)
        except MailboxBusyError:
            _log.info("in use", **self._who(), login=effect.login)
            self._count("in use")
            return Obstacle.IN_USE
        except MailboxUnavailableError as error:
            await self._claim.aclose()
            _log.warning("no mailbox", **self._who(), login=effect.login, why=str(error))
            self._count("unavailable")
            return Obstacle.UNAVAILABLE
        self._mailbox, self._login = effect.mailbox, effect.login
        _log.info("login", **self._who(), messages=len(stored), tls=self._wire.is_secured)
        self._count("granted")
        return [Message(message.key, message.size) for message in stored]

    async def _fetch(self, effect: effects.Fetch) -> list[effects.Effect]:
        try:
            async with aclosing(self._entrance.mailboxes.read(self._owned, effect.key)) as parts:
                async for part in parts:
                    await self._act(self._session.fetched(part))
                    if self._session.has_fetched_enough:
                        break
        except MessageMissingError:
            return self._session.not_fetched(Obstacle.MISSING)
        except MailboxUnavailableError as error:
            _log.warning("cannot read", **self._who(), key=effect.key, why=str(error))
            return self._session.not_fetched(Obstacle.UNAVAILABLE)
        return self._session.fetched_all()

    async def _update(self, effect: effects.Update) -> bool:
        """Remove what is to go, then let others in; return whether everything is gone."""
        try:
            if effect.keys:
                await self._entrance.mailboxes.delete(self._owned, effect.keys)
        except MailboxUnavailableError as error:
            _log.warning("cannot delete", **self._who(), why=str(error))
            return False
        finally:
            await self._claim.aclose()
        self._deleted = len(effect.keys)
        return True

    def _binding(self) -> bytes:
        """Return what a login can be bound to, now that there is TLS."""
        secured = self._wire.transport.get_extra_info("ssl_object")
        return self._entrance.certificates.binding_of(secured)

    @property
    def _owned(self) -> Address:
        if self._mailbox is None:
            raise RuntimeError("there is no mailbox before the login")
        return self._mailbox

    def _count(self, outcome: str) -> None:
        metrics.logins(self._entrance.name, outcome).inc()

    def _note_end(self) -> None:
        if self._mailbox is None:
            return
        name, session = self._entrance.name, self._session
        metrics.retrieved(name).inc(session.retrieved)
        metrics.octets(name).inc(session.octets)
        metrics.deleted(name).inc(self._deleted)
        _log.info(
            "collected",
            **self._who(),
            retrieved=session.retrieved,
            octets=session.octets,
            deleted=self._deleted,
        )

    def _who(self) -> dict[str, str]:
        known = {"listener": self._entrance.name, "client": self._wire.client}
        return {**known, "login": self._login} if self._login else known
