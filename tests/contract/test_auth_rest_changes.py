"""Changes over the REST API of auth: made on what was seen, written down, told to everybody."""

import asyncio
from datetime import timedelta

import pytest

ANN = {"address": "ann@ours.test", "password": "a secret", "full_name": "Ann"}
ALIAS = {"address": "all@ours.test", "targets": ["ann@ours.test"]}
CHANGED = [
    ("/v1/users/ann@ours.test", {"full_name": "Ann B."}),
    ("/v1/domains/ours.test", {"undelivered": "report"}),
    ("/v1/aliases/all@ours.test", {"targets": ["bob@x.test"]}),
    ("/v1/listeners/mx", {"max_recipients": 200}),
]
REMOVED = [
    "/v1/users/ann@ours.test/app-passwords/phone",
    "/v1/users/ann@ours.test",
    "/v1/domains/equal.test",
    "/v1/aliases/all@ours.test",
    "/v1/networks/203.0.113.0/24",
]


@pytest.fixture
async def furnished(auth):
    """A server with one of everything."""
    await auth.made("/v1/users", ANN)
    await auth.made("/v1/aliases", ALIAS)
    await auth.made("/v1/domains", {"name": "equal.test"})
    await auth.made("/v1/networks", {"cidr": "203.0.113.0/24"})
    phone = {"name": "phone", "purposes": ["send"]}
    await auth.made("/v1/users/ann@ours.test/app-passwords", phone)
    return auth


async def tag_of(auth, path):
    return (await auth.call("GET", path)).headers["ETag"]


async def changes(auth, query=""):
    return (await auth.call("GET", f"/v1/audit?{query}")).body["items"]


async def test_a_change_is_made_only_on_what_was_seen(furnished):
    for path, change in CHANGED:
        seen = await tag_of(furnished, path)
        first = await furnished.call("PATCH", path, change, **{"If-Match": seen})
        second = await furnished.call("PATCH", path, change, **{"If-Match": seen})

        assert (first.status, second.status) == (200, 412)
        assert first.headers["ETag"] == await tag_of(furnished, path) != seen
        assert second.headers["Content-Type"] == "application/problem+json"


async def test_of_many_changes_at_once_of_what_was_seen_one_is_made(furnished):
    for path, change in CHANGED:
        seen = await tag_of(furnished, path)
        answers = await asyncio.gather(
            *(furnished.call("PATCH", path, change, **{"If-Match": seen}) for _ in range(8))
        )

        assert sorted(answer.status for answer in answers) == [200] + [412] * 7


async def test_only_what_was_seen_is_removed(furnished):
    for path in REMOVED:
        seen = await tag_of(furnished, path)

        stale = await furnished.call("DELETE", path, **{"If-Match": '"what it was"'})
        assert stale.status == 412
        assert (await furnished.call("DELETE", path, **{"If-Match": seen})).status == 204


MATCHES = [
    ("*", 200),
    ('"x", {}', 200),
    ("{}", 200),
    ("W/{}", 412),
    ('"x"', 412),
    ("nonsense", 412),
]


@pytest.mark.parametrize(("condition", "status"), MATCHES)
async def test_if_match_takes_a_star_or_a_list_of_strong_tags(auth, condition, status):
    path = "/v1/users/admin"
    tag = await tag_of(auth, path)

    answer = await auth.call(
        "PATCH", path, {"full_name": "A"}, **{"If-Match": condition.format(tag)}
    )

    assert answer.status == status


async def test_what_is_not_there_matches_nothing(auth):
    answer = await auth.call("PATCH", "/v1/users/nobody", {}, **{"If-Match": "*"})

    assert answer.status == 404


async def test_what_was_seen_is_not_sent_again(auth):
    tag = await tag_of(auth, "/v1/listeners/mx")

    for condition in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await auth.call("GET", "/v1/listeners/mx", **{"If-None-Match": condition})
        assert (answer.status, answer.headers["ETag"], answer.body) == (304, tag, {})
    fresh = await auth.call("GET", "/v1/listeners/mx", **{"If-None-Match": '"x"'})
    assert fresh.status == 200


