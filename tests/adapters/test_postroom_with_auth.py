"""The command against a real auth: every word of it does what it says."""

import json

import pytest

from kernel.model.questions import LoginQuestion, LoginVerdict
from postroom import cli
from tests.support.command import postroom, real_auth


@pytest.fixture
async def auth(tmp_path, monkeypatch):
    async with real_auth(monkeypatch, tmp_path) as auth:
        yield auth


@pytest.fixture
def told(auth, capsys):
    """Give the command; return what it prints as JSON."""

    async def told(words):
        capsys.readouterr()
        assert await postroom(*words.split(), "--json") == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return told


@pytest.fixture
def done(auth, capsys):
    """Give the command; return what people see of it."""

    async def done(words):
        capsys.readouterr()
        assert await postroom(*words.split()) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return done


async def test_a_users_whole_life(told, done):
    await told("user add ann@ours.test --login ann --password p --send-as *@old.test --quota 1GiB")
    await told("user add bob@ours.test --password p --no-relay")

    changed = await told("user change ann --name Annie --no-relay --send-as new.test --quota none")
    assert (changed["full_name"], changed["may_relay"], changed["quota"]) == ("Annie", False, None)
    assert changed["send_as"] == ["*@old.test", "new.test"]
    assert (await told("user change ann --not-send-as NEW.test"))["send_as"] == ["*@old.test"]
    assert await told("user show ann@ours.test") == await told("user show ann")

    await done("user disable ann")
    assert [user["login"] for user in await told("user list --disabled")] == ["ann"]
    await done("user enable ann")
    assert await told("user list --disabled") == []
    assert [user["login"] for user in await told("user list --search annie")] == ["ann"]
    assert [user["login"] for user in await told("user list --administrator")] == ["admin"]
    assert len(await told("user list --no-relay --domain ours.test")) == 2

    await done("user passwd ann --password q")
    await done("user remove ann")
    assert await postroom("user", "show", "ann") == cli.NOT_FOUND


async def test_an_app_password_opens_what_it_is_for_until_it_is_taken_back(auth, told, done):
    await told("user add ann@ours.test --login ann --password p")
    made = (await told("apppassword add ann phone --purpose send"))[0]
    question = LoginQuestion("smtp", "mx", "127.0.0.1", "PLAIN", "ann", made["secret"], tls=True)

    assert (await auth.desk.logins.attempt(question)).verdict is LoginVerdict.GRANTED
    (listed,) = await told("apppassword list ann")
    assert (listed["name"], listed["purposes"]) == ("phone", ["send"])
    assert "secret" not in listed
    assert "phone  send" in await done("apppassword list ann")

    await done("apppassword remove ann phone")
    assert (await auth.desk.logins.attempt(question)).verdict is LoginVerdict.REFUSED


async def test_a_domains_whole_life(told, done):
    await told("domain add two.test --own-users")

    changed = await told(
        "domain change two.test --no-own-users --undelivered mailbox"
        " --undelivered-mailbox admin@ours.test"
    )

    assert (changed["own_users"], changed["undelivered"]) == (False, "mailbox")
    assert [domain["name"] for domain in await told("domain list --search two")] == ["two.test"]
    await done("domain change two.test --undelivered report --undelivered-mailbox=")
    assert (await told("domain show two.test"))["undelivered_mailbox"] is None
    await done("domain remove two.test")
    assert await postroom("domain", "remove", "two.test") == cli.NOT_FOUND


async def test_an_aliass_whole_life(told, done):
    await told("alias add all@ours.test a@b.test c@d.test")

    changed = await told("alias change all@ours.test --add e@f.test --drop A@b.test")

    assert changed["targets"] == ["c@d.test", "e@f.test"]
    assert (await told("alias change all@ours.test x@y.test"))["targets"] == ["x@y.test"]
    assert len(await told("alias list --target x@y.test --domain ours.test --search all")) == 1
    assert (await told("alias show all@ours.test"))["address"] == "all@ours.test"
    await done("alias remove all@ours.test")


async def test_networks_come_and_go(told, done, capsys):
    await told("network add 192.168.1.*")

    assert await told("network list --search 192.168") == [{"cidr": "192.168.1.0/24"}]
    await done("network remove 192.168.1.0/24")
    assert await postroom("network", "add", "0.0.0.0/0") == cli.REFUSED
    assert capsys.readouterr().err.startswith("postroom: NETWORK: ")


async def test_a_listener_is_changed_and_no_open_relay_by_mistake(told, done, capsys):
    changed = await told(
        "listener change mx --require-auth to-relay --access lan --access !192.0.2.1"
        " --mechanisms PLAIN --max-message-size 1MiB --collection-grants"
        " --always-relay-recipients *@backup.test --plaintext-auth lan"
    )

    assert changed["access"] == ["lan", "!192.0.2.1/32"]
    assert changed["max_message_size"] == 1 << 20
    assert changed["collection_grants"]
    assert (await told("listener change mx --empty-mechanisms"))["mechanisms"] == []

    capsys.readouterr()
    assert await postroom("listener", "change", "mx", "--relay-outside-lan") == cli.REFUSED
    assert "--relay-outside-lan: this makes an open relay" in capsys.readouterr().err
    await done("listener change mx --relay-outside-lan --i-understand-this-is-an-open-relay")
    assert (await told("listener show mx"))["relay_outside_lan"]
    assert len(await told("listener list")) == 3


