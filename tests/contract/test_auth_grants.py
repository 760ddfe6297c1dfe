"""Grants: who collects mail may send from there for a while, over both databases."""

import asyncio
from datetime import timedelta

import pytest

from kernel.model.events import DirectoryChanged
from kernel.model.questions import (
    LoginAnswer,
    LoginQuestion,
    LoginVerdict,
    RelayAnswer,
    RelayQuestion,
)
from kernel.tasks import end_all
from services.auth.core.grants import Refusal
from services.auth.main import open_desk
from tests.support.auth import served_auth
from tests.support.buses import SqliteBuses
from tests.support.fakes import make_platform
from tests.support.mail import ANN, BOB, EVE, NOON

HOME, ELSEWHERE = "203.0.113.9", "198.51.100.1"
PASSWORD = "a secret of ann"


@pytest.fixture
async def auth(url, clock):
    async with served_auth(url, clock=clock) as auth:
        await auth.made("/v1/users", {"address": str(ANN), "login": "ann", "password": PASSWORD})
        await auth.changed("/v1/listeners/mx", {"collection_grants": True})
        yield auth


async def collects(auth, client=HOME, service="pop3", password=PASSWORD):
    question = LoginQuestion(service, "pop3s", client, "PLAIN", "ann", password, tls=True)
    return (await auth.peer.ask("/internal/login", question, LoginAnswer)).verdict


async def reports(auth, client=HOME, user="ann@ours.test", service="imap"):
    body = {"service": service, "user": user, "client": client}
    answer = await auth.call("POST", "/v1/logins", body)
    assert answer.status == 200, answer
    return answer.body


async def rule(auth, client=HOME, sender=ANN, recipient=BOB):
    question = RelayQuestion("mx", client, "client.test", sender, recipient)
    (answer,) = await auth.peer.ask("/internal/relay", [question], list[RelayAnswer])
    return answer.rule


async def listed(auth, query=""):
    return (await auth.call("GET", f"/v1/grants{query}")).body["items"]


async def test_who_has_collected_mail_may_send_from_there(auth):
    assert await rule(auth) == "local-sender-spoof"

    assert await collects(auth) is LoginVerdict.GRANTED

    assert await rule(auth) == "collection-grant"
    assert await rule(auth, sender=EVE) == "not-your-address"
    assert await rule(auth, client=ELSEWHERE) == "local-sender-spoof"


@pytest.mark.parametrize(
    "login", [{"password": "wrong"}, {"service": "smtp"}], ids=["refused", "not to collect mail"]
)
async def test_no_other_login_grants_anything(auth, login):
    await collects(auth, **login)

    assert await listed(auth) == []


async def test_a_grant_ends_after_five_minutes(auth, clock):
    await collects(auth)
    clock.now += timedelta(seconds=299)
    assert await rule(auth) == "collection-grant"

    clock.now += timedelta(seconds=1)

    assert await rule(auth) == "local-sender-spoof"
    assert await listed(auth) == []


async def test_logins_renew_a_grant_and_sending_does_not(auth, clock):
    await collects(auth)
    clock.now += timedelta(seconds=200)
    await rule(auth)
    assert (await listed(auth))[0]["until"] == "2026-01-05T12:05:00Z"

    await collects(auth)

    assert (await listed(auth))[0]["until"] == "2026-01-05T12:08:20Z"


async def test_logins_in_quick_succession_write_once(auth, clock):
    await collects(auth)
    clock.now += timedelta(seconds=5)

    await collects(auth)

    assert (await listed(auth))[0]["until"] == "2026-01-05T12:05:00Z"


async def test_many_logins_at_once_give_one_grant(auth):
    assert set(await asyncio.gather(*(collects(auth) for _ in range(8)))) == {LoginVerdict.GRANTED}

    assert [grant["login"] for grant in await listed(auth)] == ["ann"]


async def test_ended_grants_are_removed_in_passing(auth, clock):
    await collects(auth, client=ELSEWHERE)
    clock.now += timedelta(minutes=6)
    await collects(auth)
    clock.now = NOON

    assert [grant["client"] for grant in await listed(auth)] == [HOME]


async def test_a_login_elsewhere_can_be_reported(auth):
    answer = await reports(auth)

    assert answer == {"granted": True, "why": "", "until": "2026-01-05T12:05:00Z"}
    assert await rule(auth) == "collection-grant"


@pytest.mark.parametrize(
    ("reported", "why"),
    [
        ({"client": "nonsense"}, Refusal.NO_ADDRESS),
        ({"user": "ghost"}, Refusal.NO_USER),
        ({"user": "\ud7ff\x00"}, Refusal.NO_USER),
    ],
)
async def test_a_reported_login_may_open_nothing_and_hears_why(auth, reported, why):
    assert await reports(auth, **reported) == {"granted": False, "why": why, "until": None}


