"""API keys open the REST API of auth as far as their scopes go, as long as they are good."""

from datetime import timedelta, timezone

import pytest

ANN = {"address": "ann@ours.test", "password": "a secret"}


async def made_key(auth, *scopes, **more):
    name = f"for {' '.join(scopes)}"
    return await auth.made("/v1/api-keys", {"name": name, "scopes": scopes, **more})


async def with_key(auth, key, method, path, body=None, **headers):
    bearer = {"Authorization": f"Bearer {key}"}
    return await auth.call(method, path, body, login=None, **bearer, **headers)


SCOPES = [
    ("*", "GET", "/v1/users", 200),
    ("*", "GET", "/openapi.json", 200),
    ("users:read", "GET", "/v1/users", 200),
    ("users:write", "GET", "/v1/users", 200),
    ("users:read", "POST", "/v1/users", 403),
    ("users:write", "POST", "/v1/users", 201),
    ("users:write", "GET", "/v1/domains", 403),
    ("app-passwords:read", "GET", "/v1/users/admin/app-passwords", 200),
    ("users:write", "GET", "/v1/users/admin/app-passwords", 403),
    ("audit:read", "GET", "/v1/audit", 200),
    ("keys:read", "GET", "/v1/api-keys", 200),
    ("lockouts:read", "GET", "/v1/lockouts", 200),
    ("users:read", "GET", "/v1/lockouts", 403),
    ("listeners:read", "PATCH", "/v1/listeners/mx", 403),
    ("listeners:write", "PATCH", "/v1/listeners/mx", 200),
    ("networks:write", "DELETE", "/v1/networks/127.0.0.0/8", 204),
    ("*", "GET", "/v1/whoami", 404),
]


async def test_a_key_opens_what_its_scopes_say(auth):
    keys = {scope: (await made_key(auth, scope))["key"] for scope in {row[0] for row in SCOPES}}
    bodies = {"/v1/users": ANN, "/v1/listeners/mx": {"max_recipients": 200}}
    for scope, method, path, status in SCOPES:
        body = None if method == "GET" else bodies.get(path)
        answer = await with_key(auth, keys[scope], method, path, body)

        assert answer.status == status, (scope, method, path)


async def test_a_key_is_shown_once_and_known_by_its_id(auth):
    made = await made_key(auth, "users:read")

    assert made["key"].startswith(f"prk_{made['id']}_")
    shown = {name: value for name, value in made.items() if name != "key"}
    assert (await auth.call("GET", f"/v1/api-keys/{made['id']}")).body == shown
    assert (await auth.call("GET", "/v1/api-keys")).body["items"] == [shown]


async def test_what_a_key_changes_is_written_down_under_its_id(auth):
    made = await made_key(auth, "networks:write")
    await with_key(auth, made["key"], "POST", "/v1/networks", {"cidr": "203.0.113.0/24"})

    (entry,) = (await auth.call("GET", f"/v1/audit?who=key:{made['id']}")).body["items"]

    assert (entry["action"], entry["kind"], entry["key"]) == ("added", "networks", "203.0.113.0/24")


