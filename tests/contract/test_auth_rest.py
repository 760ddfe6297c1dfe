"""The REST API of auth keeps its promises on SQLite and on PostgreSQL."""

import pytest

from kernel.bus.port import BusUnavailableError
from kernel.model.events import DirectoryChanged
from kernel.model.questions import Place, RelayAnswer, RelayQuestion, Whereabouts
from tests.support.auth import TOKEN
from tests.support.mail import ANN, BOB, EVE

ANN_BODY = {"address": "ann@ours.test", "password": "a secret"}


async def whereabouts(auth, address):
    (found,) = await auth.peer.ask("/internal/whereabouts", [address], list[Whereabouts])
    return found


async def rule(auth, **asked):
    question = {
        "listener": "mx",
        "client": "203.0.113.9",
        "helo": "client.test",
        "sender": EVE,
        "recipient": BOB,
    }
    (answer,) = await auth.peer.ask(
        "/internal/relay", [RelayQuestion(**{**question, **asked})], list[RelayAnswer]
    )
    return answer.rule


async def test_a_stranger_learns_nothing_but_that_it_lives(auth):
    assert (await auth.call("GET", "/healthz", login=None)).body == {"alive": True}
    for path in ("/v1/domains", "/v1/users", "/v1/whoami", "/v1/listeners/mx", "/openapi.json"):
        answer = await auth.call("GET", path, login=None)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert answer.headers["Content-Type"] == "application/problem+json"


BROKEN_CREDENTIALS = [
    "Basic",
    "Basic ????",
    "Basic YWRtaW4=",
    "Basic //79",
    "Basic ä",
    "Bearer wrong",
    "nonsense",
]


async def test_a_broken_credential_is_no_credential(auth):
    for credential in BROKEN_CREDENTIALS:
        answer = await auth.call("GET", "/v1/domains", login=None, Authorization=credential)

        assert answer.status == 401


async def test_nobody_can_fill_the_memory(auth):
    answer = await auth.call("POST", "/v1/users", {"address": "x" * 600_000}, login=None)

    assert answer.status == 413
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_only_administrators_administer(auth):
    await auth.made("/v1/users", ANN_BODY)

    answer = await auth.call("GET", "/v1/users", login="ann@ours.test", password="a secret")

    assert answer.status == 403


async def test_services_administer_with_their_token(auth):
    bearer = f"Bearer {TOKEN}"

    assert (await auth.call("GET", "/v1/users", login=None, Authorization=bearer)).status == 200
    assert (await auth.call("GET", "/v1/whoami", login=None, Authorization=bearer)).status == 404


async def test_whoami_shows_whose_credential_it_is(auth):
    await auth.made("/v1/users", {**ANN_BODY, "login": "Ann", "full_name": "Ann Ä."})

    answer = await auth.call("GET", "/v1/whoami", login="ann", password="a secret")

    assert answer.body == {
        "login": "ann",
        "address": "ann@ours.test",
        "addresses": ["ann@ours.test"],
        "full_name": "Ann Ä.",
        "may_relay": True,
        "administrator": False,
        "send_as": [],
        "disabled": False,
        "quota": None,
        "has_challenge_secret": True,
    }


async def test_a_login_over_the_api_may_be_anything_that_utf_8_can_say(auth):
    await auth.made("/v1/users", {**ANN_BODY, "password": "pass:wörd ✉"})

    answer = await auth.call("GET", "/v1/whoami", login="ann@ours.test", password="pass:wörd ✉")

    assert answer.status == 200


async def test_too_many_failed_logins_lock_the_api_too(auth):
    for _ in range(5):
        assert (await auth.call("GET", "/v1/whoami", password="wrong")).status == 401

    assert (await auth.call("GET", "/v1/whoami")).status == 429


async def test_the_first_start_makes_a_whole_server(auth):
    (domain,) = (await auth.call("GET", "/v1/domains")).body["items"]
    aliases = (await auth.call("GET", "/v1/aliases")).body["items"]
    networks = (await auth.call("GET", "/v1/networks")).body["items"]
    listeners = (await auth.call("GET", "/v1/listeners")).body["items"]

    assert (domain["name"], domain["primary"]) == ("ours.test", True)
    assert {item["address"]: item["targets"] for item in aliases} == {
        "abuse@ours.test": ["admin@ours.test"],
        "postmaster@ours.test": ["admin@ours.test"],
    }
    assert [item["cidr"] for item in networks] == ["127.0.0.0/8", "::1/128"]
    assert [item["name"] for item in listeners] == ["mx", "submission", "submissions"]


async def test_lists_come_in_pages(auth):
    for name in ("a", "b", "c"):
        await auth.made("/v1/domains", {"name": f"{name}.test"})

    first = (await auth.call("GET", "/v1/domains?limit=3")).body
    rest = (await auth.call("GET", f"/v1/domains?limit=3&after={first['next']}")).body

    assert [item["name"] for item in first["items"]] == ["a.test", "b.test", "c.test"]
    assert [item["name"] for item in rest["items"]] == ["ours.test"]
    assert rest["next"] is None


