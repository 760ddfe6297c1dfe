"""Users over the REST API of auth: found, taken over, kept apart; what they do for themselves."""

import aiohttp
import pytest

from kernel.mailboxes.maildir import _folder_name
from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from tests.support.auth import PASSWORD

ANN = {"address": "ann@ours.test", "password": "a secret", "full_name": "Ann Ä."}
BOB = {"address": "bob@equal.test", "password": "x", "may_relay": False, "login": "bob"}
OWN = {"login": "ann@ours.test", "password": "a secret"}
FROM_ELSEWHERE = "$2b$04$aaaaaaaaaaaaaaaaaaaaaulhZdNKtUE.kKnwsExswrA58STi51NJy"
SSHA = "{SSHA}nSDLIyXX9b7O2S2Ld/4y8YZ7wsRwZXBwZXI="  # of another password than any here


@pytest.fixture
async def furnished(auth):
    await auth.made("/v1/domains", {"name": "equal.test"})
    await auth.made("/v1/users", ANN)
    await auth.made("/v1/users", BOB)
    return auth


async def log_in(auth, login, password, service="smtp"):
    question = LoginQuestion(service, "submission", "192.0.2.7", "PLAIN", login, password, tls=True)
    return (await auth.peer.ask("/internal/login", question, LoginAnswer)).verdict


FILTERS = [
    ("q=ÄNN", []),
    ("q=ann", ["ann@ours.test"]),
    ("q=ANN A", []),
    ("q=Ann", ["ann@ours.test"]),
    ("q=%25", []),
    ("q=_", []),
    ("domain=equal.test", ["bob"]),
    ("domain=EQUAL.test", ["bob"]),
    ("domain=test", []),
    ("administrator=true", ["admin"]),
    ("administrator=false&may_relay=true", ["ann@ours.test"]),
    ("may_relay=false", ["bob"]),
    ("disabled=true", []),
    ("limit=1&after=admin", ["ann@ours.test"]),
    ("nothing=known", ["admin", "ann@ours.test", "bob"]),
]


async def test_users_are_found_by_what_they_are(furnished):
    for query, logins in FILTERS:
        items = (await furnished.call("GET", f"/v1/users?{query}")).body["items"]

        assert [item["login"] for item in items] == logins, query


OTHER_FILTERS = [
    ("/v1/domains?q=EQ", "name", ["equal.test"]),
    ("/v1/networks?q=127", "cidr", ["127.0.0.0/8"]),
    ("/v1/listeners?q=sub", "name", ["submission", "submissions"]),
    ("/v1/aliases?q=post", "address", ["postmaster@ours.test"]),
    ("/v1/aliases?domain=equal.test", "address", []),
    ("/v1/aliases?domain=ours.test&q=abu", "address", ["abuse@ours.test"]),
    ("/v1/aliases?target=bob@equal.test", "address", ["all@ours.test"]),
    ("/v1/aliases?target=bob@equal", "address", []),
]


async def test_other_things_are_found_by_what_they_are(furnished):
    both = ["ann@ours.test", "bob@equal.test"]
    await furnished.made("/v1/aliases", {"address": "all@ours.test", "targets": both})
    for path, field, names in OTHER_FILTERS:
        items = (await furnished.call("GET", path)).body["items"]

        assert [item[field] for item in items] == names, path


async def test_a_user_may_hold_so_much(furnished):
    path = "/v1/users/bob"
    assert (await furnished.call("GET", path)).body["quota"] is None
    assert (await furnished.changed(path, {"quota": 10**15}))["quota"] == 10**15
    assert (await furnished.changed(path, {"full_name": "Bob"}))["quota"] == 10**15
    assert (await furnished.changed(path, {"quota": None}))["quota"] is None

    for wrong in (0, -1, "5", True, 2**63):
        answer = await furnished.call("PATCH", path, {"quota": wrong})
        assert (answer.status, answer.body["field"]) == (422, "quota")


async def test_a_hash_from_elsewhere_is_as_good_as_its_password(auth):
    made = await auth.made(
        "/v1/users", {"address": "ann@ours.test", "password_hash": FROM_ELSEWHERE}
    )
    assert not made["has_challenge_secret"]

    assert await log_in(auth, "ann@ours.test", "x") is LoginVerdict.REFUSED
    assert await log_in(auth, "ann@ours.test", "from elsewhere") is LoginVerdict.GRANTED


REFUSED = [
    ({"password_hash": "secret"}, "password_hash"),
    ({"password_hash": "{ROT13}frperg"}, "password_hash"),
    ({"password_hash": SSHA, "password": "x"}, "password_hash"),
    ({"password_hash": None}, "password_hash"),
    ({"password": None}, "password"),
    ({"password": "x" * 1025}, "password"),
]


