"""Every word of the command about what auth keeps: what it asks for, and what it shows."""

import json
from dataclasses import fields

import pytest

from kernel.sasl import MECHANISMS
from postroom import cli
from postroom.commands.listeners import Settings
from services.auth.core.listener import ListenerSettings
from tests.support.command import postroom, stub_server

ANN = {"login": "ann", "full_name": "Ann", "send_as": ["old.test"], "disabled": False}
APP_PASSWORD = {
    "name": "phone",
    "purposes": ["send"],
    "created_at": "2026-01-05T12:00:00+00:00",
    "used_at": None,
}
KEY = {
    "id": "01",
    "name": "backup",
    "scopes": ["users:read"],
    "created_at": "2026-01-05T12:00:00+00:00",
    "expires_at": None,
}
LISTENER = {
    "name": "mx",
    "tls": "starttls",
    "access": ["any"],
    "mechanisms": [],
    "require_auth": "never",
    "collection_grants": False,
    "relay_outside_lan": False,
}


@pytest.fixture
async def server(monkeypatch, tmp_path):
    async with stub_server(monkeypatch, tmp_path) as stub:
        yield stub


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        ("user disable ann", "PATCH", "users/ann", {"disabled": True}),
        ("user enable ann", "PATCH", "users/ann", {"disabled": False}),
        ("user remove ann@ours.test", "DELETE", "users/ann@ours.test", None),
        ("user passwd ann --password n", "PATCH", "users/ann", {"password": "n"}),
        ("user change ann --name Annie", "PATCH", "users/ann", {"full_name": "Annie"}),
        ("user change ann --no-relay", "PATCH", "users/ann", {"may_relay": False}),
        ("user change ann --administrator", "PATCH", "users/ann", {"administrator": True}),
        ("user change ann --quota 1GiB", "PATCH", "users/ann", {"quota": 1 << 30}),
        ("user change ann --quota none", "PATCH", "users/ann", {"quota": None}),
        ("domain change a.test --own-users", "PATCH", "domains/a.test", {"own_users": True}),
        (
            "domain change a.test --undelivered mailbox --undelivered-mailbox b@a.test",
            "PATCH",
            "domains/a.test",
            {"undelivered": "mailbox", "undelivered_mailbox": "b@a.test"},
        ),
        ("domain remove old.test", "DELETE", "domains/old.test", None),
        ("network add 192.0.2.0/24", "POST", "networks", {"cidr": "192.0.2.0/24"}),
        ("network remove 192.0.2.0/24", "DELETE", "networks/192.0.2.0/24", None),
        (
            "alias add all@ours.test a@ours.test b@x.test",
            "POST",
            "aliases",
            {"address": "all@ours.test", "targets": ["a@ours.test", "b@x.test"]},
        ),
        (
            "alias change a@ours.test b@x.test",
            "PATCH",
            "aliases/a@ours.test",
            {"targets": ["b@x.test"]},
        ),
        ("alias remove all@ours.test", "DELETE", "aliases/all@ours.test", None),
        (
            "listener change mx --require-auth always --max-recipients 200 --max-message-size 1MiB",
            "PATCH",
            "listeners/mx",
            {"require_auth": "always", "max_recipients": 200, "max_message_size": 1 << 20},
        ),
        (
            "listener change mx --relay-outside-lan --i-understand-this-is-an-open-relay",
            "PATCH",
            "listeners/mx",
            {"relay_outside_lan": True, "i_understand_this_is_an_open_relay": True},
        ),
        (
            "listener change mx --no-relay-outside-lan",
            "PATCH",
            "listeners/mx",
            {"relay_outside_lan": False},
        ),
        (
            "listener change mx --access lan --access !192.0.2.1 --empty-mechanisms",
            "PATCH",
            "listeners/mx",
            {"access": ["lan", "!192.0.2.1"], "mechanisms": []},
        ),
        (
            "list black add client 203.0.113.0/24",
            "POST",
            "lists/black",
            {"subject": "client", "pattern": "203.0.113.0/24"},
        ),
        (
            "list white add sender *@good.test",
            "POST",
            "lists/white",
            {"subject": "sender", "pattern": "*@good.test"},
        ),
        (
            "list black remove client 203.0.113.0/24",
            "DELETE",
            "lists/black/client/203.0.113.0/24",
            None,
        ),
        ("grant revoke 2001:db8::/64", "DELETE", "grants/2001:db8::/64", None),
        ("lockout clear client 203.0.113.9", "DELETE", "lockouts/client/203.0.113.9", None),
        ("apppassword remove ann phone", "DELETE", "users/ann/app-passwords/phone", None),
        ("apikey remove 01", "DELETE", "api-keys/01", None),
    ],
)
async def test_each_word_asks_for_its_deed(server, words, method, path, body):
    server.answers[method, f"/v1/{path}"] = (200, {})

    assert await postroom(*words.split()) == 0

    assert server.asked == [(method, f"/v1/{path}", {}, body)]


