"""What the administrator has said of mail that leaves us reaches delivery, and stays there."""

import asyncio
import contextlib
from datetime import timedelta

from kernel.http import Peer
from kernel.model.events import DirectoryChanged
from kernel.model.rate import Rate
from kernel.model.sending import Route, Sending, SigningKey, Target, TlsPolicy
from services.delivery import sending as module
from services.delivery.sending import Orders
from tests.support.sending import sending_office

DEADLINE = 10
ROUTE = Route(
    "*",
    (Target("smart.test", 587),),
    TlsPolicy.VERIFIED,
    login="us",
    password="secret",
    rates=(Rate(60, 60),),
    retry=(timedelta(minutes=1),),
    give_up_after=timedelta(days=1),
)
FULL = Sending((ROUTE,), (SigningKey("ours.test", "s1", "rsa", "PEM"),), ("ours.test",), b"key")


@contextlib.asynccontextmanager
async def orders_of(office):
    async with Peer(office.url, "token") as peer, asyncio.timeout(DEADLINE):
        orders = Orders(peer)
        following = asyncio.create_task(orders.follow())
        yield orders
        following.cancel()


async def until(holds):
    while not holds():  # noqa: ASYNC110 - a deadline stands around it
        await asyncio.sleep(0.01)


async def test_everything_that_auth_says_arrives():
    async with sending_office(FULL) as office, orders_of(office) as orders:
        await orders.known()

        assert orders.now == FULL
        assert orders.trouble() == ""


async def test_nobody_goes_by_an_empty_page_while_auth_is_silent(monkeypatch):
    monkeypatch.setattr(module, "RETRY", 0.01)
    async with sending_office(None) as office, orders_of(office) as orders:
        await until(lambda: office.asked > 1)
        waiting = asyncio.create_task(orders.known())
        assert not waiting.done()
        assert "503" in orders.trouble()

        office.sending = FULL
        await waiting

        assert orders.now == FULL


async def test_a_change_is_heard_at_once_and_an_outage_changes_nothing():
    async with sending_office(Sending()) as office, orders_of(office) as orders:
        await orders.known()

        office.sending = FULL
        await orders.notice(DirectoryChanged("routes", "*"))
        await until(lambda: orders.now == FULL)

        office.sending = None
        asked = office.asked
        await orders.notice(DirectoryChanged("domains", "ours.test"))
        await until(lambda: office.asked > asked)
        assert orders.now == FULL
        assert orders.trouble() == ""


async def test_what_does_not_concern_sending_is_not_asked_about():
    async with sending_office(Sending()) as office, orders_of(office) as orders:
        await orders.known()

        await orders.notice(DirectoryChanged("users", "ann"))
        await asyncio.sleep(0.05)

        assert office.asked == 1


def test_secrets_are_not_shown():
    assert "secret" not in repr(FULL)
    assert "PEM" not in repr(FULL)
