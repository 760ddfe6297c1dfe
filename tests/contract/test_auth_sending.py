"""What the administrator says of mail that leaves us, as auth tells delivery."""

import asyncio
import contextlib
from datetime import timedelta

from structlog.testing import capture_logs

from kernel.model.events import DirectoryChanged
from kernel.model.rate import Rate
from kernel.model.sending import Route, Sending, SigningKey, Target, TlsPolicy
from services.auth import sending
from services.auth.adapters.sealing import RETURNS, derived
from services.auth.main import open_desk
from services.auth.settings import Settings
from services.delivery.sending import Orders
from tests.support.auth import SECRET_KEY, served_auth
from tests.support.signing import rsa_key

DEADLINE = 10
SMART = {
    "pattern": "*",
    "targets": ["smart.example.org"],
    "tls": "verified",
    "login": "us",
    "password": "hush hush",
    "rates": ["60/minute"],
    "retry": ["15m"],
    "give_up_after": "2d",
}
ROUTE = Route(
    "*",
    (Target("smart.example.org", 587),),
    TlsPolicy.VERIFIED,
    login="us",
    password="hush hush",
    rates=(Rate(60, 60),),
    retry=(timedelta(minutes=15),),
    give_up_after=timedelta(days=2),
)
KEYS = "/v1/domains/ours.test/dkim"


async def told(auth):
    return await auth.peer.get("/internal/sending", Sending)


async def test_nothing_is_said_yet(auth):
    assert await told(auth) == Sending(
        domains=("mx.ours.test", "ours.test"), return_key=derived(SECRET_KEY, RETURNS)
    )


async def test_everything_is_told_in_order_with_its_secrets(auth):
    await auth.made("/v1/routes", SMART)
    await auth.made("/v1/routes", {"pattern": "b.test", "targets": ["192.0.2.1"]})
    await auth.made("/v1/routes", {"pattern": "a.test", "tls": "required"})
    await auth.made("/v1/domains", {"name": "two.test"})
    key = await auth.made(KEYS, {"private_key": rsa_key(2048)[0].decode()})
    await auth.made(KEYS, {"algorithm": "ed25519"})
    await auth.changed(f"{KEYS}/{key['selector']}", {"state": "active"})

    answer = await told(auth)

    assert answer.routes == (
        Route("b.test", (Target("192.0.2.1", 25),)),
        Route("a.test", tls=TlsPolicy.REQUIRED),
        ROUTE,
    )
    assert [(key.domain, key.selector, key.algorithm) for key in answer.keys] == [
        ("ours.test", "2026a", "rsa")
    ]
    assert answer.domains == ("mx.ours.test", "ours.test", "two.test")


async def test_every_change_is_told_at_once_also_those_of_other_processes(auth, url):
    async with open_desk(auth.platform, Settings(secret_key=SECRET_KEY)) as other:
        before = await other.sending.answer()
        assert await other.sending.answer() is before  # nothing is gathered for nothing

        await auth.made("/v1/routes", SMART)
        assert (await other.sending.answer()).routes == (ROUTE,)
        await auth.changed("/v1/routes/%2A", {"connections": 7})
        assert (await other.sending.answer()).routes[0].connections == 7
        await auth.made("/v1/routes", {"pattern": "a.test"})
        await auth.made("/v1/routes", {"pattern": "b.test"})
        await auth.changed("/v1/routes/b.test", {"before": "a.test"})
        assert [r.pattern for r in (await other.sending.answer()).routes] == [
            "b.test",
            "a.test",
            "*",
        ]
        await auth.made("/v1/domains", {"name": "two.test"})
        assert "two.test" in (await other.sending.answer()).domains

        after = await other.sending.answer()
        await auth.made("/v1/users", {"address": "ann@ours.test", "password": "p"})
        assert await other.sending.answer() is after


async def test_nothing_is_kept_for_ever(auth, monkeypatch):
    monkeypatch.setattr(sending, "MAX_AGE", 0)
    before = await auth.desk.sending.answer()

    assert await auth.desk.sending.answer() is not before


async def test_under_another_key_mail_waits_at_its_route_and_goes_unsigned(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
    async with served_auth(url) as auth:
        await auth.made("/v1/routes", SMART)
        key = await auth.made(KEYS, {"algorithm": "ed25519"})
        await auth.changed(f"{KEYS}/{key['selector']}", {"state": "active"})

    for settings in (Settings(secret_key="another key of this server"), Settings()):
        with capture_logs() as logs:
            async with served_auth(url, auth=settings) as auth:
                for _ in range(2):
                    answer = await auth.desk.sending.answer()
                    auth.desk.sending._kept = None

        (route,) = answer.routes
        assert (route.targets, route.login, route.password) == (ROUTE.targets, "us", "")
        assert answer.keys == ()
        errors = [line["what"] for line in logs if line["log_level"] == "error"]
        assert errors == ["the password of the route *", "the DKIM key 2026a._domainkey.ours.test"]


async def test_secrets_do_not_come_into_logs(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
    with capture_logs() as logs:
        async with served_auth(url) as auth:
            await auth.made("/v1/routes", SMART)
            await auth.made(KEYS, {"private_key": rsa_key(2048)[0].decode()})
            answer = await told(auth)

    assert answer.routes == (ROUTE,)
    assert "hush" not in f"{logs}{answer}"
    assert "PRIVATE" not in f"{logs}{answer}"


@contextlib.asynccontextmanager
async def delivering(auth):
    """Yield what delivery goes by."""
    orders = Orders(auth.peer)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(auth.platform.bus.listen(DirectoryChanged, orders.notice))
        following = tasks.create_task(orders.follow())
        await orders.known()
        yield orders
        listening.cancel()
        following.cancel()


async def until(holds):
    while not holds():  # noqa: ASYNC110 - a deadline stands around it
        await asyncio.sleep(0.01)


async def test_delivery_goes_by_what_was_said_at_once(auth):
    async with delivering(auth) as orders:
        assert orders.now.routes == ()

        await auth.made("/v1/routes", SMART)
        await until(lambda: orders.now.routes == (ROUTE,))

        key = await auth.made(KEYS, {"algorithm": "ed25519"})
        await auth.changed(f"{KEYS}/{key['selector']}", {"state": "active"})
        await until(lambda: [k.selector for k in orders.now.keys] == [key["selector"]])
        assert isinstance(orders.now.keys[0], SigningKey)

        await auth.call("DELETE", "/v1/routes/%2A")
        await until(lambda: orders.now.routes == ())
        assert DirectoryChanged("routes", "*") in auth.platform.bus.notices