async def test_only_pop3_and_imap_are_reported(auth):
    body = {"service": "smtp", "user": "ann", "client": HOME}

    answer = await auth.call("POST", "/v1/logins", body)

    assert (answer.status, answer.body["field"]) == (422, "service")


async def test_a_disabled_user_gets_none_and_keeps_none(auth):
    await reports(auth)
    await auth.changed("/v1/users/ann", {"disabled": True})

    assert await listed(auth) == []
    assert (await reports(auth))["why"] == Refusal.DISABLED

    await auth.changed("/v1/users/ann", {"disabled": False})
    assert await rule(auth) == "local-sender-spoof"


@pytest.mark.parametrize("by", ["an administrator", "the user"])
async def test_a_grant_ends_with_the_password_that_has_opened_it(auth, by):
    await auth.made("/v1/users/ann/app-passwords", {"name": "phone", "purposes": ["send"]})
    assert await collects(auth) is LoginVerdict.GRANTED
    before = (await auth.call("GET", "/v1/users/ann/app-passwords")).body

    if by == "the user":
        passwords = {"current": PASSWORD, "new": "another secret"}
        path, own = "/v1/whoami/password", {"login": "ann", "password": PASSWORD}
        assert (await auth.call("PUT", path, passwords, **own)).status == 204
    else:
        await auth.changed("/v1/users/ann", {"full_name": "Ann"})
        assert await rule(auth) == "collection-grant"
        await auth.changed("/v1/users/ann", {"password": "another secret"})

    assert await rule(auth) == "local-sender-spoof"
    assert await listed(auth) == []
    assert (await auth.call("GET", "/v1/users/ann/app-passwords")).body == before


async def test_a_removed_user_leaves_no_grant(auth):
    await reports(auth)

    await auth.call("DELETE", "/v1/users/ann")

    assert await listed(auth) == []


async def test_a_user_without_the_privilege_is_known_by_a_grant_and_relays_nothing(auth):
    await auth.changed("/v1/users/ann", {"may_relay": False})
    await reports(auth)
    admin = ANN.__class__("admin", "ours.test")

    assert await rule(auth) == "relay-denied"
    assert await rule(auth, recipient=admin) == "local"


async def test_grants_are_listed_page_by_page_and_can_be_filtered(auth):
    for client in (HOME, ELSEWHERE, "2001:db8::7"):
        await reports(auth, client=client)
    await reports(auth, user="admin")

    first = (await auth.call("GET", "/v1/grants?limit=3")).body
    rest = (await auth.call("GET", f"/v1/grants?limit=3&after={first['next']}")).body

    assert [(grant["client"], grant["login"]) for grant in first["items"] + rest["items"]] == [
        (ELSEWHERE, "ann"),
        ("2001:db8::7", "ann"),
        (HOME, "admin"),
        (HOME, "ann"),
    ]
    assert rest["next"] is None
    assert len(await listed(auth, "?login=ann")) == 3
    assert len(await listed(auth, f"?client={HOME}")) == 2
    assert len(await listed(auth, "?client=2001:DB8:0::7")) == 1


async def test_grants_can_be_revoked(auth):
    await reports(auth)
    await reports(auth, user="admin")
    assert await rule(auth) == "collection-grant"

    answer = await auth.call("DELETE", f"/v1/grants/{HOME}?login=ann")

    assert answer.status == 204
    assert await rule(auth) == "local-sender-spoof"
    assert [grant["login"] for grant in await listed(auth)] == ["admin"]
    assert (await auth.call("DELETE", f"/v1/grants/{HOME}")).status == 204
    assert (await auth.call("DELETE", f"/v1/grants/{HOME}")).status == 404


async def test_a_failing_write_fails_no_login(auth):
    async with auth.desk.database.writing() as db:
        await db.exec_driver_sql("ALTER TABLE grants RENAME TO away_grants")

    assert await collects(auth) is LoginVerdict.GRANTED


async def test_other_processes_see_a_grant_within_a_second(url, clock, tmp_path):
    buses, heard = SqliteBuses(tmp_path), asyncio.Event()
    settings = {"database_url": url}
    async with (
        buses.open() as ours,
        buses.open() as theirs,
        served_auth(url, clock=clock, bus=ours) as auth,
        open_desk(make_platform(settings=settings, clock=clock, bus=theirs)) as other,
    ):

        async def heed(notice):
            other.heed(notice)
            heard.set()

        async def rule_there():
            question = RelayQuestion("mx", HOME, "client.test", ANN, BOB)
            return (await other.relaying.answer([question]))[0].rule

        listening = asyncio.create_task(theirs.listen(DirectoryChanged, heed))
        await auth.made("/v1/users", {"address": str(ANN), "login": "ann", "password": PASSWORD})
        await auth.changed("/v1/listeners/mx", {"collection_grants": True})
        assert await rule_there() == "local-sender-spoof"

        heard.clear()
        await reports(auth)

        await asyncio.wait_for(heard.wait(), 1)
        assert await rule_there() == "collection-grant"
        await end_all([listening])