REFUSALS = [
    ("/v1/users", {"address": "ann", "password": "x"}, "address"),
    ("/v1/users", {"address": "ann@elsewhere.test", "password": "x"}, "address"),
    ("/v1/users", {"address": "ann@ours.test"}, "password"),
    ("/v1/users", {"address": "ann@ours.test", "password": ""}, "password"),
    ("/v1/users", {**ANN_BODY, "login": "a:b"}, "login"),
    ("/v1/users", {**ANN_BODY, "login": "admin@ours.test"}, "login"),
    ("/v1/users", {**ANN_BODY, "send_as": ["@"]}, "send_as.0"),
    ("/v1/users", {**ANN_BODY, "adminstrator": True}, "adminstrator"),
    ("/v1/domains", {"name": "no domain"}, "name"),
    ("/v1/domains", {"name": "[192.0.2.1]"}, "name"),
    ("/v1/domains", {"name": "x.test", "undelivered": "mailbox"}, "undelivered_mailbox"),
    ("/v1/domains", {"name": "x.test", "undelivered": "lose"}, "undelivered"),
    ("/v1/aliases", {"address": "all@ours.test", "targets": []}, "targets"),
    ("/v1/aliases", {"address": "all@x.test", "targets": ["ann@ours.test"]}, "address"),
    ("/v1/networks", {"cidr": "0.0.0.0/0"}, "cidr"),
    ("/v1/networks", {"cidr": "*.*.*.*"}, "cidr"),
    ("/v1/networks", {"cidr": "::/0"}, "cidr"),
]


async def test_a_refusal_names_the_field_at_fault(auth):
    for path, body, field in REFUSALS:
        answer = await auth.call("POST", path, body)

        assert (answer.status, answer.body["field"]) == (422, field)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert set(answer.body) == {"type", "title", "status", "detail", "field"}


async def test_names_exist_once_whatever_their_case(auth):
    await auth.made("/v1/users", ANN_BODY)
    await auth.made("/v1/domains", {"name": "equal.test"})

    for path, body, field in [
        ("/v1/users", {"address": "ANN@ours.test", "password": "x"}, "address"),
        ("/v1/users", {"address": "ann@equal.test", "password": "x"}, "address"),
        ("/v1/users", {"address": "bob@ours.test", "password": "x", "login": "ADMIN"}, "login"),
        ("/v1/aliases", {"address": "Ann@ours.test", "targets": ["bob@x.test"]}, "address"),
        ("/v1/domains", {"name": "EQUAL.test"}, "name"),
        ("/v1/networks", {"cidr": "127.*.*.*"}, "cidr"),
    ]:
        answer = await auth.call("POST", path, body)
        assert (answer.status, answer.body.get("field")) == (409, field)


NOT_THERE = [
    "/v1/domains/nowhere.test",
    "/v1/domains/no%20domain",
    "/v1/users/nobody",
    "/v1/users/nobody@ours.test",
    "/v1/aliases/nobody@ours.test",
    "/v1/aliases/nonsense",
    "/v1/listeners/nothing",
    "/v1/nothing",
]


async def test_what_is_not_there_is_not_found(auth):
    for path in NOT_THERE:
        answer = await auth.call("GET", path)

        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_user_is_found_by_login_and_by_any_equivalent_address(auth):
    await auth.made("/v1/users", {**ANN_BODY, "login": "ann"})
    await auth.made("/v1/domains", {"name": "equal.test"})

    for name in ("ann", "ANN", "ann@ours.test", "ann@equal.test"):
        assert (await auth.call("GET", f"/v1/users/{name}")).body["login"] == "ann"


async def test_a_user_can_be_changed_disabled_and_removed(auth):
    await auth.made("/v1/users", ANN_BODY)
    me = {"login": "ann@ours.test", "password": "another one"}

    changed = await auth.changed(
        "/v1/users/ann@ours.test",
        {"password": "another one", "full_name": "Ann", "may_relay": False, "send_as": ["@x.test"]},
    )
    assert (changed["full_name"], changed["may_relay"], changed["send_as"]) == (
        "Ann",
        False,
        ["x.test"],
    )
    assert (await auth.call("GET", "/v1/whoami", **me)).status == 200

    await auth.changed("/v1/users/ann@ours.test", {"disabled": True})
    assert (await auth.call("GET", "/v1/whoami", **me)).status == 401
    assert (await whereabouts(auth, ANN)).place is Place.MAILBOX

    assert (await auth.call("DELETE", "/v1/users/ann@ours.test")).status == 204
    assert (await whereabouts(auth, ANN)).place is Place.UNKNOWN