async def test_a_password_comes_as_itself_or_as_a_hash_that_can_be_verified(furnished):
    for body, field in REFUSED:
        for method, path, more in [
            ("POST", "/v1/users", {"address": "cat@ours.test"}),
            ("PATCH", "/v1/users/bob", {}),
        ]:
            answer = await furnished.call(method, path, {**more, **body})
            assert (answer.status, answer.body["field"]) == (422, field), body


UNUSABLE = [
    ({"address": '""@ours.test'}, "address"),
    ({"address": '" "@ours.test'}, "address"),
    ({"address": '".."@ours.test'}, "address"),
    ({"address": '"a "@ours.test'}, "address"),
    ({"address": "a\u0085@ours.test"}, "address"),
    ({"address": "Ⱥ" * 32 + "@ours.test"}, "address"),
    ({"address": '"a b"@ours.test'}, "login"),
    ({"address": "cat@[127.0.0.1]"}, "address"),
    ({"address": "cat@ours.test", "login": ""}, "login"),
    ({"address": "cat@ours.test", "login": "a b"}, "login"),
    ({"address": "cat@ours.test", "login": "a/b"}, "login"),
    ({"address": "cat@ours.test", "login": ".."}, "login"),
    ({"address": "cat@ours.test", "login": "a\u200b"}, "login"),
]


async def test_what_can_name_no_mailbox_or_login_is_refused(auth):
    for body, field in UNUSABLE:
        answer = await auth.call("POST", "/v1/users", {**body, "password": "x"})

        assert (answer.status, answer.body["field"]) == (422, field), body


def test_names_that_share_a_folder_are_the_same_to_the_directory():
    for point in range(0x110000):
        letter = chr(point)
        assert letter.lower().casefold() == letter.casefold(), hex(point)
    assert _folder_name("ANN") == _folder_name("ann")


async def test_what_a_disabled_or_removed_user_opened_is_closed(furnished):
    phone = {"name": "phone", "purposes": ["send", "collect"]}
    secret = (await furnished.made("/v1/users/bob/app-passwords", phone))["secret"]
    assert await log_in(furnished, "bob", secret) is LoginVerdict.GRANTED

    await furnished.changed("/v1/users/bob", {"disabled": True})
    assert await log_in(furnished, "bob", secret) is LoginVerdict.REFUSED

    assert (await furnished.call("DELETE", "/v1/users/bob")).status == 204
    (removed, *_) = (await furnished.call("GET", "/v1/audit?kind=users&key=bob")).body["items"]
    assert removed["before"]["app_passwords"] == ["phone"]


async def test_users_change_their_own_password_and_name(furnished):
    wrong = {"current": "wrong", "new": "another"}
    refused = await furnished.call("PUT", "/v1/whoami/password", wrong, **OWN)
    assert (refused.status, refused.body["field"]) == (403, "current")

    right = {"current": "a secret", "new": "another"}
    assert (await furnished.call("PUT", "/v1/whoami/password", right, **OWN)).status == 204
    assert (await furnished.call("GET", "/v1/whoami", **OWN)).status == 401
    own = {**OWN, "password": "another"}
    renamed = await furnished.call("PATCH", "/v1/whoami", {"full_name": "Ann"}, **own)
    assert (renamed.status, renamed.body["full_name"]) == (200, "Ann")
    for body in ({"may_relay": True}, {"administrator": True}, {"password": "x"}):
        answer = await furnished.call("PATCH", "/v1/whoami", body, **own)
        assert (answer.status, answer.body["field"]) == (422, *body)
    (entry, *_) = (await furnished.call("GET", "/v1/audit?who=ann@ours.test")).body["items"]
    assert entry["key"] == "ann@ours.test"


async def test_users_make_and_revoke_their_own_app_passwords(furnished):
    path = "/v1/whoami/app-passwords"
    made = (await furnished.call("POST", path, {"name": "phone", "purposes": ["send"]}, **OWN)).body
    secret = made.pop("secret")

    assert secret.startswith("pra_")
    assert (await furnished.call("GET", path, **OWN)).body == {"items": [made], "next": None}
    assert (await furnished.call("GET", f"{path}/phone", **OWN)).body == made
    assert await log_in(furnished, "ann@ours.test", secret) is LoginVerdict.GRANTED
    assert await log_in(furnished, "ann@ours.test", secret, "pop3") is LoginVerdict.REFUSED

    assert (await furnished.call("DELETE", f"{path}/phone", **OWN)).status == 204
    assert await log_in(furnished, "ann@ours.test", secret) is LoginVerdict.REFUSED
    assert (await furnished.call("DELETE", f"{path}/phone", **OWN)).status == 404


