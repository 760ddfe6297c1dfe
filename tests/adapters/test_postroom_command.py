"""The command against a server that answers as the API says."""

import json

import pytest
from aiohttp import BasicAuth

from postroom import cli
from tests.support.command import postroom, stub_server

ANN = {
    "login": "ann",
    "address": "ann@ours.test",
    "full_name": "Ann",
    "may_relay": True,
    "administrator": False,
    "disabled": False,
}


@pytest.fixture
async def server(monkeypatch, tmp_path):
    async with stub_server(monkeypatch, tmp_path) as stub:
        yield stub


async def test_a_user_is_added_as_told(server, capsys):
    server.answers["POST", "/v1/users"] = (201, ANN)

    code = await postroom(
        "user", "add", "ann@ours.test", "--password", "p", "--login", "ann", "--no-relay"
    )

    assert code == 0
    (asked,) = server.asked
    assert asked[3] == {
        "address": "ann@ours.test",
        "password": "p",
        "login": "ann",
        "full_name": "",
        "may_relay": False,
        "administrator": False,
    }
    shown = BasicAuth.decode(server.headers[0]["Authorization"])
    assert (shown.login, shown.password) == ("admin", "secret")
    assert "ann@ours.test" in capsys.readouterr().out


async def test_a_list_is_read_to_its_last_page(server, capsys):
    server.answers["GET", "/v1/users"] = [
        (200, {"items": [ANN], "next": "ann"}),
        (200, {"items": [{**ANN, "login": "bob"}], "next": None}),
    ]

    assert await postroom("user", "list", "--json") == 0

    assert [user["login"] for user in json.loads(capsys.readouterr().out)] == ["ann", "bob"]
    assert server.asked[1][2]["after"] == "ann"


async def test_a_refusal_is_told_in_the_servers_words(server, capsys):
    problem = {"title": "Conflict", "detail": "there is an ann already", "field": "address"}
    server.answers["POST", "/v1/users"] = (409, problem)

    code = await postroom("user", "add", "ann@ours.test", "--password", "p")

    assert code == cli.REFUSED
    assert capsys.readouterr().err == "postroom: ADDRESS: there is an ann already\n"


async def test_a_credential_that_is_not_accepted_is_named(server, capsys):
    server.answers["GET", "/v1/users"] = (401, {"title": "Unauthorized"})

    assert await postroom("user", "list") == cli.REFUSED

    assert "does not accept the credential of 'admin'" in capsys.readouterr().err


async def test_a_server_that_is_not_there_has_a_code_of_its_own(server, monkeypatch, capsys):
    monkeypatch.setenv("POSTROOM_AUTH_URL", "http://127.0.0.1:1")

    assert await postroom("user", "list") == cli.UNREACHABLE

    assert "no answer from http://127.0.0.1:1" in capsys.readouterr().err


async def test_a_word_that_is_not_understood_is_a_fault_of_usage(server):
    assert await postroom("user", "frobnicate") == cli.USAGE


async def test_without_a_credential_it_says_where_one_would_be(server, monkeypatch, capsys):
    monkeypatch.delenv("POSTROOM_ADMIN_PASSWORD")

    assert await postroom("user", "list") == cli.REFUSED

    assert "POSTROOM_ADMIN_PASSWORD" in capsys.readouterr().err


async def test_what_waits_can_be_tried_at_once(server):
    path = "/v1/waiting/01k/remote:b.test/2/retry"
    server.answers["POST", path] = (200, {})

    assert await postroom("queue", "retry", "01k/remote:b.test/2") == 0

    assert server.asked == [("POST", path, {}, None)]


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ("--domain b.test", {"domain": "b.test"}),
        ("--from= --mail 01k", {"sender": "", "mail": "01k"}),
        ("--all", {"all": True}),
    ],
)
async def test_much_that_waits_can_be_tried_at_once(server, capsys, words, body):
    server.answers["POST", "/v1/waiting/retry"] = (200, {"legs": 2})

    assert await postroom("queue", "retry", *words.split()) == 0

    assert server.asked == [("POST", "/v1/waiting/retry", {}, body)]
    assert capsys.readouterr().out == "2 legs are due now\n"