@pytest.mark.parametrize("change", [{"disabled": True}, {"administrator": False}, None])
async def test_the_last_administrator_stays(auth, change):
    method = "PATCH" if change else "DELETE"

    assert (await auth.call(method, "/v1/users/admin", change)).status == 409

    await auth.made("/v1/users", {**ANN_BODY, "administrator": True})
    assert (await auth.call(method, "/v1/users/admin", change)).status in (200, 204)


async def test_secrets_are_never_shown(auth):
    made = await auth.made("/v1/users", ANN_BODY)
    listed = (await auth.call("GET", "/v1/users")).body["items"]

    for item in (made, *listed):
        assert "password" not in item
        assert "argon2" not in str(item)


async def test_domains_are_equivalent_until_one_gets_users_of_its_own(auth):
    await auth.made("/v1/users", ANN_BODY)
    await auth.made("/v1/domains", {"name": "equal.test"})
    ann_there = type(ANN)("ann", "equal.test")
    assert (await whereabouts(auth, ann_there)).targets == (ANN,)

    await auth.changed("/v1/domains/equal.test", {"own_users": True})
    assert (await whereabouts(auth, ann_there)).place is Place.UNKNOWN

    await auth.made("/v1/users", {"address": "ann@equal.test", "password": "x"})
    assert (await whereabouts(auth, ann_there)).targets == (ann_there,)
    back = await auth.call("PATCH", "/v1/domains/equal.test", {"own_users": False})
    assert (back.status, back.body["field"]) == (409, "own_users")


async def test_a_catch_all_needs_a_mailbox_and_keeps_it(auth):
    await auth.made("/v1/users", ANN_BODY)
    nobody = type(ANN)("nobody", "ours.test")

    await auth.changed(
        "/v1/domains/ours.test",
        {"undelivered": "mailbox", "undelivered_mailbox": "ann@ours.test"},
    )

    assert (await whereabouts(auth, nobody)).targets == (ANN,)
    assert (await auth.call("DELETE", "/v1/users/ann@ours.test")).status == 409


async def test_a_catch_all_keeps_its_place_however_that_is_spelled(auth):
    await auth.made("/v1/domains", {"name": "equal.test"})
    await auth.made("/v1/users", ANN_BODY)
    await auth.made("/v1/aliases", {"address": "rest@ours.test", "targets": [str(ANN)]})
    catch_all = {"undelivered": "mailbox", "undelivered_mailbox": "Ann@equal.test"}

    await auth.changed("/v1/domains/ours.test", catch_all)
    await auth.changed(
        "/v1/domains/equal.test", catch_all | {"undelivered_mailbox": "rest@equal.test"}
    )

    assert (await auth.call("DELETE", "/v1/users/ann@ours.test")).status == 409
    assert (await auth.call("DELETE", "/v1/aliases/rest@ours.test")).status == 409


async def test_domains_with_addresses_and_the_primary_one_stay(auth):
    await auth.made("/v1/domains", {"name": "equal.test"})
    await auth.made("/v1/users", {"address": "ann@equal.test", "password": "x"})

    assert (await auth.call("DELETE", "/v1/domains/ours.test")).status == 409
    assert (await auth.call("DELETE", "/v1/domains/equal.test")).status == 409
    assert (await auth.call("DELETE", "/v1/users/ann@equal.test")).status == 204
    assert (await auth.call("DELETE", "/v1/domains/equal.test")).status == 204


async def test_the_primary_domain_shares_its_users(auth):
    answer = await auth.call("PATCH", "/v1/domains/ours.test", {"own_users": True})

    assert (answer.status, answer.body["field"]) == (422, "own_users")


async def test_aliases_stand_for_several_here_and_elsewhere(auth):
    await auth.made("/v1/aliases", {"address": "all@ours.test", "targets": [str(ANN), str(BOB)]})
    everyone = type(ANN)("all", "ours.test")
    assert (await whereabouts(auth, everyone)).targets == (ANN, BOB)

    await auth.changed("/v1/aliases/all@ours.test", {"targets": [str(BOB)]})
    assert (await auth.call("GET", "/v1/aliases/ALL@ours.test")).body["targets"] == [str(BOB)]

    assert (await auth.call("DELETE", "/v1/aliases/all@ours.test")).status == 204
    assert (await whereabouts(auth, everyone)).place is Place.UNKNOWN


async def test_there_is_always_a_postmaster(auth):
    assert (await auth.call("DELETE", "/v1/aliases/postmaster@ours.test")).status == 409
    await auth.made("/v1/domains", {"name": "own.test", "own_users": True})

    found = await whereabouts(auth, type(ANN)("Postmaster", "own.test"))

    assert found.place is Place.ALIAS