async def test_lists_come_and_go(told, done):
    await told("list black add client 203.0.113.0/24")
    await told("list black add sender *@bad.test")
    await told("list white add sender good@bad.test")

    assert len(await told("list black show")) == 2
    assert await told("list black show --subject client") == [
        {"subject": "client", "pattern": "203.0.113.0/24"}
    ]
    await done("list black remove client 203.0.113.0/24")
    assert len(await told("list black show")) == 1
    assert await told("list white show") == [{"subject": "sender", "pattern": "good@bad.test"}]
    assert await postroom("list", "white", "remove", "sender", "x.test") == cli.NOT_FOUND


async def test_grants_are_listed_and_revoked(auth, told, done):
    await told("user add ann@ours.test --login ann --password p")
    report = {"service": "imap", "user": "ann", "client": "203.0.113.9"}
    assert (await auth.call("POST", "/v1/logins", report)).body["granted"]

    (grant,) = await told("grant list --user ann --client 203.0.113.9")
    assert (grant["client"], grant["login"]) == ("203.0.113.9", "ann")
    assert "203.0.113.9  ann " in await done("grant list")

    assert "grant: ann, until " in await done(
        "explain --client 203.0.113.9 --from ann@ours.test --to a@b.test"
    )
    await done("grant revoke 203.0.113.9 --user ann")
    assert await told("grant list") == []
    assert await postroom("grant", "revoke", "203.0.113.9") == cli.NOT_FOUND


async def test_lockouts_are_listed_and_cleared(auth, told, done):
    await told("user add ann@ours.test --login ann --password p")
    for _ in range(10):
        question = LoginQuestion("smtp", "mx", "203.0.113.9", "PLAIN", "ann", "wrong", tls=True)
        await auth.desk.logins.attempt(question)

    (lockout,) = await told("lockout list --subject pair")
    assert (lockout["subject"], lockout["who"]) == ("pair", "ann 203.0.113.9")
    assert lockout["locked_until"]
    assert "ann" in await done("lockout list")

    await done("lockout clear login ann")
    assert await told("lockout list --subject pair") == []
    assert await postroom("lockout", "clear", "login", "ann") == cli.NOT_FOUND


async def test_a_key_may_do_what_it_is_for_until_it_is_removed(told, done, monkeypatch):
    made = (await told("apikey add backup --scope users:read --scope audit:read --expires 90d"))[0]
    assert "backup" in await done("apikey list")

    with monkeypatch.context() as with_key:
        with_key.setenv("POSTROOM_API_KEY", made["key"])
        assert len(await told("user list")) == 1
        assert await postroom("user", "disable", "admin") == cli.REFUSED

    await done(f"apikey remove {made['id']}")
    monkeypatch.setenv("POSTROOM_API_KEY", made["key"])
    assert await postroom("user", "list") == cli.REFUSED


async def test_the_audit_log_tells_who_did_what(told, done):
    await told("user add ann@ours.test --login ann --password p")
    await told("user change ann --name Annie --no-relay")

    changed, added = await told("audit --kind users --key ann --who admin --since 2020-01-01")

    assert (changed["action"], added["action"]) == ("changed", "added")
    lines = (await done("audit --kind users --limit 1")).splitlines()
    assert lines[1].endswith("full_name - -> Annie; may_relay yes -> no")
    assert await told("audit --until 2001-01-01") == []


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("--client 203.0.113.9 --from a@x.test --to b@y.test", "relay-denied"),
        ("--client 127.0.0.1 --from a@x.test --to b@y.test", "lan"),
        ("--client 203.0.113.9 --from= --to postmaster@ours.test", "local"),
        (
            "--listener submission --user admin --client ::1 --from admin@ours.test --to b@y.test",
            "authenticated",
        ),
    ],
)
async def test_explain_tells_the_rule_the_facts_and_what_the_others_say(told, done, words, rule):
    assert (await told(f"explain {words}"))["rule"] == rule

    lines = (await done(f"explain {words}")).splitlines()

    assert lines[1] == f"rule: {rule}"
    (decisive,) = (line for line in lines if line.endswith(" <- decides"))
    assert decisive.startswith(rule)
    assert "RULE" in " ".join(lines)


async def test_a_question_that_makes_no_sense_is_told_by_its_option(auth, capsys):
    words = "explain --client nowhere --from a@x.test --to b@y.test"
    assert await postroom(*words.split()) == cli.REFUSED
    assert capsys.readouterr().err.startswith("postroom: --client: ")

    words = "explain --client 192.0.2.1 --from a@x.test --to b@y.test --user nobody"
    assert await postroom(*words.split()) == cli.REFUSED
    assert capsys.readouterr().err.startswith("postroom: --login: ")