@pytest.mark.parametrize(
    ("words", "path", "query"),
    [
        ("user list --search an --domain ours.test", "users", {"q": "an", "domain": "ours.test"}),
        (
            "user list --no-relay --disabled",
            "users",
            {"may_relay": "false", "disabled": "true"},
        ),
        ("user list --administrator", "users", {"administrator": "true"}),
        ("domain list --search old", "domains", {"q": "old"}),
        ("alias list --target a@x.test", "aliases", {"target": "a@x.test"}),
        ("network list --search 192", "networks", {"q": "192"}),
        ("list black show --subject client", "lists/black", {"subject": "client"}),
        (
            "grant list --user ann --client 192.0.2.1",
            "grants",
            {"login": "ann", "client": "192.0.2.1"},
        ),
        ("lockout list --subject login", "lockouts", {"subject": "login"}),
        ("apppassword list ann", "users/ann/app-passwords", {}),
        ("apikey list", "api-keys", {}),
    ],
)
async def test_a_list_is_filtered_by_the_server(server, capsys, words, path, query):
    server.answers["GET", f"/v1/{path}"] = (200, {"items": [], "next": None})

    assert await postroom(*words.split()) == 0

    assert server.asked == [("GET", f"/v1/{path}", {**query, "limit": "200"}, None)]
    assert capsys.readouterr().out == "none\n"


async def test_a_change_that_depends_on_what_is_there_is_made_to_that_very_version(server):
    server.answers["GET", "/v1/users/ann"] = (200, ANN, {"ETag": '"1"'})
    server.answers["PATCH", "/v1/users/ann"] = (200, ANN)

    words = "user change ann --send-as new.test --not-send-as Old.test --name Annie"
    assert await postroom(*words.split()) == 0

    assert server.asked[1][3] == {"full_name": "Annie", "send_as": ["new.test"]}
    assert server.headers[1]["If-Match"] == '"1"'


async def test_a_change_that_another_one_overtook_is_made_again(server):
    alias = {"address": "all@ours.test", "targets": ["a@x.test"]}
    newer = {**alias, "targets": ["a@x.test", "c@x.test"]}
    server.answers["GET", "/v1/aliases/all@ours.test"] = [
        (200, alias, {"ETag": '"1"'}),
        (200, newer, {"ETag": '"2"'}),
    ]
    server.answers["PATCH", "/v1/aliases/all@ours.test"] = [
        (412, {"detail": "it has changed"}),
        (200, newer),
    ]

    words = "alias change all@ours.test --add b@x.test --drop a@x.test"
    assert await postroom(*words.split()) == 0

    assert server.asked[-1][3] == {"targets": ["c@x.test", "b@x.test"]}
    assert server.headers[-1]["If-Match"] == '"2"'


async def test_who_is_overtaken_again_and_again_is_told(server, capsys):
    server.answers["GET", "/v1/users/ann"] = (200, ANN, {"ETag": '"1"'})
    server.answers["PATCH", "/v1/users/ann"] = (412, {"detail": "it has changed"})

    assert await postroom("user", "change", "ann", "--send-as", "x.test") == cli.REFUSED

    assert capsys.readouterr().err == "postroom: ann is being changed by others: try again\n"


async def test_what_is_so_already_is_not_changed(server):
    server.answers["GET", "/v1/users/ann"] = (200, ANN, {"ETag": '"1"'})

    assert await postroom("user", "change", "ann", "--send-as", "OLD.test") == 0

    assert [asked[0] for asked in server.asked] == ["GET"]


@pytest.mark.parametrize("thing", ["user", "domain", "listener", "alias"])
async def test_a_change_of_nothing_is_not_understood(server, thing, capsys):
    assert await postroom(thing, "change", "x") == cli.USAGE

    assert "nothing to change" in capsys.readouterr().err


async def test_a_secret_is_shown_once_and_apart(server, capsys):
    made = {**APP_PASSWORD, "secret": "pra_1_abc"}
    server.answers["POST", "/v1/users/ann/app-passwords"] = (201, made)

    words = "apppassword add ann phone --purpose send --purpose collect"
    assert await postroom(*words.split()) == 0

    assert server.asked[0][3] == {"name": "phone", "purposes": ["send", "collect"]}
    heading, row, _, secret = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "FOR", "MADE", "LAST", "USED"]
    assert row.split() == ["phone", "send", "2026-01-05", "12:00:00", "-"]
    assert secret == "The password, not shown again: pra_1_abc"