async def test_a_revoked_key_opens_nothing_from_then_on(auth):
    made = await made_key(auth, "*")
    assert (await with_key(auth, made["key"], "GET", "/v1/users")).status == 200

    assert (await auth.call("DELETE", f"/v1/api-keys/{made['id']}")).status == 204

    answer = await with_key(auth, made["key"], "GET", "/v1/users")
    assert (answer.status, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")


async def test_a_key_ends_when_it_was_meant_to(auth, clock):
    end = (clock() + timedelta(hours=1)).isoformat()
    made = await made_key(auth, "*", expires_at=end)
    assert (await with_key(auth, made["key"], "GET", "/v1/users")).status == 200

    clock.advance(timedelta(hours=1))

    assert (await with_key(auth, made["key"], "GET", "/v1/users")).status == 401


async def test_an_end_may_be_told_in_any_time_zone(auth, clock):
    end = (clock() + timedelta(hours=1)).astimezone(timezone(timedelta(hours=2)))
    made = await made_key(auth, "*", expires_at=end.isoformat())

    clock.advance(timedelta(minutes=59))
    assert (await with_key(auth, made["key"], "GET", "/v1/users")).status == 200
    clock.advance(timedelta(minutes=1))
    assert (await with_key(auth, made["key"], "GET", "/v1/users")).status == 401


async def test_a_key_gives_only_scopes_that_it_has(auth):
    made = await made_key(auth, "keys:write", "users:write")
    rich = await made_key(auth, "*")
    path = "/v1/api-keys"

    poor = {"name": "a", "scopes": ["users:read", "keys:read"]}
    assert (await with_key(auth, made["key"], "POST", path, poor)).status == 201
    for scopes in (["*"], ["users:read", "domains:read"], ["explain"]):
        answer = await with_key(auth, made["key"], "POST", path, {"name": "b", "scopes": scopes})
        assert (answer.status, answer.body["field"]) == (403, "scopes")
    revoking = await with_key(auth, made["key"], "DELETE", f"{path}/{rich['id']}")
    assert revoking.status == 403


async def test_a_key_of_less_makes_no_way_in_for_an_administrator(auth):
    key = (await made_key(auth, "app-passwords:write"))["key"]
    path, phone = "/v1/users/admin/app-passwords", {"name": "phone", "purposes": ["collect"]}
    await auth.made(path, phone)

    for method, where, body in [
        ("POST", path, {**phone, "name": "spy"}),
        ("DELETE", f"{path}/phone", None),
    ]:
        answer = await with_key(auth, key, method, where, body)
        assert (answer.status, answer.body["field"]) == (403, "administrator")

    await auth.made("/v1/users", ANN)
    answer = await with_key(auth, key, "POST", "/v1/users/ann@ours.test/app-passwords", phone)
    assert answer.status == 201


async def test_a_key_of_less_makes_nobody_an_administrator(auth):
    key = (await made_key(auth, "users:write", "keys:write"))["key"]
    await auth.made("/v1/users", ANN)

    for method, path, body in [
        ("POST", "/v1/users", {**ANN, "address": "bob@ours.test", "administrator": True}),
        ("PATCH", "/v1/users/ann@ours.test", {"administrator": True}),
        ("PATCH", "/v1/users/admin", {"password": "mine now"}),
        ("DELETE", "/v1/users/admin", None),
    ]:
        answer = await with_key(auth, key, method, path, body)
        assert (answer.status, answer.body["field"]) == (403, "administrator")
    assert (
        await with_key(auth, key, "PATCH", "/v1/users/ann@ours.test", {"full_name": "Ann"})
    ).status == 200


WRONG = [
    {"name": "x", "scopes": []},
    {"name": "x", "scopes": ["users"]},
    {"name": "x", "scopes": ["users:read", "everything"]},
    {"name": "", "scopes": ["*"]},
    {"name": "x/y", "scopes": ["*"]},
    {"name": "x", "scopes": ["*"], "expires_at": "2001-01-01T00:00:00Z"},
    {"name": "x", "scopes": ["*"], "expires_at": "2101-01-01T00:00:00"},
    {"name": "x", "scopes": ["*"], "expires_at": 5_000_000_000},
    {"name": "x", "scopes": ["*"], "expires_at": "9999-12-31T23:59:59-12:00"},
]
FIELDS = ["scopes", "scopes.0", "scopes.1", "name", "name", *["expires_at"] * 4]


async def test_a_key_that_makes_no_sense_is_refused(auth):
    for body, field in zip(WRONG, FIELDS, strict=True):
        answer = await auth.call("POST", "/v1/api-keys", body)

        assert (answer.status, answer.body["field"]) == (422, field)


async def test_names_of_keys_are_taken_once(auth):
    await made_key(auth, "*")

    answer = await auth.call("POST", "/v1/api-keys", {"name": "for *", "scopes": ["*"]})

    assert (answer.status, answer.body["field"]) == (409, "name")


@pytest.mark.parametrize("guess", ["wrong secret", "wrong id", "nonsense"])
async def test_who_guesses_keys_is_locked_out(auth, guess):
    made = await made_key(auth, "*")
    last = "a" if made["key"][-1] != "a" else "b"
    shown = {
        "wrong secret": made["key"][:-1] + last,
        "wrong id": f"prk_{'0' * 16}_{made['key'][-26:]}",
        "nonsense": "prk_",
    }[guess]

    for _ in range(20):
        assert (await with_key(auth, shown, "GET", "/v1/users")).status == 401

    assert (await with_key(auth, shown, "GET", "/v1/users")).status == 429
    assert (await with_key(auth, made["key"], "GET", "/v1/users")).status == 429


async def test_a_key_costs_no_database_read_while_it_is_fresh(auth):
    made = await made_key(auth, "explain", "users:read")
    assert (await with_key(auth, made["key"], "GET", "/v1/users")).status == 200
    reads = []
    look_up = auth.desk.keys._shelf._look_up

    async def counted(ids):
        reads.append(ids)
        return await look_up(ids)

    auth.desk.keys._shelf._look_up = counted

    for _ in range(3):
        await with_key(auth, made["key"], "GET", "/v1/domains")

    assert reads == []