async def test_what_waits_for_a_domain_is_listed_alone(server, capsys):
    server.answers["GET", "/v1/waiting"] = (200, {"items": [], "next": None})

    assert await postroom("queue", "--domain", "b.test") == 0

    assert server.asked[0][2]["domain"] == "b.test"
    assert capsys.readouterr().out == "none\n"


@pytest.mark.parametrize("words", ["", "01k/remote:b.test/2 --all"])
async def test_what_to_try_at_once_is_said_in_one_way(server, words):
    assert await postroom("queue", "retry", *words.split()) == cli.USAGE

    assert server.asked == []


async def test_a_new_password_of_our_own_is_remembered_next_to_the_server(server, tmp_path):
    secret = tmp_path / "secrets" / "postroom_admin_password"
    secret.parent.mkdir()
    secret.write_text("secret")
    server.answers["PATCH", "/v1/users/admin"] = (200, {"login": "admin"})

    assert await postroom("user", "passwd", "admin", "--password", "new") == 0

    assert secret.read_text() == "new"


async def test_explain_names_the_rule_that_spoke(server, capsys, monkeypatch):
    monkeypatch.setenv("POSTROOM_SERVICE_TOKEN", "token")
    server.answers["POST", "/internal/explain-checks"] = (
        200,
        {"checks": [], "limits": [{"limit": "connections", "used": 1, "most": "1000"}]},
    )
    server.answers["POST", "/v1/explain"] = (
        200,
        {
            "reply": "550 5.7.1 Relaying denied",
            "rule": "relay-denied",
            "submitter": "ann",
            "stranger": True,
            "facts": {"client_in_lan": False},
            "rules": [
                {"rule": "lan", "verdict": "silent"},
                {"rule": "relay-denied", "verdict": "550 5.7.1 Relaying denied"},
            ],
            "grants": [{"login": "ann", "until": "2026-01-05T12:00:00+00:00"}],
            "grants_refused": "",
        },
    )

    words = "explain --client 203.0.113.9 --from a@x.test --to b@y.test"
    assert await postroom(*words.split()) == 0

    out = capsys.readouterr().out
    assert out.startswith("550 5.7.1 Relaying denied\nrule: relay-denied\n")
    assert "grant: ann, until 2026-01-05 12:00:00\n" in out
    assert "lan           silent\nrelay-denied  550 5.7.1 Relaying denied <- decides\n" in out
    assert out.endswith("LIMIT        USED  OF\nconnections  1     1000\n")
    assert server.headers[1]["Authorization"] == "Bearer token"
    assert server.asked[1][3] == {
        "listener": "mx",
        "client": "203.0.113.9",
        "helo": "",
        "sender": "a@x.test",
        "recipient": "b@y.test",
        "login": "ann",
        "stranger": True,
    }


