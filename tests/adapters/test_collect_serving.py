"""Collect over real sockets: its clients, their troubles, its end."""

import asyncio
import poplib
import ssl
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from kernel import wire
from kernel.mailboxes.port import MailboxUnavailableError
from kernel.model.questions import LoginQuestion, LoginVerdict
from services.collect.core.doorway import Plaintext
from services.collect.main import Collect, open_collect, serve
from services.collect.settings import Settings
from tests.support import sasl
from tests.support.fakes import DictMailboxes, make_platform
from tests.support.mail import ANN, MESSAGE
from tests.support.ports import free_port

TRUSTING = ssl._create_unverified_context()
BIG = b"Subject: big\r\n\r\n" + (b"." + b"x" * 70 + b"\r\n") * 200_000


class SlowMailboxes(DictMailboxes):
    """Deletes when it is told to, and reads in parts."""

    def __init__(self):
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.handed_out = 0
        self.trouble: Exception | None = None

    async def delete(self, mailbox, keys):
        self.asked.set()
        await self.go.wait()
        await super().delete(mailbox, keys)

    async def read(self, mailbox, key):
        async for whole in super().read(mailbox, key):
            for at in range(0, len(whole), 65_536):
                self.handed_out += 1
                yield whole[at : at + 65_536]
                if self.trouble is not None:
                    raise self.trouble


@dataclass
class House:
    """A served collect, and a small auth beside it."""

    collect: Collect | None = None
    mailboxes: DictMailboxes = field(default_factory=DictMailboxes)
    asked: list[LoginQuestion] = field(default_factory=list)
    away: bool = False
    url: str = ""

    def address(self, listener="pop3"):
        return self.collect.addresses[listener]

    @property
    def box(self):
        return self.mailboxes.boxes[ANN]

    async def answer(self, request):
        question = wire.from_json(await request.read(), LoginQuestion)
        self.asked.append(question)
        plain = replace(question, mechanism="PLAIN") if question.mechanism == "USER" else question
        answer = sasl.judge(plain, "secret")
        if answer.verdict is LoginVerdict.GRANTED:
            answer = replace(answer, mailbox=ANN)
        return web.Response(status=503 if self.away else 200, body=wire.to_json(answer))