async def test_an_app_password_never_opens_the_api(furnished):
    both = {"name": "phone", "purposes": ["send", "collect"]}
    secret = (await furnished.made("/v1/users/admin/app-passwords", both))["secret"]

    for path in ("/v1/whoami", "/v1/users", "/v1/whoami/app-passwords"):
        assert (await furnished.call("GET", path, password=secret)).status == 401
    change = {"current": secret, "new": "mine now"}
    assert (await furnished.call("PUT", "/v1/whoami/password", change)).status == 403


WRONG = [
    ({"name": "phone", "purposes": []}, 422, "purposes"),
    ({"name": "phone", "purposes": ["read"]}, 422, "purposes.0"),
    ({"name": "a/b", "purposes": ["send"]}, 422, "name"),
    ({"name": "..", "purposes": ["send"]}, 422, "name"),
    ({"name": "", "purposes": ["send"]}, 422, "name"),
    ({"name": "taken", "purposes": ["send"]}, 409, "name"),
]


async def test_an_app_password_that_makes_no_sense_is_refused(furnished):
    path = "/v1/users/ann@ours.test/app-passwords"
    await furnished.made(path, {"name": "taken", "purposes": ["send"]})
    for body, status, field in WRONG:
        answer = await furnished.call("POST", path, body)

        assert (answer.status, answer.body["field"]) == (status, field), body


async def test_app_passwords_have_an_address_that_is_no_users(furnished):
    for method, path in [
        ("PATCH", "/v1/users/bob/app-passwords"),
        ("DELETE", "/v1/users/bob/app-passwords"),
        ("PATCH", "/v1/users/bob/app-passwords/phone"),
        ("PUT", "/v1/users/bob"),
    ]:
        answer = await furnished.call(method, path, {})
        assert answer.status == 405
        assert method not in answer.headers["Allow"]
        assert "GET" in answer.headers["Allow"]


async def test_lockouts_are_listed_and_cleared(furnished):
    for _ in range(5):
        await furnished.call("GET", "/v1/whoami", login="bob", password="wrong")
    await furnished.call("GET", "/v1/whoami", login="eve", password="wrong")
    assert (await furnished.call("GET", "/v1/whoami", login="bob", password="x")).status == 429

    found = (await furnished.call("GET", "/v1/lockouts?subject=login")).body["items"]
    assert [(one["who"], one["count"], bool(one["locked_until"])) for one in found] == [
        ("bob", 5, False),
        ("eve@ours.test", 1, False),
    ]
    pairs = (await furnished.call("GET", "/v1/lockouts?subject=pair")).body["items"]
    assert [(one["who"], one["count"], bool(one["locked_until"])) for one in pairs] == [
        ("bob 127.0.0.1", 5, True),
        ("eve@ours.test 127.0.0.1", 1, False),
    ]
    first = (await furnished.call("GET", "/v1/lockouts?limit=1")).body
    rest = (await furnished.call("GET", f"/v1/lockouts?limit=4&after={first['next']}")).body
    assert [one["who"] for one in first["items"] + rest["items"]] == [
        "127.0.0.1",
        "bob",
        "eve@ours.test",
        "bob 127.0.0.1",
        "eve@ours.test 127.0.0.1",
    ]
    assert (await furnished.call("GET", "/v1/lockouts/login/bob")).body == found[0]

    assert (await furnished.call("DELETE", "/v1/lockouts/login/bob")).status == 204
    assert (await furnished.call("GET", "/v1/whoami", login="bob", password="x")).status == 200
    assert (await furnished.call("DELETE", "/v1/lockouts/login/bob")).status == 404
    assert (await furnished.call("DELETE", "/v1/lockouts/client/127.0.0.1")).status == 204


async def test_only_json_is_taken_and_what_is_wrong_with_it_is_said(auth):
    for body, kind, status in [
        ("cidr=10.0.0.0/8", "application/x-www-form-urlencoded", 415),
        ('{"cidr": "10.0.0.0/8"}', "text/plain", 415),
        ('{"cidr": ', "application/json", 422),
        ("[]", "application/json", 422),
        ('{"cidr": 5}', "application/json", 422),
        ('{"cidr": "10.0.0.0/8"}', "application/json; charset=utf-8", 201),
    ]:
        answer = await _posted(auth, body, kind)
        assert answer == status, (body, kind)


async def _posted(auth, body, kind):
    headers = {
        "Content-Type": kind,
        "Authorization": aiohttp.encode_basic_auth("admin", PASSWORD),
    }
    url = f"{auth.url}/v1/networks"
    async with auth.session.post(url, data=body, headers=headers) as response:
        if response.status >= 400:
            assert response.headers["Content-Type"] == "application/problem+json"
        return response.status
