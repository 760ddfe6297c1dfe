"""Routes over the REST API of auth: first match wins, and passwords stay where they are."""

import asyncio

from services.auth.settings import Settings
from tests.support.auth import served_auth

SMART = {
    "pattern": "*",
    "targets": ["Smart.example.org", "[2001:db8::1]:2587"],
    "tls": "verified",
    "login": "us",
    "password": "hush hush",
    "mechanism": "plain",
    "source": "2001:DB8::25",
    "connections": 5,
    "messages_per_connection": 20,
    "rates": ["60/minute", "1000 / hour"],
    "retry": ["60", "15m", "4h"],
    "give_up_after": "48h",
    "warn_after": "240m",
}
SHOWN = {
    "pattern": "*",
    "targets": ["smart.example.org:587", "[2001:db8::1]:2587"],
    "tls": "verified",
    "implicit_tls": False,
    "login": "us",
    "has_password": True,
    "mechanism": "PLAIN",
    "source": "2001:db8::25",
    "connections": 5,
    "messages_per_connection": 20,
    "rates": ["60/minute", "1000/hour"],
    "retry": ["1m", "15m", "4h"],
    "give_up_after": "2d",
    "warn_after": "4h",
}


async def order(auth, query=""):
    page = (await auth.call("GET", f"/v1/routes?{query}")).body
    return [route["pattern"] for route in page["items"]]


async def refused(auth, method, path, body):
    """Return the status, and the field at fault."""
    answer = await auth.call(method, path, body)
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status, answer.body.get("field")


async def test_a_route_is_shown_as_it_was_made_but_for_its_password(auth):
    made = await auth.call("POST", "/v1/routes", SMART)

    assert (made.status, made.body) == (201, SHOWN)
    assert made.headers["Location"] == "/v1/routes/%2A"
    found = await auth.call("GET", made.headers["Location"])
    assert (found.body, found.headers["ETag"]) == (SHOWN, made.headers["ETag"])
    assert (await auth.call("GET", "/v1/routes")).body == {"items": [SHOWN], "next": None}


async def test_every_kind_of_pattern_has_a_place_of_its_own(auth):
    for pattern in ("bücher.example", ".bücher.example", "[IPv6:2001:db8::1]", "*"):
        made = await auth.call("POST", "/v1/routes", {"pattern": pattern})

        assert (await auth.call("GET", made.headers["Location"])).body == made.body
        removed = await auth.call("DELETE", made.headers["Location"])
        assert removed.status == 204
    assert await order(auth) == []


async def test_routes_stand_where_each_of_them_counts(auth):
    for pattern in ("*", ".test", "a.test", "b.org", ".a.test"):
        await auth.made("/v1/routes", {"pattern": pattern})

    assert await order(auth) == ["a.test", ".a.test", ".test", "b.org", "*"]
    assert await order(auth, "q=A.t") == ["a.test", ".a.test"]
    first = (await auth.call("GET", "/v1/routes?limit=2")).body
    assert first["next"] == ".a.test"
    assert await order(auth, f"limit=2&after={first['next']}") == [".test", "b.org"]
    assert await order(auth, "after=nothing") == []


async def test_routes_are_put_in_another_order(auth):
    for pattern in ("a.test", "b.test", "*"):
        await auth.made("/v1/routes", {"pattern": pattern})
    await auth.made("/v1/routes", {"pattern": "c.test", "before": "b.test"})
    assert await order(auth) == ["a.test", "c.test", "b.test", "*"]

    await auth.changed("/v1/routes/a.test", {"before": ""})
    assert await order(auth) == ["c.test", "b.test", "a.test", "*"]
    await auth.changed("/v1/routes/a.test", {"before": "c.test"})
    assert await order(auth) == ["a.test", "c.test", "b.test", "*"]

    assert await refused(auth, "PATCH", "/v1/routes/%2A", {"before": "a.test"}) == (409, "before")
    assert await refused(auth, "PATCH", "/v1/routes/a.test", {"before": "d.test"}) == (
        422,
        "before",
    )
    wider = {"pattern": ".test", "before": "c.test"}
    assert await refused(auth, "POST", "/v1/routes", wider) == (409, "before")
    assert await order(auth) == ["a.test", "c.test", "b.test", "*"]


async def test_two_routes_for_the_same_are_one_too_many(auth):
    await auth.made("/v1/routes", {"pattern": "a.test"})

    assert await refused(auth, "POST", "/v1/routes", {"pattern": "A.test"}) == (409, "pattern")


async def test_many_at_once_all_have_a_place(auth):
    patterns = [f"d{n}.test" for n in range(8)]

    await asyncio.gather(*(auth.made("/v1/routes", {"pattern": p}) for p in patterns))

    assert sorted(await order(auth)) == patterns


CHANGES = [
    ({"targets": ["[2001:db8::1]:2587"]}, {}),
    ({"tls": "required"}, {}),
    ({"implicit_tls": True}, {}),
    ({"mechanism": ""}, {}),
    ({"source": ""}, {}),
    ({"connections": None}, {}),
    ({"rates": []}, {}),
    ({"retry": ["1m", "15m", "5d"]}, {}),
    ({"give_up_after": None}, {}),
    ({"warn_after": "1h"}, {}),
    ({"login": "them", "password": "new"}, {"has_password": True}),
    ({"targets": ["other.test:25"], "password": "new"}, {"has_password": True}),
    ({"login": "", "mechanism": "", "password": None}, {"has_password": False}),
]


