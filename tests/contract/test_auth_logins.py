"""Logins by every mechanism, over both databases, through the dialogues that services have."""

import asyncio
from binascii import a2b_base64, b2a_base64
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from kernel.http import PeerUnavailableError
from kernel.model.address import Address
from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from kernel.sasl import Challenge, Exchange, Shown
from services.auth.adapters import failures, users
from services.auth.main import heed, open_desk
from services.auth.ports import TakenError
from services.auth.settings import Settings
from tests.support.auth import PASSWORD, SECRET_KEY, served_auth
from tests.support.sasl import client

GRANTED, REFUSED, LOCKED = LoginVerdict.GRANTED, LoginVerdict.REFUSED, LoginVerdict.LOCKED
ADMIN_ADDRESS = Address("admin", "ours.test")
CERTIFICATE = b"what both ends of TLS see"
MECHANISMS = ["PLAIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]
CHALLENGES = MECHANISMS[1:]
SSHA = "{SSHA}PXw3VPn4O/utBDNSHh5/Ll/5RP2ZV9ya"
OLD_PASSWORD = "päss wörd"
DEADLINE = 10.0


async def log_in(auth, mechanism, name, password, *, service="smtp", ask=None, who="203.0.113.9"):
    """Return auth's last word on a client that keeps to the mechanism."""
    ask = ask or (lambda question: auth.peer.ask("/internal/login", question, LoginAnswer))
    talker = client(mechanism, name, password, CERTIFICATE)
    binding = sha256(CERTIFICATE).digest() if mechanism.endswith("PLUS") else b""
    exchange = Exchange(mechanism, "unpredictable.nonce")
    step = exchange.begin(b2a_base64(next(talker), newline=False))
    while not isinstance(step, LoginAnswer):
        if isinstance(step, Challenge):
            response = talker.send(a2b_base64(step.text))
            step = exchange.respond(b2a_base64(response, newline=False))
        elif isinstance(step, Shown):
            question = LoginQuestion(
                service,
                "submission",
                who,
                mechanism,
                step.login,
                step.password,
                tls=True,
                challenge=step.challenge,
                responses=step.responses,
                channel_binding=binding,
            )
            step = exchange.answered(await ask(question))
        else:
            pytest.fail(f"the exchange is over: {step}")
    return step


async def verdict(auth, mechanism, name, password, **more):
    return (await log_in(auth, mechanism, name, password, **more)).verdict


async def add_ann(auth, **more):
    new = {"address": "ann@ours.test", "password": "secret", **more}
    return await auth.made("/v1/users", {key: value for key, value in new.items() if value})


async def add_app(auth, name, *purposes, login="ann@ours.test"):
    """Make an app password; return it."""
    body = {"name": name, "purposes": purposes}
    return (await auth.made(f"/v1/users/{login}/app-passwords", body))["secret"]


async def stored(auth, login):
    async with auth.desk.database.reading() as db:
        return (await users.find(db, login, None)).user


async def until(condition):
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110 - what happens after the answer tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_every_mechanism_lets_in_who_knows_the_password(auth, mechanism):
    for name in ("admin", "Admin@OURS.test"):
        answer = await log_in(auth, mechanism, name, PASSWORD)
        assert (answer.verdict, answer.login, answer.administrator) == (GRANTED, "admin", True)
        assert answer.mailbox == ADMIN_ADDRESS

    for name, password in (("admin", "guess"), ("ghost", PASSWORD), ("gh o=s,t", PASSWORD)):
        assert await log_in(auth, mechanism, name, password) == LoginAnswer(REFUSED)


async def test_a_name_without_a_domain_is_one_in_the_primary_domain(auth):
    await add_ann(auth)

    for name in ("ann", "ANN", "ann@ours.test"):
        assert (await log_in(auth, "PLAIN", name, "secret")).login == "ann@ours.test"


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_user_who_is_disabled_is_refused(auth, mechanism):
    await add_ann(auth)
    assert await verdict(auth, mechanism, "ann@ours.test", "secret") is GRANTED

    await auth.changed("/v1/users/ann@ours.test", {"disabled": True})

    assert await log_in(auth, mechanism, "ann@ours.test", "secret") == LoginAnswer(REFUSED)


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_new_password_holds_for_every_mechanism_at_once(auth, mechanism):
    await add_ann(auth)
    await verdict(auth, mechanism, "ann@ours.test", "secret")

    await auth.changed("/v1/users/ann@ours.test", {"password": "another"})

    assert await verdict(auth, mechanism, "ann@ours.test", "secret") is REFUSED
    assert await verdict(auth, mechanism, "ann@ours.test", "another") is GRANTED


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_an_app_password_opens_what_it_was_made_for(auth, mechanism):
    await add_ann(auth)
    phone = await add_app(auth, "phone", "collect")
    printer = await add_app(auth, "printer", "send")

    for password, service, expected in (
        (phone, "pop3", GRANTED),
        (phone, "imap", GRANTED),
        (phone, "smtp", REFUSED),
        (printer, "smtp", GRANTED),
        (printer, "pop3", REFUSED),
        (printer, "api", REFUSED),
        ("secret", "smtp", GRANTED),
    ):
        found = await verdict(auth, mechanism, "ann@ours.test", password, service=service)
        assert (password, service, found) == (password, service, expected)


async def test_an_app_password_outlives_a_change_of_the_main_one_until_it_is_revoked(auth):
    await add_ann(auth)
    phone = await add_app(auth, "phone", "send")

    await auth.changed("/v1/users/ann@ours.test", {"password": "another"})
    for mechanism in MECHANISMS:
        assert await verdict(auth, mechanism, "ann@ours.test", phone) is GRANTED

    await auth.call("DELETE", "/v1/users/ann@ours.test/app-passwords/phone")
    for mechanism in MECHANISMS:
        assert await verdict(auth, mechanism, "ann@ours.test", phone) is REFUSED


async def test_an_app_password_never_opens_the_api(auth):
    await add_ann(auth)
    both = await add_app(auth, "both", "send", "collect")

    answer = await auth.call("GET", "/v1/whoami", login="ann@ours.test", password=both)

    assert answer.status == 401


async def test_the_use_of_an_app_password_is_noted_once_an_hour(auth, clock):
    await add_ann(auth)
    phone = await add_app(auth, "phone", "send")

    async def used_at():
        path = "/v1/users/ann@ours.test/app-passwords/phone"
        return (await auth.call("GET", path)).body["used_at"]

    assert await used_at() is None
    await verdict(auth, "PLAIN", "ann@ours.test", phone)
    await until(used_at)
    first = await used_at()

    clock.now += timedelta(minutes=59)
    await verdict(auth, "CRAM-MD5", "ann@ours.test", phone)
    assert await used_at() == first
    clock.now += timedelta(minutes=1)
    await verdict(auth, "SCRAM-SHA-256", "ann@ours.test", phone)

    async def is_newer():
        return await used_at() > first

    await until(is_newer)


async def test_a_hash_of_another_server_is_verified_and_renewed(auth):
    await add_ann(auth, password=None, password_hash=SSHA)
    assert (await stored(auth, "ann@ours.test")).password == SSHA
    for mechanism in CHALLENGES:
        assert await verdict(auth, mechanism, "ann@ours.test", OLD_PASSWORD) is REFUSED

    assert await verdict(auth, "PLAIN", "ann@ours.test", "guess") is REFUSED
    assert (await stored(auth, "ann@ours.test")).password == SSHA
    assert await verdict(auth, "PLAIN", "ann@ours.test", OLD_PASSWORD) is GRANTED

    async def is_renewed():
        return (await stored(auth, "ann@ours.test")).password.startswith("$argon2id$")

    await until(is_renewed)
    for mechanism in MECHANISMS:
        assert await verdict(auth, mechanism, "ann@ours.test", OLD_PASSWORD) is GRANTED


async def test_who_comes_with_a_hash_of_another_server_can_change_the_password_at_once(auth):
    await add_ann(auth, password=None, password_hash=SSHA)

    body = {"current": OLD_PASSWORD, "new": "another"}
    answer = await auth.call(
        "PUT", "/v1/whoami/password", body, login="ann@ours.test", password=OLD_PASSWORD
    )

    assert answer.status == 204
    assert await verdict(auth, "PLAIN", "ann@ours.test", "another") is GRANTED
    assert await verdict(auth, "SCRAM-SHA-256", "ann@ours.test", "another") is GRANTED


async def test_a_hash_is_not_renewed_over_a_password_that_was_changed_meanwhile(auth):
    await add_ann(auth, password=None, password_hash=SSHA)
    before = await stored(auth, "ann@ours.test")
    renewed = await auth.desk.passwords.made_for(before.login, OLD_PASSWORD)
    await auth.changed("/v1/users/ann@ours.test", {"password": "another"})

    async with auth.desk.database.writing() as db:
        assert not await users.replace_secrets(db, before, renewed)

    assert await verdict(auth, "PLAIN", "ann@ours.test", "another") is GRANTED


async def test_a_change_of_one_thing_leaves_alone_what_others_change_meanwhile(auth):
    await add_ann(auth, password=None, password_hash=SSHA)
    async with auth.desk.database.reading() as db:
        before = await users.find(db, "ann@ours.test", None)
    phone = await add_app(auth, "phone", "send")
    await auth.changed("/v1/users/ann@ours.test", {"password": "another"})

    async with auth.desk.database.writing() as db:
        await users.change(db, before, replace(before, full_name="Ann"))
    assert await verdict(auth, "CRAM-MD5", "ann@ours.test", "another") is GRANTED
    assert await verdict(auth, "SCRAM-SHA-256", "ann@ours.test", phone) is GRANTED

    secrets = await auth.desk.passwords.made_for("ann@ours.test", "with another salt")
    with pytest.raises(TakenError):
        async with auth.desk.database.writing() as db:
            await users.change(db, before, replace(before, user=before.user.with_secrets(secrets)))


@asynccontextmanager
async def another(auth, **settings):
    """Yield the desk of a further process at the same database."""
    chosen = Settings(**{"secret_key": SECRET_KEY, **settings})
    async with open_desk(auth.platform, chosen) as desk:
        yield desk


async def test_another_secret_key_opens_nothing_until_the_password_is_shown(auth):
    async with another(auth, secret_key="another key, as long") as desk:
        for mechanism in CHALLENGES:
            found = await verdict(None, mechanism, "admin", PASSWORD, ask=desk.logins.attempt)
            assert found is REFUSED

        ask = desk.logins.attempt
        assert await verdict(None, "PLAIN", "admin", PASSWORD, ask=ask) is GRANTED

        async def is_renewed():
            return desk.passwords.opened(await stored(auth, "admin")) is not None

        await until(is_renewed)
        assert await verdict(None, "CRAM-MD5", "admin", PASSWORD, ask=ask) is GRANTED


async def test_without_a_secret_key_passwords_that_are_shown_still_work(url, clock):
    async with served_auth(url, clock=clock, auth=Settings()) as auth:
        assert await verdict(auth, "PLAIN", "admin", PASSWORD) is GRANTED
        for mechanism in CHALLENGES:
            assert await verdict(auth, mechanism, "admin", PASSWORD) is REFUSED
        assert (await stored(auth, "admin")).sealed == ""


async def test_by_policy_only_app_passwords_have_secrets(url, clock):
    policy = Settings(secret_key=SECRET_KEY, challenge_secrets="app-passwords")
    async with served_auth(url, clock=clock, auth=policy) as auth:
        await add_ann(auth)
        phone = await add_app(auth, "phone", "send")

        assert (await stored(auth, "ann@ours.test")).sealed == ""
        for mechanism in CHALLENGES:
            assert await verdict(auth, mechanism, "ann@ours.test", "secret") is REFUSED
            assert await verdict(auth, mechanism, "ann@ours.test", phone) is GRANTED
            await forgive(auth)


async def forgive(auth):
    """Clear every lockout, as an administrator does."""
    for one in (await auth.call("GET", "/v1/lockouts")).body["items"]:
        await auth.call("DELETE", f"/v1/lockouts/{one['subject']}/{one['who']}")


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", ["admin", "ghost"])
async def test_failures_lock_out_by_every_mechanism_whether_there_is_such_a_user(
    auth, clock, mechanism, name
):
    for _ in range(5):
        assert await log_in(auth, mechanism, name, "guess") == LoginAnswer(REFUSED)

    for other in MECHANISMS:
        assert await log_in(auth, other, name, PASSWORD) == LoginAnswer(LOCKED)
    assert await log_in(auth, mechanism, f"{name}@ours.test", PASSWORD) == LoginAnswer(LOCKED)

    clock.now += timedelta(seconds=5)
    found = await verdict(auth, mechanism, name, PASSWORD)
    assert found is (GRANTED if name == "admin" else REFUSED)


async def test_a_success_forgives_the_name_and_not_the_client(auth):
    for _ in range(4):
        await verdict(auth, "PLAIN", "admin", "guess")

    await verdict(auth, "PLAIN", "admin", PASSWORD)

    items = (await auth.call("GET", "/v1/lockouts")).body["items"]
    assert [(one["subject"], one["who"], one["count"]) for one in items] == [
        ("client", "203.0.113.9", 4)
    ]


async def test_an_administrator_sees_a_lockout_and_ends_it(auth, clock):
    for _ in range(6):
        await verdict(auth, "PLAIN", "ghost", "guess", who="2001:db8::1")

    items = (await auth.call("GET", "/v1/lockouts")).body["items"]
    assert [(one["subject"], one["who"], one["count"]) for one in items] == [
        ("client", "2001:db8::/64", 5),
        ("login", "ghost@ours.test", 5),
        ("pair", "ghost@ours.test 2001:db8::/64", 5),
    ]
    assert [one["locked_until"] is None for one in items] == [True, True, False]

    await auth.call("DELETE", "/v1/lockouts/login/ghost@ours.test")
    assert await verdict(auth, "PLAIN", "ghost", "guess", who="2001:db8::1") is REFUSED


async def test_a_name_that_failed_at_one_place_alone_can_be_let_in_by_itself(auth):
    for _ in range(5):
        await verdict(auth, "PLAIN", "admin", "guess", who="198.51.100.1")
    await verdict(auth, "PLAIN", "admin", PASSWORD)  # forgives the name, and not that place
    assert await verdict(auth, "PLAIN", "admin", PASSWORD, who="198.51.100.1") is LOCKED

    answer = await auth.call("DELETE", "/v1/lockouts/login/admin")

    assert answer.status == 204
    assert await verdict(auth, "PLAIN", "admin", PASSWORD, who="198.51.100.1") is GRANTED


async def fail_for_a_day(auth, clock, name, who):
    """Try a wrong password four times an hour, as a telephone does."""
    for _ in range(24 * 4):
        clock.now += timedelta(minutes=15)
        assert await verdict(auth, "PLAIN", name, "old", who=who) is REFUSED


async def test_one_stranger_shuts_nobody_out_anywhere_else(auth, clock):
    await fail_for_a_day(auth, clock, "admin", "198.51.100.1")

    assert await verdict(auth, "PLAIN", "admin", PASSWORD, who="198.51.100.1") is LOCKED
    assert await verdict(auth, "PLAIN", "admin", PASSWORD) is GRANTED


async def test_a_telephone_with_an_old_password_does_not_shut_out_its_house(auth, clock):
    await add_ann(auth)
    await fail_for_a_day(auth, clock, "ann", "203.0.113.9")

    assert await verdict(auth, "PLAIN", "ann", "secret") is LOCKED
    assert await verdict(auth, "PLAIN", "admin", PASSWORD) is GRANTED


@pytest.mark.parametrize("name", ["admin", "ghost"])
async def test_guesses_at_one_name_from_many_places_have_an_end(auth, name):
    for n in range(50):
        who = f"198.51.100.{n}"
        assert await verdict(auth, "PLAIN", name, "guess", who=who) is REFUSED

    assert await verdict(auth, "PLAIN", name, PASSWORD, who="192.0.2.1") is LOCKED


async def test_processes_count_failures_together_and_end_lockouts_together(auth):
    await add_ann(auth)
    async with another(auth) as desk:
        heeding = asyncio.create_task(heed(auth.platform, desk))
        ask = desk.logins.attempt
        for _ in range(2):
            assert await verdict(auth, "PLAIN", "ann", "guess") is REFUSED
        for _ in range(3):
            assert await verdict(None, "PLAIN", "ann", "guess", ask=ask) is REFUSED

        assert await verdict(auth, "PLAIN", "ann", "guess") is LOCKED
        assert await verdict(None, "PLAIN", "ann", "secret", ask=ask) is LOCKED

        await forgive(auth)

        async def is_granted():
            return await verdict(None, "PLAIN", "ann", "secret", ask=ask) is GRANTED

        await until(is_granted)
        heeding.cancel()
        with suppress(asyncio.CancelledError):
            await heeding


async def test_many_guesses_at_once_at_several_processes_get_no_more_answers_than_in_turn(auth):
    async with another(auth) as desk:
        guesses = [
            verdict(auth, "PLAIN", "admin", f"guess {n}", ask=ask)
            for n in range(8)
            for ask in (None, desk.logins.attempt)
        ]

        verdicts = await asyncio.gather(*guesses)

    assert verdicts.count(REFUSED) == 5
    assert verdicts.count(LOCKED) == 11


async def test_a_right_guess_is_not_confirmed_by_a_process_that_missed_the_failures(auth):
    async with another(auth) as desk:
        ask = desk.logins.attempt
        assert await verdict(None, "CRAM-MD5", "admin", PASSWORD, ask=ask) is GRANTED
        for n in range(5):
            assert await verdict(auth, "PLAIN", "admin", f"guess {n}") is REFUSED

        for mechanism in MECHANISMS:
            assert await verdict(None, mechanism, "admin", PASSWORD, ask=ask) is LOCKED


async def test_a_storm_of_failures_leaves_the_directory_in_memory(auth):
    dropped = []
    auth.desk.directory.drop, before = dropped.append, auth.desk.directory.drop
    for n in range(8):
        await verdict(auth, "PLAIN", f"ghost{n}", "guess")
        await verdict(auth, "PLAIN", "admin", "guess", who=f"198.51.100.{n}")
    auth.desk.directory.drop = before

    assert [notice for notice in dropped if notice.kind != "lockouts"] == []


async def test_failures_of_long_ago_are_removed(auth, clock):
    await verdict(auth, "PLAIN", "ghost", "guess")
    clock.now += timedelta(hours=2)
    await verdict(auth, "PLAIN", "spirit", "guess")

    async def is_pruned():
        async with auth.desk.database.reading() as db:
            found = await failures.page(db, 10)
        return ("login", "ghost@ours.test") not in [suspect for suspect, _ in found]

    await until(is_pruned)


async def test_a_database_that_fails_is_no_refusal(auth):
    async with auth.desk.database.writing() as db:
        await db.exec_driver_sql("DROP TABLE failures")

    with pytest.raises(PeerUnavailableError, match="503"):
        await verdict(auth, "PLAIN", "admin", PASSWORD)


async def test_who_cannot_even_say_a_name_counts_by_the_address_alone(auth):
    question = LoginQuestion(
        "smtp", "mx", "203.0.113.9", "SCRAM-SHA-256", challenge=b"n", responses=(b"nonsense",)
    )

    for _ in range(20):
        assert (await auth.desk.logins.attempt(question)).verdict is REFUSED
    assert (await auth.desk.logins.attempt(question)).verdict is LOCKED
    items = (await auth.call("GET", "/v1/lockouts")).body["items"]
    assert [one["subject"] for one in items] == ["client"]


async def test_somebody_between_who_strips_channel_binding_is_noticed(auth):
    binding = sha256(CERTIFICATE).digest()
    question = LoginQuestion(
        "smtp",
        "submission",
        "203.0.113.9",
        "SCRAM-SHA-256",
        tls=True,
        challenge=b"nonce",
        responses=(b"y,,n=admin,r=theirs",),
        channel_binding=binding,
    )

    assert await auth.peer.ask("/internal/login", question, LoginAnswer) == LoginAnswer(REFUSED)
