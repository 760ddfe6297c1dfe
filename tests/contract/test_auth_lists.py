"""The black list and the white list over REST, and who may connect, over both databases."""

import pytest

from kernel.http import PeerUnavailableError
from kernel.model.questions import AdmissionAnswer, AdmissionQuestion, RelayAnswer, RelayQuestion
from tests.support.mail import BOB, EVE

STRANGER = "203.0.113.9"


async def put(auth, colour, subject, pattern):
    return await auth.call("POST", f"/v1/lists/{colour}", {"subject": subject, "pattern": pattern})


async def rule(auth):
    question = RelayQuestion("mx", STRANGER, "client.test", EVE, BOB)
    (answer,) = await auth.peer.ask("/internal/relay", [question], list[RelayAnswer])
    return answer.rule


ENTRIES = [
    ("client", "203.0.113.*", "203.0.113.0/24"),
    ("client", "::ffff:203.0.113.9", "203.0.113.9/32"),
    ("sender", "Eve@Stranger.TEST.", "eve@stranger.test"),
    ("sender", "@stranger.test", "stranger.test"),
    ("recipient", "*@elsewhere.test", "*@elsewhere.test"),
    ("recipient", "*@bücher.test", "*@xn--bcher-kva.test"),
]


@pytest.mark.parametrize(("subject", "text", "pattern"), ENTRIES)
async def test_entries_have_one_form(auth, subject, text, pattern):
    answer = await put(auth, "black", subject, text)

    assert (answer.status, answer.body) == (201, {"subject": subject, "pattern": pattern})
    assert (await put(auth, "black", subject, pattern)).status == 409
    assert (await auth.call("GET", answer.headers["Location"])).body == answer.body
    assert (await auth.call("GET", f"/v1/lists/black/{subject}/{text}")).body == answer.body


async def test_the_black_list_blocks_and_the_white_one_wins(auth):
    assert await rule(auth) == "relay-denied"

    await put(auth, "black", "sender", "stranger.test")
    assert await rule(auth) == "blocked-address"

    await put(auth, "white", "client", "203.0.113.0/24")
    assert await rule(auth) == "relay-denied"

    answer = await auth.call("DELETE", "/v1/lists/white/client/203.0.113.0/24")
    assert answer.status == 204
    assert await rule(auth) == "blocked-address"


async def test_one_entry_instead_of_another_is_noticed(auth):
    await put(auth, "black", "sender", "stranger.test")
    assert await rule(auth) == "blocked-address"

    await auth.call("DELETE", "/v1/lists/black/sender/stranger.test")
    await put(auth, "black", "sender", "other.test")

    assert await rule(auth) == "relay-denied"


async def test_lists_come_page_by_page_and_by_subject(auth):
    for subject, _, pattern in ENTRIES:
        await put(auth, "black", subject, pattern)

    first = (await auth.call("GET", "/v1/lists/black?limit=4")).body
    rest = (await auth.call("GET", "/v1/lists/black")).body["items"]
    more = (await auth.call("GET", f"/v1/lists/black?limit=4&after={first['next']}")).body

    assert first["items"] + more["items"] == rest
    assert more["next"] is None
    senders = (await auth.call("GET", "/v1/lists/black?subject=sender")).body["items"]
    assert [entry["pattern"] for entry in senders] == ["eve@stranger.test", "stranger.test"]
    assert (await auth.call("GET", "/v1/lists/white")).body["items"] == []


@pytest.mark.parametrize(
    ("subject", "pattern"),
    [
        ("client", "0.0.0.0/0"),
        ("client", "*.*.*.*"),
        ("client", "::/0"),
        ("client", "128.0.0.0/1"),
        ("sender", "*"),
        ("sender", "ann@*"),
        ("recipient", "*@*.*"),
    ],
)
async def test_everybody_is_never_on_the_white_list(auth, subject, pattern):
    answer = await put(auth, "white", subject, pattern)

    assert (answer.status, answer.body["field"]) == (422, "pattern")
    assert "everybody" in answer.body["detail"]


@pytest.mark.parametrize(
    ("subject", "pattern"),
    [("client", "stranger.test"), ("sender", "a b@x.test"), ("sender", "x" * 330 + ".test")],
)
async def test_what_is_no_pattern_is_refused(auth, subject, pattern):
    answer = await put(auth, "black", subject, pattern)

    assert (answer.status, answer.body["field"]) == (422, "pattern")


@pytest.mark.parametrize("path", ["black/client/203.0.113.9", "black/sender/???", "white/client/x"])
async def test_what_is_not_there_is_not_found(auth, path):
    assert (await auth.call("GET", f"/v1/lists/{path}")).status == 404
    assert (await auth.call("DELETE", f"/v1/lists/{path}")).status == 404


async def test_only_what_was_seen_is_removed(auth):
    answer = await put(auth, "black", "sender", "stranger.test")
    place, tag = answer.headers["Location"], answer.headers["ETag"]

    late = await auth.call("DELETE", place, **{"If-Match": '"another"'})
    seen = await auth.call("DELETE", place, **{"If-Match": tag})

    assert (late.status, seen.status) == (412, 204)


async def admission(auth, client, listener="mx"):
    question = AdmissionQuestion(listener, client)
    return await auth.peer.ask("/internal/admission", question, AdmissionAnswer)


async def test_a_listener_says_who_may_connect(auth):
    assert await admission(auth, STRANGER) == AdmissionAnswer(admitted=True)
    assert await admission(auth, "127.0.0.1") == AdmissionAnswer(admitted=True, in_lan=True)

    await auth.changed("/v1/listeners/mx", {"access": ["lan"]})

    assert await admission(auth, STRANGER) == AdmissionAnswer(admitted=False)
    assert await admission(auth, "127.0.0.1") == AdmissionAnswer(admitted=True, in_lan=True)


async def test_of_a_listener_that_nobody_has_set_up_nothing_is_known(auth):
    with pytest.raises(PeerUnavailableError, match="404"):
        await admission(auth, STRANGER, "nothing")


async def explained(auth, **asked):
    question = {"listener": "mx", "client": STRANGER, "sender": str(EVE), "recipient": str(BOB)}
    answer = await auth.call("POST", "/v1/explain", question | asked)
    assert answer.status == 200, answer
    return answer.body


async def test_an_explanation_shows_grants_whether_they_count_or_not(auth):
    report = {"service": "imap", "user": "admin", "client": STRANGER}
    until = (await auth.call("POST", "/v1/logins", report)).body["until"]

    before = await explained(auth, sender="admin@ours.test")
    await auth.changed("/v1/listeners/mx", {"collection_grants": True})
    after = await explained(auth, sender="admin@ours.test")

    assert before["grants"] == after["grants"] == [{"login": "admin", "until": until}]
    assert (before["rule"], after["rule"]) == ("local-sender-spoof", "collection-grant")
    assert (before["facts"]["grant_login"], after["facts"]["grant_login"]) == ("", "admin")
    assert (after["submitter"], after["grants_refused"]) == ("admin", "")


async def test_an_explanation_says_why_a_client_never_gets_a_grant(auth):
    await auth.call("DELETE", "/v1/networks/127.0.0.0/8")

    assert "loopback" in (await explained(auth, client="127.0.0.1"))["grants_refused"]


async def test_an_explanation_knows_what_nobody_was_told(auth):
    await rule(auth)
    async with auth.desk.database.writing() as db:
        await db.exec_driver_sql("INSERT INTO networks (cidr) VALUES ('203.0.113.0/24')")

    assert (await explained(auth))["rule"] == "lan"
    assert await rule(auth) == "relay-denied"
