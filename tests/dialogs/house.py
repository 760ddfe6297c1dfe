"""A really served ingress, with a small auth of simple rules beside it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiohttp import web

from kernel import wire
from kernel.model.events import DirectoryChanged, MailAccepted
from kernel.model.questions import (
    Acquaintance,
    AdmissionAnswer,
    AdmissionQuestion,
    GreylistAnswer,
    GreylistQuestion,
    Listener,
    LoginAnswer,
    LoginQuestion,
    LoginVerdict,
    PlaintextAuth,
    RelayAnswer,
    RelayQuestion,
    TlsMode,
)
from kernel.model.reply import Reply
from kernel.platform import Platform
from services.ingress.main import Ingress, open_ingress
from services.ingress.settings import Settings
from tests.support import sasl
from tests.support.fakes import make_platform

TAKEN = Reply(250, "2.1.5", "Recipient OK")
UNKNOWN = Reply(550, "5.1.1", "No such user here")
DENIED = Reply(550, "5.7.1", "Relaying denied")
LOGIN_FIRST = Reply(530, "5.7.0", "Authentication required")

ADMITTED = AdmissionAnswer(admitted=True)
LIMITS = (PlaintextAuth.NEVER, 2_000_000, 5, 50, 20)
MX = Listener("mx", TlsMode.STARTTLS, (), *LIMITS)
ALL = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
SUBMISSION = Listener("submission", TlsMode.STARTTLS_REQUIRED, ALL, *LIMITS)
SUBMISSIONS = Listener("submissions", TlsMode.IMPLICIT, ("PLAIN", "LOGIN"), *LIMITS)


async def nobody_is_new(_: GreylistQuestion) -> GreylistAnswer:
    return GreylistAnswer(Acquaintance.KNOWN)


@dataclass
class StubAuth:
    """Answers by simple rules; ``away`` makes it fail. Whoever has no login may be a stranger."""

    listeners: dict[str, Listener] = field(
        default_factory=lambda: {
            "mx": MX,
            "submission": SUBMISSION,
            "submissions": SUBMISSIONS,
        }
    )
    away: bool = False
    stranger: bool = False
    admission: AdmissionAnswer = ADMITTED
    arrivals: list[AdmissionQuestion] = field(default_factory=list)
    batches: list[list[RelayQuestion]] = field(default_factory=list)
    logins: list[LoginQuestion] = field(default_factory=list)
    greylist: Callable[[GreylistQuestion], Awaitable[GreylistAnswer]] = nobody_is_new
    url: str = ""

    def decide(self, question: RelayQuestion) -> RelayAnswer:
        """Ours is for everybody, the world for who is logged in."""
        if question.recipient.domain == "ours.test":
            known = question.recipient.local.lower() != "nobody"
            return RelayAnswer(TAKEN if known else UNKNOWN, "local", question.login)
        if question.login:
            return RelayAnswer(TAKEN, "authenticated", question.login)
        wanted = question.listener == "submission"
        return (
            RelayAnswer(LOGIN_FIRST, "auth-required")
            if wanted
            else RelayAnswer(DENIED, "relay-denied")
        )

    @staticmethod
    def judge(question: LoginQuestion) -> LoginAnswer:
        """The password is ``secret``."""
        if question.password == "locked":
            return LoginAnswer(LoginVerdict.LOCKED)
        return sasl.judge(question, "secret")

    async def handle(self, request: web.Request) -> web.Response:
        if self.away or request.headers["Authorization"] != "Bearer service-token":
            return web.Response(status=503)
        body = await request.read()
        if request.path == "/internal/relay":
            questions = wire.from_json(body, list[RelayQuestion])
            self.batches.append(questions)
            answer = [
                replace(self.decide(question), stranger=self.stranger and not question.login)
                for question in questions
            ]
        elif request.path == "/internal/login":
            self.logins.append(wire.from_json(body, LoginQuestion))
            answer = self.judge(self.logins[-1])
        elif request.path == "/internal/admission":
            self.arrivals.append(wire.from_json(body, AdmissionQuestion))
            answer = self.admission
        elif request.path == "/internal/greylist":
            answer = await self.greylist(wire.from_json(body, GreylistQuestion))
        else:
            answer = self.listeners[request.path.rpartition("/")[2]]
        return web.Response(body=wire.to_json(answer))


@dataclass
class House:
    """What a test can reach."""

    platform: Platform
    auth: StubAuth
    ingress: Ingress
    clients: list["Client"] = field(default_factory=list)

    def address(self, listener: str = "mx") -> tuple[str, int]:
        return self.ingress.addresses[listener]

    @property
    def accepted(self) -> list[MailAccepted]:
        return [event for event in self.platform.bus.published if isinstance(event, MailAccepted)]

    async def change(self, listener: str, **changes: object) -> None:
        """Let auth say something new of a listener, and wait until ingress has heard of it."""
        known = self.auth.listeners[listener] = replace(self.auth.listeners[listener], **changes)
        async with asyncio.timeout(10):
            while self.ingress.policies.current(listener) != known:
                await self.platform.bus.broadcast(DirectoryChanged("listeners", listener))
                await asyncio.sleep(0.01)

    async def connect(self, listener: str = "mx") -> "Client":
        self.clients.append(Client(*await asyncio.open_connection(*self.address(listener))))
        return self.clients[-1]


@dataclass
class Client:
    """Speaks octets; every wait has a deadline."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> str:
        """Return the next reply, its lines joined by ``\\n``; empty at the end."""
        lines = []
        async with asyncio.timeout(10):
            while line := (await self.reader.readline()).decode():
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    break
        return "\n".join(lines)

    async def replies(self, count: int) -> list[str]:
        return [(await self.reply())[:3] for _ in range(count)]

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def ask(self, line: str) -> str:
        self.send(f"{line}\r\n".encode())
        return await self.reply()

    async def start_tls(self) -> None:
        """Do the client's part of the handshake; any certificate is good enough."""
        context = ssl._create_unverified_context()
        async with asyncio.timeout(10):
            await self.writer.start_tls(context, server_hostname="mx.ours.test")

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(10):
                await self.writer.wait_closed()
        except OSError:
            self.writer.transport.abort()


@asynccontextmanager
async def stub_auth() -> AsyncIterator[StubAuth]:
    auth = StubAuth()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", auth.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        auth.url = "http://{}:{}".format(*runner.addresses[0])
        yield auth
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_house(
    tmp_path, *, wait=True, platform=None, auth_away=False, **settings
) -> AsyncIterator[House]:
    """Serve ingress on free ports of the loopback interface."""
    async with stub_auth() as auth:
        auth.away = auth_away
        common = {"auth_url": auth.url, "grace": 2.0}
        stage = make_platform(settings=common, **(platform or {}))
        free = dict.fromkeys(
            ("listen_mx", "listen_submission", "listen_submissions"), "127.0.0.1:0"
        )
        usual = {"tls_folder": tmp_path / "tls", "self_test": False}
        own = Settings(**{**free, **usual, **settings})
        async with open_ingress(stage, own) as ingress:
            if wait:
                async with asyncio.timeout(10):
                    await ingress.policies.all_known()
            house = House(stage, auth, ingress)
            try:
                yield house
            finally:
                for client in house.clients:
                    await client.close()


async def soon(condition):
    """Let others run until ``condition`` holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - whatever it is, it has no event
            await asyncio.sleep(0.005)
