"""A remote mail server that keeps what it gets, and answers as the test says. Runs in a thread."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult


@dataclass
class Received:
    """One message that the remote took."""

    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class Sink:
    """The remote. ``answer`` is asked at RCPT; ``None`` means that the recipient is fine.

    It thinks for ``pause`` seconds about what it has taken before it says so, and for as long as
    it ``holds``. Where there are ``users`` (passwords by login), it takes mail of nobody else.
    """

    port: int
    answer: Callable[[str], str | None] = lambda _: None
    pause: float = 0.0
    holds: bool = False
    received: list[Received] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    logins: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._controller: Controller | None = None

    def start(self) -> "Sink":
        self._controller = _PatientController(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()
        return self

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def to(self, recipient: str) -> list[Received]:
        """Return the messages that came for ``recipient``."""
        with self._lock:
            return [mail for mail in self.received if recipient in mail.recipients]

    def authenticate(self, server, session, envelope, mechanism, data):
        login, password = data.login.decode(), data.password.decode()
        if self.users.get(login) != password:
            return AuthResult(success=False, handled=False)
        self.logins.append(login)
        return AuthResult(success=True)

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.users and not session.authenticated:
            return "530 5.7.0 Authentication required"
        refusal = self.answer(address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        mail = Received(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content)
        with self._lock:
            self.received.append(mail)
        await asyncio.sleep(self.pause)
        while self.holds:  # noqa: ASYNC110 - the test sets it in another thread
            await asyncio.sleep(0.02)
        return "250 2.0.0 OK"


class _PatientController(Controller):
    """aiosmtpd's controller, with room for long messages."""

    def factory(self) -> SMTP:
        sink = self.handler
        return SMTP(
            sink,
            hostname="remote.test",
            data_size_limit=60_000_000,
            loop=self.loop,
            authenticator=sink.authenticate if sink.users else None,
            auth_require_tls=not sink.users,
        )