async def test_a_change_carries_what_it_changes_alone(auth):
    await auth.made("/v1/routes", SMART)

    for change, besides in CHANGES:
        await auth.call("DELETE", "/v1/routes/%2A")
        before = await auth.made("/v1/routes", SMART)
        after = await auth.changed("/v1/routes/%2A", change)

        said = {name: value for name, value in change.items() if name != "password"}
        assert after == {**before, **said, **besides}


async def test_the_password_goes_with_its_login(auth):
    await auth.made("/v1/routes", SMART)

    changed = await auth.changed("/v1/routes/%2A", {"login": "", "mechanism": ""})

    assert not changed["has_password"]


WRONG = [
    ({"pattern": "a b"}, "pattern"),
    ({"targets": ["a.test", "a b"]}, "targets.1"),
    ({"targets": ["a.test:0"]}, "targets.0"),
    ({"targets": ["a.test", "A.test:587"]}, "targets"),
    ({"targets": [f"h{n}.test" for n in range(11)]}, "targets"),
    ({"targets": []}, "targets"),
    ({"tls": "maybe"}, "tls"),
    ({"tls": "opportunistic"}, "tls"),
    ({"tls": None}, "tls"),
    ({"tls": "none", "implicit_tls": True}, "tls"),
    ({"mechanism": "NTLM"}, "mechanism"),
    ({"login": "a\r\nb"}, "login"),
    ({"login": ""}, "login"),
    ({"password": None}, "password"),
    ({"password": ""}, "password"),
    ({"password": "a\0b"}, "password"),
    ({"source": "here"}, "source"),
    ({"source": "0.0.0.0"}, "source"),
    ({"source": "fe80::1%eth0"}, "source"),
    ({"connections": 0}, "connections"),
    ({"messages_per_connection": "20"}, "messages_per_connection"),
    ({"rates": ["60/minute", "lots"]}, "rates.1"),
    ({"retry": ["5m", 300]}, "retry.1"),
    ({"give_up_after": "soon"}, "give_up_after"),
    ({"give_up_after": "999d"}, "give_up_after"),
    ({"warn_after": "2d"}, "warn_after"),
    ({"position": 1}, "position"),
]


async def test_what_will_not_do_is_named(auth):
    for change, field in WRONG:
        assert await refused(auth, "POST", "/v1/routes", SMART | change) == (422, field), change
    assert await order(auth) == []


async def test_a_password_is_told_to_nobody_new_unless_it_is_given_again(auth):
    await auth.made("/v1/routes", SMART)

    for change in ({"targets": ["evil.test:587"]}, {"login": "them"}):
        assert await refused(auth, "PATCH", "/v1/routes/%2A", change) == (422, "password")
        assert (await auth.call("GET", "/v1/routes/%2A")).body == SHOWN


async def test_no_password_is_shown_or_written_down(auth):
    await auth.made("/v1/routes", SMART)
    await auth.changed("/v1/routes/%2A", {"password": "another secret"})
    await auth.call("DELETE", "/v1/routes/%2A")

    written = (await auth.call("GET", "/v1/audit?kind=routes")).body["items"]

    assert [entry["action"] for entry in written] == ["removed", "changed", "added"]
    assert written[1]["after"]["password"] == "changed"
    for secret in ("hush hush", "another secret", "sealed"):
        assert secret not in str(written)


async def test_a_change_is_made_on_what_was_seen_and_told(auth):
    await auth.made("/v1/routes", {"pattern": "*"})
    seen = (await auth.call("GET", "/v1/routes/%2A")).headers["ETag"]

    for status in (200, 412):
        change = {"connections": 3}
        answer = await auth.call("PATCH", "/v1/routes/%2A", change, **{"If-Match": seen})
        assert answer.status == status
    assert (await auth.call("DELETE", "/v1/routes/%2A", **{"If-Match": seen})).status == 412

    assert [(n.kind, n.key) for n in auth.platform.bus.notices] == [("routes", "*")] * 2


async def test_without_a_key_no_password_can_be_kept(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/postroom.db"
    async with served_auth(url, auth=Settings()) as auth:
        assert await refused(auth, "POST", "/v1/routes", SMART) == (409, "password")

        await auth.made("/v1/routes", {"pattern": "*", "targets": ["smart.test"]})


async def test_what_is_not_there_is_not_found(auth):
    for method in ("GET", "PATCH", "DELETE"):
        for path in ("/v1/routes/a.test", "/v1/routes/a%20b"):
            body = {} if method == "PATCH" else None
            assert (await auth.call(method, path, body)).status == 404


async def test_a_program_may_do_what_its_key_says(auth):
    made = await auth.made("/v1/api-keys", {"name": "watch", "scopes": ["routes:read"]})

    async def asked(method, body=None):
        bearer = {"Authorization": f"Bearer {made['key']}"}
        return (await auth.call(method, "/v1/routes", body, login=None, **bearer)).status

    assert await asked("GET") == 200
    assert await asked("POST", {"pattern": "*"}) == 403
