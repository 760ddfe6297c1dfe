"""Scanners: a real clamd, and a rspamd that says what the test wants."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from aiohttp import web

from tests.adapters.test_ingress_checks import MESSAGE, content_of, send
from tests.dialogs.house import open_house
from tests.support.clamav import MALWARE, clamd

CANNOT_CHECK = "451 4.7.1 The message cannot be checked now, try again later"


@pytest.fixture(scope="module")
def clamd_socket():
    with clamd() as socket:
        yield socket


@asynccontextmanager
async def scanning(tmp_path, **settings):
    options = {"authenticate": False, "scan_timeout": timedelta(seconds=10), **settings}
    async with open_house(tmp_path, **options) as house:
        house.auth.stranger = True
        yield house


@dataclass
class FakeRspamd:
    """Answers ``/checkv2`` with an action."""

    action: str = "no action"
    status: int = 200
    hangs: bool = False
    asked: list = field(default_factory=list)
    url: str = ""

    async def handle(self, request):
        self.asked.append((request.headers, await request.read()))
        if self.hangs:
            await asyncio.sleep(60)
        return web.json_response({"action": self.action, "score": 1.5}, status=self.status)


@pytest.fixture
async def rspamd():
    fake = FakeRspamd()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_post("/checkv2", fake.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = "http://{}:{}".format(*runner.addresses[0])
    yield fake
    await runner.cleanup()


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
async def test_malware_is_refused(tmp_path, clamd_socket, size):
    async with scanning(tmp_path, clamd=clamd_socket) as house:
        honest = MESSAGE + b"an honest line\r\n" * size
        assert (await send(house, honest))[:3] == "250"

        reply = await send(house, honest + MALWARE + b"\r\n")

        assert reply == "554 5.7.1 The message holds malware"
        assert len(house.accepted) == 1


async def test_what_clamd_will_not_scan_is_done_without_or_put_off(tmp_path, clamd_socket):
    long = MESSAGE + b"more than clamd's StreamMaxLength\r\n" * 40_000
    async with scanning(tmp_path, clamd=clamd_socket) as house:
        assert (await send(house, long))[:3] == "250"
    async with scanning(tmp_path, clamd=clamd_socket, fail_closed=["clamd"]) as house:
        assert await send(house, long) == CANNOT_CHECK


@pytest.mark.parametrize(("closed", "reply"), [([], "250"), (["clamd"], "451")])
async def test_while_clamd_is_away_mail_is_taken_or_not_as_set(tmp_path, closed, reply):
    away = str(tmp_path / "nobody.sock")
    async with scanning(tmp_path, clamd=away, fail_closed=closed) as house:
        assert (await send(house, MESSAGE))[:3] == reply


@pytest.mark.parametrize(
    ("action", "reply", "marked"),
    [
        ("no action", "250", False),
        ("add header", "250", True),
        ("rewrite subject", "250", True),
        ("greylist", "451", False),
        ("soft reject", "451", False),
        ("reject", "554", False),
        ("an action of tomorrow", "250", False),
    ],
)
async def test_what_rspamd_says_is_done(tmp_path, rspamd, action, reply, marked):
    rspamd.action = action
    async with scanning(tmp_path, rspamd=rspamd.url) as house:
        assert (await send(house, MESSAGE))[:3] == reply
        if reply == "250":
            assert (b"X-Spam-Flag: YES" in await content_of(house)) is marked


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
async def test_rspamd_sees_the_message_and_its_envelope(tmp_path, rspamd, size):
    message = MESSAGE + b"a line\r\n" * size
    async with scanning(tmp_path, rspamd=rspamd.url) as house:
        await send(house, message)

        ((facts, content),) = rspamd.asked
        assert content == message
        assert (facts["IP"], facts["Helo"]) == ("127.0.0.1", "client.elsewhere.test")
        assert (facts["From"], facts["Rcpt"]) == ("bob@elsewhere.test", "ann@ours.test")
        assert facts["Queue-Id"] == house.accepted[0].envelope.id


@pytest.mark.parametrize(
    "trouble", [{"status": 500}, {"hangs": True}], ids=["an error", "no answer"]
)
@pytest.mark.parametrize(("closed", "reply"), [([], "250"), (["rspamd"], "451")])
async def test_trouble_with_rspamd_counts_as_set(tmp_path, rspamd, trouble, closed, reply):
    for name, value in trouble.items():
        setattr(rspamd, name, value)
    settings = {"rspamd": rspamd.url, "fail_closed": closed, "scan_timeout": timedelta(seconds=0.5)}
    async with scanning(tmp_path, **settings) as house:
        assert (await send(house, MESSAGE))[:3] == reply


async def test_a_check_that_breaks_keeps_nobody_out(tmp_path, monkeypatch):
    async def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("services.ingress.checks.clamd.Clamd.examine", broken)
    async with scanning(tmp_path, clamd="127.0.0.1:1", fail_closed=["clamd"]) as house:
        assert (await send(house, MESSAGE))[:3] == "250"