async def test_what_is_made_says_where_it_is_and_as_what(auth):
    for path, body in [
        ("/v1/users", ANN),
        ("/v1/users", {"address": "a/b@ours.test", "password": "x"}),
        ("/v1/aliases", ALIAS),
        ("/v1/domains", {"name": "equal.test"}),
        ("/v1/networks", {"cidr": "2001:db8::/32"}),
        ("/v1/users/ann@ours.test/app-passwords", {"name": "a phone", "purposes": ["send"]}),
        ("/v1/api-keys", {"name": "backup", "scopes": ["users:read"]}),
    ]:
        made = await auth.call("POST", path, body)

        found = await auth.call("GET", made.headers["Location"])
        assert (found.status, found.headers["ETag"]) == (200, made.headers["ETag"])


async def test_every_change_is_written_down(furnished):
    path = "/v1/users/ann@ours.test"
    await furnished.changed(path, {"full_name": "Ann B."})
    await furnished.call("DELETE", path)

    removed, changed, *_, added = await changes(furnished, "kind=users&key=ann@ours.test")

    assert [entry["action"] for entry in (added, changed, removed)] == [
        "added",
        "changed",
        "removed",
    ]
    assert (added["who"], added["client"]) == ("admin", "127.0.0.1")
    assert (added["before"], removed["after"]) == (None, None)
    assert changed["before"]["full_name"] == "Ann"
    assert changed["after"]["full_name"] == "Ann B."
    assert removed["before"]["app_passwords"] == ["phone"]


async def test_no_secret_is_written_down(furnished):
    await furnished.changed("/v1/users/ann@ours.test", {"password": "another secret"})
    made = await furnished.made("/v1/api-keys", {"name": "backup", "scopes": ["*"]})

    written = await changes(furnished)

    assert written[1]["after"]["password"] == "changed"
    for secret in ("a secret", "another secret", "argon2", made["key"], "digest", "sealed"):
        assert secret not in str(written)


async def test_what_fails_is_not_written_down(furnished):
    before = await changes(furnished)
    await furnished.call("POST", "/v1/users", ANN)
    await furnished.call("DELETE", "/v1/users/admin")
    await furnished.call("PATCH", "/v1/listeners/mx", {}, **{"If-Match": '"x"'})

    assert await changes(furnished) == before


async def test_changes_are_found_by_what_who_and_when(furnished, clock):
    start = clock()
    clock.advance(timedelta(hours=1))
    bearer = f"Bearer {furnished.platform.settings.service_token.get_secret_value()}"
    answer = await furnished.call(
        "PATCH", "/v1/listeners/mx", {"max_recipients": 300}, login=None, Authorization=bearer
    )
    assert answer.status == 200
    later = (start + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")

    (latest,) = await changes(furnished, "kind=listeners&key=mx")
    assert (await changes(furnished, "who=(service)")) == [latest]
    assert (await changes(furnished, f"since={later}")) == [latest]
    assert latest not in await changes(furnished, f"until={later}")
    assert (await changes(furnished, "kind=nothing")) == []


async def test_the_audit_log_comes_in_pages_newest_first(furnished):
    everything = await changes(furnished)
    first = (await furnished.call("GET", "/v1/audit?limit=2")).body
    second = (await furnished.call("GET", f"/v1/audit?limit=2&after={first['next']}")).body

    assert first["items"] + second["items"] == everything[:4]
    assert [entry["id"] for entry in everything] == sorted(
        (entry["id"] for entry in everything), reverse=True
    )
    for place in ("x", "-1", "99999999999", "9" * 5000, "1e3"):
        answer = await furnished.call("GET", f"/v1/audit?after={place}")
        assert (answer.status, answer.body["field"]) == (422, "after")