async def test_the_lan_relays_as_long_as_it_is_one(auth):
    assert await rule(auth) == "relay-denied"

    await auth.made("/v1/networks", {"cidr": "203.0.113.*"})
    assert await rule(auth) == "lan"

    assert (await auth.call("DELETE", "/v1/networks/203.0.113.0/24")).status == 204
    assert await rule(auth) == "relay-denied"
    assert (await auth.call("DELETE", "/v1/networks/203.0.113.0%2F24")).status == 404


async def test_an_open_relay_takes_a_confession(auth):
    refused = await auth.call("PATCH", "/v1/listeners/mx", {"relay_outside_lan": True})
    assert (refused.status, refused.body["field"]) == (422, "relay_outside_lan")
    assert await rule(auth) == "relay-denied"

    confession = {"relay_outside_lan": True, "i_understand_this_is_an_open_relay": True}
    await auth.changed("/v1/listeners/mx", confession)
    assert await rule(auth) == "open-relay"

    await auth.changed("/v1/listeners/mx", {"relay_outside_lan": False})
    assert await rule(auth) == "relay-denied"


BAD_SETTINGS = [
    ({"always_relay_senders": ["*"]}, "always_relay_senders.0"),
    ({"always_relay_recipients": ["*@*"]}, "always_relay_recipients.0"),
    ({"always_relay_recipients": ["*.com"]}, "always_relay_recipients.0"),
    ({"mechanisms": ["GUESSWORK"]}, "mechanisms.0"),
    ({"access": ["everybody"]}, "access.0"),
    ({"max_recipients": 99}, "max_recipients"),
    ({"require_auth": "sometimes"}, "require_auth"),
    ({"name": "other"}, "name"),
    ({"tls": None}, "tls"),
]


async def test_a_listener_takes_only_settings_that_make_sense(auth):
    for change, field in BAD_SETTINGS:
        answer = await auth.call("PATCH", "/v1/listeners/mx", change)

        assert (answer.status, answer.body["field"]) == (422, field)


async def test_settings_of_a_listener_decide_from_now_on(auth):
    changed = await auth.changed(
        "/v1/listeners/mx",
        {"always_relay_recipients": ["Elsewhere.test"], "access": ["any", "!198.51.100.*"]},
    )

    assert changed["access"] == ["any", "!198.51.100.0/24"]
    assert await rule(auth) == "always-relay-recipient"
    assert await rule(auth, client="198.51.100.1") == "no-access"
    assert (await auth.call("GET", "/v1/listeners/mx")).body == changed


async def test_an_explanation_shows_facts_and_every_rule(auth):
    body = {
        "listener": "mx",
        "client": "203.0.113.9",
        "sender": "a@x.test",
        "recipient": "b@y.test",
    }

    said = (await auth.call("POST", "/v1/explain", body)).body
    as_admin = (await auth.call("POST", "/v1/explain", {**body, "login": "admin"})).body

    assert (said["reply"], said["rule"]) == ("550 5.7.1 Relaying denied", "relay-denied")
    assert said["facts"]["in_lan"] is False
    assert said["facts"]["place"] == "remote"
    assert said["rules"][0] == {"rule": "no-access", "verdict": "silent"}
    assert said["rules"][-1]["verdict"] == "relay-denied: 550 5.7.1 Relaying denied"
    assert (as_admin["rule"], as_admin["submitter"]) == ("not-your-address", "admin")


IMPOSSIBLE = [
    ({"client": "here"}, "client"),
    ({"listener": "x"}, "listener"),
    ({"login": "x"}, "login"),
]


async def test_nothing_is_explained_that_cannot_happen(auth):
    body = {"listener": "mx", "client": "192.0.2.1", "sender": "", "recipient": "b@y.test"}
    for change, field in IMPOSSIBLE:
        answer = await auth.call("POST", "/v1/explain", {**body, **change})

        assert (answer.status, answer.body["field"]) == (422, field)


async def test_every_change_is_broadcast(auth):
    await auth.made("/v1/users", ANN_BODY)
    await auth.changed("/v1/listeners/mx", {"max_recipients": 200})

    assert auth.platform.bus.notices == [
        DirectoryChanged("users", "ann@ours.test"),
        DirectoryChanged("listeners", "mx"),
    ]


async def test_a_change_stands_even_if_nobody_can_be_told(auth):
    auth.platform.bus.failure = BusUnavailableError("the broker is gone")

    await auth.made("/v1/users", ANN_BODY)

    assert (await whereabouts(auth, ANN)).place is Place.MAILBOX


async def test_the_description_covers_every_resource_and_credential(auth):
    document = (await auth.call("GET", "/openapi.json")).body

    paths = " ".join(document["paths"])
    for resource in ("domains", "users", "aliases", "networks", "listeners", "explain", "whoami"):
        assert f"/v1/{resource}" in paths
    assert set(document["components"]["securitySchemes"]) == {"basic", "key", "service"}