@asynccontextmanager
async def small_auth(house):
    app = web.Application()
    app.router.add_post("/internal/login", house.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", free_port())
    await site.start()
    try:
        yield site.name
    finally:
        await runner.cleanup()


def settings(tmp_path, **changes):
    wanted = {"listen_pop3": "127.0.0.1:0", "listen_pop3s": "127.0.0.1:0", "tls_folder": tmp_path}
    return Settings(**wanted).model_copy(update=changes)


@asynccontextmanager
async def open_house(tmp_path, mailboxes=None, grace=5, **changes):
    house = House(mailboxes=mailboxes or DictMailboxes())
    house.mailboxes.boxes[ANN] = {"first": MESSAGE, "second": MESSAGE + b".\r\nmore\r\n"}
    async with small_auth(house) as url:
        common = {"auth_url": url, "grace": timedelta(seconds=grace)}
        platform = make_platform(mailboxes=house.mailboxes, settings=common)
        async with open_collect(platform, settings(tmp_path, **changes)) as house.collect:
            yield house


@pytest.fixture
async def house(tmp_path):
    async with open_house(tmp_path) as house:
        yield house


class Client:
    """A client that says what the test wants, when it wants."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def say(self, *lines):
        self.writer.write(b"".join(line.encode() + b"\r\n" for line in lines))
        await self.writer.drain()

    async def hear(self):
        async with asyncio.timeout(10):
            return (await self.reader.readline()).decode().rstrip("\r\n")

    async def ask(self, line):
        await self.say(line)
        return await self.hear()

    async def hear_end(self):
        """Read on until the server closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    def drop(self):
        self.writer.transport.abort()


@asynccontextmanager
async def connected(house, listener="pop3", *, login=False, **options):
    reader, writer = await asyncio.open_connection(*house.address(listener), **options)
    client = Client(reader, writer)
    try:
        assert (await client.hear()).startswith("+OK")
        if login:
            await client.say("USER ann", "PASS secret")
            assert (await client.hear()).startswith("+OK")
            assert "messages" in (await client.hear())
        yield client
    finally:
        client.drop()


async def soon(condition):
    """Let others run until ``condition`` holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - whatever it is, it has no event
            await asyncio.sleep(0.005)


def collect(address, *, implicit=False, stls=False, delete=False):
    kind = poplib.POP3_SSL if implicit else poplib.POP3
    client = kind(*address, timeout=10, **({"context": TRUSTING} if implicit else {}))
    if stls:
        client.stls(TRUSTING)
    client.user("ann")
    client.pass_("secret")
    messages = [b"\r\n".join(client.retr(n + 1)[1]) for n in range(client.stat()[0])]
    if delete:
        client.dele(1)
    client.quit()
    return messages


@pytest.mark.parametrize(
    ("listener", "how", "tls"),
    [
        ("pop3", {}, False),
        ("pop3", {"stls": True}, True),
        ("pop3s", {"implicit": True}, True),
    ],
    ids=["plain", "STLS", "TLS"],
)
async def test_a_user_collects_and_deletes(house, listener, how, tls):
    messages = await asyncio.to_thread(collect, house.address(listener), delete=True, **how)

    assert messages[1].endswith(b"\r\n.\r\nmore")
    assert list(house.box) == ["second"]
    [question] = house.asked
    assert (question.service, question.listener, question.client, question.mechanism) == (
        "pop3",
        listener,
        "127.0.0.1",
        "USER",
    )
    assert question.tls is tls


async def test_what_came_with_stls_is_never_obeyed(house):
    async with connected(house) as client:
        await client.say("STLS", "USER eve", "CAPA")
        assert await client.hear() == "+OK Begin TLS"

        await client.writer.start_tls(TRUSTING)

        assert (await client.ask("PASS secret")).startswith("-ERR Say USER")
        assert house.asked == []


async def test_scram_is_bound_to_the_certificate_that_the_client_sees(tmp_path):
    async with (
        open_house(tmp_path, mechanisms=("SCRAM-SHA-256-PLUS",)) as house,
        connected(house, "pop3s", ssl=TRUSTING) as client,
    ):
        seen = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        other = sasl.client("SCRAM-SHA-256-PLUS", "ann", "secret", seen + b"of somebody else")
        same = sasl.client("SCRAM-SHA-256-PLUS", "ann", "secret", seen)

        assert (await scram(client, other)).startswith("-ERR [AUTH]")
        assert (await scram(client, same)).startswith("+OK 2 messages")


async def scram(client, theirs):
    line = f"AUTH SCRAM-SHA-256-PLUS {sasl_line(next(theirs))}"
    while (said := await client.ask(line)).startswith("+ "):
        line = sasl_line(theirs.send(b64decode(said[2:])))
    return said


def sasl_line(response):
    return b64encode(response).decode()


async def test_an_auth_that_is_away_is_no_permanent_trouble(house):
    house.away = True

    async with connected(house) as client:
        await client.ask("USER ann")
        assert (await client.ask("PASS secret")).startswith("-ERR [SYS/TEMP]")
        house.away = False
        await client.ask("USER ann")
        assert (await client.ask("PASS secret")).startswith("+OK")


async def test_a_second_session_is_told_and_gets_its_turn(house):
    async with connected(house, login=True) as first, connected(house) as second:
        await second.ask("USER ann")
        assert (await second.ask("PASS secret")).startswith("-ERR [IN-USE]")

        await first.ask("QUIT")

        await second.ask("USER ann")
        assert (await second.ask("PASS secret")).startswith("+OK 2 messages")


async def test_who_drops_the_line_deletes_nothing_and_blocks_nobody(house):
    async with connected(house, login=True) as client:
        await client.ask("DELE 1")
        client.drop()
    await soon(lambda: not house.mailboxes.claimed)

    assert len(house.box) == 2
    async with connected(house, login=True):
        pass


async def test_who_says_quit_and_hangs_up_has_said_quit(house):
    async with connected(house, login=True) as client:
        await client.say("DELE 1", "QUIT")
        client.writer.close()

    await soon(lambda: list(house.box) == ["second"])


async def test_a_pipeline_that_is_cut_off_before_its_quit_deletes_nothing(tmp_path):
    async with open_house(tmp_path, SlowMailboxes()) as house:
        house.box["big"] = BIG
        async with connected(house, login=True) as client:
            await client.say("RETR 3", "DELE 3", "QUIT")
            await client.hear()
            client.drop()
        await soon(lambda: not house.mailboxes.claimed)

        assert len(house.box) == 3


async def test_mail_that_comes_meanwhile_waits_for_the_next_session(house):
    async with connected(house, login=True) as client:
        house.box["third"] = MESSAGE
        assert await client.ask("STAT") == f"+OK 2 {2 * len(MESSAGE) + 9}"
        await client.say("DELE 1", "DELE 2", "QUIT")
        await client.hear_end()

    assert list(house.box) == ["third"]


async def test_a_message_that_has_vanished_is_missing_and_nothing_else(house):
    async with connected(house, login=True) as client:
        del house.box["first"]

        assert await client.ask("RETR 1") == "-ERR No such message"
        await client.say("DELE 1", "QUIT")
        assert (await client.hear_end()).endswith(b"+OK Bye\r\n")


async def test_a_big_message_never_stands_in_memory(tmp_path):
    async with open_house(tmp_path, SlowMailboxes()) as house:
        house.box["big"] = BIG
        async with connected(house, login=True, limit=1024) as client:
            await client.say("RETR 3")
            assert await client.hear() == f"+OK {len(BIG)} octets"
            await asyncio.sleep(0.2)  # it reads nothing now: how far do we run ahead?
            assert house.mailboxes.handed_out * 65_536 < len(BIG) / 2

            await client.say("QUIT")
            said = await client.hear_end()

        assert said == BIG.replace(b"\n.", b"\n..") + b".\r\n+OK Bye\r\n"


async def test_what_stands_behind_the_top_of_a_message_never_sounds_like_a_reply(tmp_path):
    async with open_house(tmp_path, SlowMailboxes()) as house:
        house.box["big"] = BIG
        async with connected(house, login=True) as client:
            await client.say("TOP 3 0", "RETR 1", "NOOP", "QUIT")
            said = await client.hear_end()

        top = f"+OK {len(BIG)} octets\r\nSubject: big\r\n\r\n.\r\n".encode()
        first = f"+OK {len(MESSAGE)} octets\r\n".encode() + MESSAGE + b".\r\n"
        assert said == top + first + b"+OK\r\n+OK Bye\r\n"


async def test_half_a_message_ends_the_connection(tmp_path):
    async with open_house(tmp_path, SlowMailboxes()) as house:
        house.box["big"] = BIG
        house.mailboxes.trouble = MailboxUnavailableError("the disk is gone")
        async with connected(house, login=True) as client:
            await client.say("DELE 1", "RETR 3", "QUIT")
            said = await client.hear_end()

        assert not said.endswith(b".\r\n")
        assert len(house.box) == 3


async def test_a_slow_client_may_take_its_time_and_a_silent_one_may_not(tmp_path):
    limit = timedelta(seconds=0.3)
    async with open_house(tmp_path, idle_timeout=limit) as house, connected(house, login=True) as c:
        for _ in range(3):
            await asyncio.sleep(0.15)
            assert (await c.ask("NOOP")) == "+OK"
        await c.ask("DELE 1")

        assert await c.hear_end() == b""
        assert len(house.box) == 2


async def test_who_does_not_log_in_has_to_go(tmp_path):
    limit = timedelta(seconds=0.3)
    async with open_house(tmp_path, login_timeout=limit) as house, connected(house) as client:
        for _ in range(2):
            assert await client.ask("NOOP") == "-ERR Not now"
            await asyncio.sleep(0.1)

        assert await client.hear_end() == b""


async def test_who_is_logged_in_may_stay(tmp_path):
    limit = timedelta(seconds=0.2)
    async with (
        open_house(tmp_path, login_timeout=limit) as house,
        connected(house, login=True) as c,
    ):
        await asyncio.sleep(0.3)
        assert await c.ask("NOOP") == "+OK"


@pytest.mark.parametrize("which", ["max_connections", "max_connections_per_ip"])
async def test_there_is_room_for_so_many(tmp_path, which):
    async with open_house(tmp_path, **{which: 1}) as house:
        async with connected(house):
            reader, writer = await asyncio.open_connection(*house.address())
            assert (await reader.read()).startswith(b"-ERR [SYS/TEMP] Too many")
            writer.close()
        await soon(lambda: house.collect.crowd.size == 0)
        async with connected(house):
            pass


async def test_a_session_in_update_is_finished_before_the_end(tmp_path):
    mailboxes = SlowMailboxes()
    async with open_house(tmp_path, mailboxes) as house:
        async with asyncio.TaskGroup() as group, connected(house, login=True) as client:
            await client.say("DELE 1", "QUIT")
            await mailboxes.asked.wait()
            end = group.create_task(house.collect.crowd.see_out(5))
            await asyncio.sleep(0)
            assert not end.done()
            mailboxes.go.set()
            assert (await client.hear_end()).endswith(b"+OK Bye\r\n")

        assert list(house.box) == ["second"]


async def test_who_has_not_said_quit_loses_nothing_at_the_end(tmp_path):
    async with open_house(tmp_path) as house, connected(house, login=True) as client:
        await client.ask("DELE 1")
        await house.collect.crowd.see_out(5)

        assert await client.hear_end() == b""
        assert len(house.box) == 2
        assert not house.mailboxes.claimed


async def test_who_hangs_at_the_end_is_dropped(tmp_path):
    mailboxes = SlowMailboxes()
    async with open_house(tmp_path, mailboxes, grace=0.1) as house:
        async with connected(house, login=True) as client:
            await client.say("DELE 1", "QUIT")
            await mailboxes.asked.wait()
            await house.collect.crowd.see_out(0.1)

        assert house.collect.crowd.size == 0
        assert len(house.box) == 2


async def test_who_does_not_hear_our_last_words_does_not_keep_us(tmp_path):
    async with open_house(tmp_path) as house:
        async with connected(house, "pop3s", login=True, ssl=TRUSTING) as client:
            client.writer.transport.pause_reading()
            started = asyncio.get_running_loop().time()
            await house.collect.crowd.see_out(5)

        assert asyncio.get_running_loop().time() - started < 4
        assert house.collect.crowd.size == 0


async def test_the_log_and_the_counters_tell_who_took_what(house):
    before = {name: counted(name) for name in ("retrieved", "deleted")}

    with capture_logs() as lines:
        await asyncio.to_thread(collect, house.address(), delete=True)
        await soon(lambda: house.collect.crowd.size == 0)

    told = {line["event"]: line for line in lines}
    assert (told["login"]["login"], told["login"]["client"]) == ("ann", "127.0.0.1")
    collected = told["collected"]
    assert (collected["retrieved"], collected["deleted"]) == (2, 1)
    assert collected["octets"] == 2 * len(MESSAGE) + 9 + 1
    assert counted("retrieved") == before["retrieved"] + 2
    assert counted("deleted") == before["deleted"] + 1
    assert "secret" not in str(lines)


def counted(what):
    return REGISTRY.get_sample_value(f"postroom_collect_{what}_total", {"listener": "pop3"}) or 0


async def test_it_says_when_it_is_ready(tmp_path):
    platform = make_platform()
    platform.health.expect("collect")
    task = asyncio.create_task(serve(platform, settings(tmp_path)))

    await soon(lambda: not platform.health.troubles())

    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_nobody_is_cut_off_before_ten_minutes():
    with pytest.raises(ValueError, match="idle_timeout"):
        Settings(idle_timeout=timedelta(minutes=9))


def test_mechanisms_are_named_by_whoever_runs_us(monkeypatch):
    monkeypatch.setenv("POSTROOM_COLLECT_MECHANISMS", "scram-sha-256-plus, PLAIN")

    assert Settings().mechanisms == ("SCRAM-SHA-256-PLUS", "PLAIN")


def test_a_mechanism_that_there_is_not_is_refused_at_start(monkeypatch):
    monkeypatch.setenv("POSTROOM_COLLECT_MECHANISMS", "NTLM")

    with pytest.raises(ValueError, match="there is no mechanism NTLM"):
        Settings()


async def test_auth_hears_who_comes_by_way_of_a_balancer(tmp_path):
    """Else one login would open the relay to all who come that way."""
    async with open_house(tmp_path, balancers=("127.0.0.1",), plaintext=Plaintext.ALWAYS) as house:
        client = Client(*await asyncio.open_connection(*house.address()))
        await client.say("PROXY TCP4 203.0.113.9 192.0.2.1 4711 110", "USER ann", "PASS secret")
        for _ in range(3):
            assert (await client.hear()).startswith("+OK")
        client.drop()

    assert [question.client for question in house.asked] == ["203.0.113.9"]