async def test_explain_explains_though_ingress_is_away(server, capsys, monkeypatch):
    monkeypatch.setenv("POSTROOM_INGRESS_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("POSTROOM_SERVICE_TOKEN", "token")
    explanation = {"reply": "250 OK", "rule": "lan", "submitter": "", "stranger": False}
    more = {"facts": {}, "rules": [], "grants": [], "grants_refused": ""}
    server.answers["POST", "/v1/explain"] = (200, {**explanation, **more})

    words = "explain --client 203.0.113.9 --from a@x.test --to b@y.test"
    assert await postroom(*words.split()) == 0

    out = capsys.readouterr().out
    assert out.startswith("250 OK\nrule: lan\n")
    assert "checks and limits are not known: no answer from http://127.0.0.1:1" in out
    assert server.asked[0][3]["listener"] == "mx"


async def test_the_queue_says_what_waits_and_why(server, capsys):
    leg = {
        "id": "01k/remote:b.test/2",
        "mail": "01k",
        "hop": "remote:b.test",
        "attempt": 2,
        "due": "2026-01-05T12:00:00+00:00",
        "since": "2026-01-05T11:00:00+00:00",
        "sender": None,
        "recipients": ["bob@b.test"],
        "why": "451 4.3.0 Try\x1b[2J again",
    }
    server.answers["GET", "/v1/waiting"] = (200, {"items": [leg], "next": None})

    assert await postroom("queue") == 0

    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["DUE", "ATTEMPT", "FROM", "TO", "WHY", "LEG"]
    assert row.split() == [
        "now",
        "2",
        "<>",
        "bob@b.test",
        "451",
        "4.3.0",
        "Try",
        "[2J",
        "again",
        "01k/remote:b.test/2",
    ]


async def test_mails_are_found_by_their_recipient(server, capsys):
    mail = {
        "id": "01k",
        "sender": "",
        "size": 120,
        "origin": "mx",
        "accepted_at": "2026-01-05T12:00:00+00:00",
        "ended_at": None,
    }
    server.answers["GET", "/v1/mails"] = (200, {"items": [mail], "next": None})

    assert await postroom("mails", "--to", "bob@b.test", "--state", "open") == 0

    assert server.asked[0][2] == {"recipient": "bob@b.test", "state": "open", "limit": "50"}
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split() == ["01k", "2026-01-05", "12:00:00", "<>", "120", "mx", "no"]


async def test_trace_tells_each_recipients_story(server, capsys):
    step = {"cause": "01k", "detail": "", "reply": None}
    server.answers["GET", "/v1/mails/01k"] = (
        200,
        {
            "id": "01k",
            "sender": "ann@ours.test",
            "size": 120,
            "origin": "mx 127.0.0.1",
            "submitter": "",
            "accepted_at": "2026-01-05T12:00:00+00:00",
            "ended_at": None,
            "recipients": [{"recipient": "bob@b.test", "stage": "deferred"}],
            "timeline": [
                {
                    **step,
                    "at": "2026-01-05T12:00:00+00:00",
                    "recipient": "bob@b.test",
                    "stage": "accepted",
                    "detail": "lan",
                },
                {
                    **step,
                    "at": "2026-01-05T12:00:01+00:00",
                    "recipient": "bob@b.test",
                    "stage": "deferred",
                    "reply": "451 4.3.0 Busy",
                },
            ],
        },
    )

    assert await postroom("trace", "01k") == 0

    assert capsys.readouterr().out.splitlines()[-3:] == [
        "bob@b.test: deferred",
        "  2026-01-05 12:00:00  accepted   lan",
        "  2026-01-05 12:00:01  deferred   451 4.3.0 Busy",
    ]


async def test_what_is_parked_is_listed_and_can_be_replayed(server, capsys):
    event = {"key": "k1", "queue": "MailAccepted", "mail": "01k", "why": "unreadable"}
    server.answers["GET", "/v1/parked"] = (200, {"items": [event], "next": None})
    server.answers["POST", "/v1/parked/k1/replay"] = (204, None)

    assert await postroom("parked") == 1
    assert await postroom("parked", "replay", "k1") == 0

    listed, said = capsys.readouterr().out.splitlines()[1:]
    assert listed.split() == ["MailAccepted", "01k", "unreadable", "k1"]
    assert said == "k1 is on its queue again"


@pytest.mark.parametrize(
    ("consumers", "parked", "code"), [(1, 0, 0), (0, 0, 1), (1, 1, 1)], ids=["well", "idle", "sick"]
)
async def test_status_fails_when_something_is_wrong(server, consumers, parked, code):
    queue = {"name": "MailAccepted", "ready": 0, "taken": 0, "consumers": consumers}
    server.answers["GET", "/v1/whoami"] = (200, {})
    server.answers["GET", "/v1/balance"] = (200, {"accepted": 1, "ended": 1})
    server.answers["GET", "/v1/queues"] = (200, {"items": [queue], "parked": parked})

    assert await postroom("status") == code