async def test_a_new_key_ends_when_it_was_told_to(server, capsys):
    made = {**KEY, "key": "prk_01_abc"}
    server.answers["POST", "/v1/api-keys"] = (201, made)

    words = "apikey add backup --scope users:read --scope audit:read --expires 2027-01-01"
    assert await postroom(*words.split()) == 0

    assert server.asked[0][3] == {
        "name": "backup",
        "scopes": ["users:read", "audit:read"],
        "expires_at": "2027-01-01T00:00:00+00:00",
    }
    assert capsys.readouterr().out.endswith("The key, not shown again: prk_01_abc\n")


async def test_a_program_gets_a_new_secret_as_json(server, capsys):
    made = {**KEY, "key": "prk_01_abc"}
    server.answers["POST", "/v1/api-keys"] = (201, made)

    assert await postroom("apikey", "add", "backup", "--scope", "*", "--json") == 0

    assert json.loads(capsys.readouterr().out) == [made]


async def test_an_api_key_goes_before_the_password(server, monkeypatch):
    monkeypatch.setenv("POSTROOM_API_KEY", "prk_01_abc")
    server.answers["GET", "/v1/domains"] = (200, {"items": [], "next": None})

    assert await postroom("domain", "list") == 0

    assert server.headers[0]["Authorization"] == "Bearer prk_01_abc"


async def test_an_open_relay_stands_in_red(server, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    submission = {**LISTENER, "name": "submission"}
    items = [{**LISTENER, "relay_outside_lan": True}, submission]
    server.answers["GET", "/v1/listeners"] = (200, {"items": items, "next": None})

    assert await postroom("listener", "list") == 0

    _, open_relay, other = capsys.readouterr().out.splitlines()
    assert open_relay.startswith("\x1b[1;31mmx ")
    assert "\x1b" not in other


async def test_no_colour_gets_into_a_file(server, capsys):
    server.answers["GET", "/v1/listeners/mx"] = (200, {**LISTENER, "relay_outside_lan": True})

    assert await postroom("listener", "show", "mx") == 0

    assert capsys.readouterr().out.splitlines()[-1].split() == ["relay_outside_lan", "yes"]


def test_every_setting_of_a_listener_has_its_option():
    options = {field.name for field in fields(Settings)}
    settings = {field.name for field in fields(ListenerSettings)}

    assert options == settings | {"i_understand_this_is_an_open_relay"}


async def test_every_mechanism_that_there_is_can_be_offered(server):
    server.answers["PATCH", "/v1/listeners/mx"] = (200, LISTENER)
    words = [word for name in MECHANISMS for word in ("--mechanisms", name)]

    assert await postroom("listener", "change", "mx", *words) == 0

    assert server.asked[0][3] == {"mechanisms": list(MECHANISMS)}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, cli.REFUSED),
        (403, cli.REFUSED),
        (404, cli.NOT_FOUND),
        (409, cli.REFUSED),
        (422, cli.REFUSED),
        (429, cli.UNREACHABLE),
        (503, cli.UNREACHABLE),
    ],
)
async def test_a_script_can_tell_no_from_not_there_and_from_not_now(server, status, code):
    server.answers["GET", "/v1/users/ann"] = (status, {"detail": "why"})

    assert await postroom("user", "show", "ann") == code


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("full_name", "--name"),
        ("send_as.0", "--send-as"),
        ("relay_outside_lan", "--relay-outside-lan"),
        ("cidr", "NETWORK"),
    ],
)
async def test_what_is_wrong_is_told_in_the_words_of_the_command(server, capsys, field, option):
    server.answers["GET", "/v1/users/ann"] = (422, {"detail": "too long", "field": field})

    await postroom("user", "show", "ann")

    assert capsys.readouterr().err == f"postroom: {option}: too long\n"


async def test_the_audit_log_says_what_became_what(server, capsys):
    entry = {
        "id": 1,
        "at": "2026-01-05T12:00:00+00:00",
        "who": "admin",
        "client": "127.0.0.1",
        "action": "changed",
        "kind": "users",
        "key": "ann",
        "before": {"full_name": "Ann", "disabled": False},
        "after": {"full_name": "Ann", "disabled": True},
    }
    server.answers["GET", "/v1/audit"] = (200, {"items": [entry], "next": None})

    words = "audit --kind users --key ann --since 2026-01-01 --until 2026-02-01T12:00:00"
    assert await postroom(*words.split()) == 0

    assert server.asked[0][2] == {
        "kind": "users",
        "key": "ann",
        "since": "2026-01-01T00:00:00+00:00",
        "until": "2026-02-01T12:00:00+00:00",
        "limit": "50",
    }
    row = capsys.readouterr().out.splitlines()[1]
    assert row.endswith("changed  users  ann    disabled no -> yes")
