"""`postroom route` and `postroom dkim` against a real auth, which asks a name server of ours."""

import io
import json

import pytest

from postroom import cli
from services.auth.settings import Settings
from tests.support.auth import SECRET_KEY
from tests.support.command import postroom, real_auth
from tests.support.names import name_server
from tests.support.signing import rsa_key


@pytest.fixture
async def names():
    async with name_server({}) as names:
        yield names


@pytest.fixture
async def auth(tmp_path, monkeypatch, names):
    settings = Settings(secret_key=SECRET_KEY, name_servers=(names.address,))
    async with real_auth(monkeypatch, tmp_path, auth=settings) as auth:
        yield auth


@pytest.fixture
def done(auth, capsys):
    """Give the command; return what people see of it."""

    async def done(*words):
        capsys.readouterr()
        assert await postroom(*words) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return done


@pytest.fixture
def told(done):
    """Give the command; return what it prints as JSON."""

    async def told(*words):
        return json.loads(await done(*words, "--json"))

    return told


@pytest.fixture
def refused(auth, capsys):
    """Give the command; return its exit code, and what it complains of."""

    async def refused(*words):
        capsys.readouterr()
        code = await postroom(*words)
        return code, capsys.readouterr().err.removeprefix("postroom: ").strip()

    return refused


SMART = ("--to", "smart.example.org:587", "--to", "backup.example.org", "--tls", "verified")


async def test_a_smart_host_is_named_and_seen_at_a_glance(done, told, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hush hush\n")

    said = await done(
        *("route", "add", "*", *SMART, "--login", "us", "--password-file", str(secret)),
        *("--connections", "5", "--rate", "60/minute", "--give-up-after", "2d"),
    )

    heading, row, _, hint = said.splitlines()
    assert heading.split() == ["PATTERN", "TO", "TLS", "LOGIN", "LIMITS"]
    assert row.split("  ")[:1] == ["*"]
    for word in ("smart.example.org:587, backup.example.org:587", "verified", "us"):
        assert word in row
    assert row.endswith("5 connections, 60/minute, given up after 2d")
    assert hint.endswith("postroom queue retry --all")
    assert "hush" not in said + await done("route", "show", "*")
    assert (await told("route", "show", "*"))["has_password"]


async def test_the_password_may_come_from_the_standard_input(told, auth, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("hush hush\n"))

    await told("route", "add", "*", *SMART, "--login", "us", "--password-file", "-")

    (route,) = (await auth.desk.sending.answer()).routes
    assert route.password == "hush hush"


async def test_a_routes_whole_life(done, told):
    await told("route", "add", "*", "--to", "192.0.2.1")
    await told("route", "add", ".test", "--tls", "required", "--retry", "5m", "--retry", "1h")
    await told("route", "add", "a.test", "--implicit-tls", "--connections", "3")
    assert [r["pattern"] for r in await told("route", "list")] == ["a.test", ".test", "*"]

    changed = await told("route", "set", "a.test", "--connections", "none", "--to", "smart.test")
    assert (changed["connections"], changed["targets"]) == (None, ["smart.test:465"])
    changed = await told("route", "set", "a.test", "--empty-to", "--no-implicit-tls")
    assert (changed["targets"], changed["implicit_tls"]) == ([], False)
    assert (await told("route", "set", ".test", "--tls", "default"))["tls"] is None
    assert (await told("route", "set", ".test", "--warn-after", "4h"))["warn_after"] == "4h"

    await told("route", "add", "b.org", "--before", "a.test")
    lines = await done("route", "move", "b.org", "--last")
    assert [line.split()[0] for line in lines.splitlines()[1:]] == ["a.test", ".test", "b.org", "*"]
    await done("route", "move", "b.org", "--before", ".test")
    assert [r["pattern"] for r in await told("route", "list", "--search", "test")] == [
        "a.test",
        ".test",
    ]

    said = await done("route", "remove", "a.test")
    assert said.endswith("postroom queue retry --domain a.test\n")
    assert await postroom("route", "show", "a.test") == cli.NOT_FOUND


async def test_the_way_of_a_domain_is_told(done, told, monkeypatch):
    monkeypatch.setenv("POSTROOM_ROUTES", json.dumps({"C.test": "192.0.2.9:25"}))
    await told("route", "add", ".test", *SMART)
    await told("route", "add", "a.test", "--to", "192.0.2.1")

    assert (await told("route", "test", "A.test"))["route"]["targets"] == ["192.0.2.1:25"]
    assert (await told("route", "test", "x@sub.a.test"))["route"]["pattern"] == ".test"
    said = await done("route", "test", "b.test")
    assert said.splitlines()[0] == "mail for b.test goes by the route .test"
    assert "tls: verified" in said

    await done("route", "remove", ".test")
    said = await done("route", "test", "c.test")
    assert said == "mail for c.test goes by the route c.test (POSTROOM_ROUTES)\nto: 192.0.2.9:25\n"
    assert "goes where DNS says" in await done("route", "test", "b.test")
    assert "stays here" in await done("route", "test", "ours.test")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ("route add *.a*b", cli.REFUSED, "PATTERN: "),
        ("route add * --to a_b", cli.REFUSED, "--to: "),
        ("route add * --rate lots", cli.REFUSED, "--rate: "),
        ("route add * --to a.test --login us --password p", cli.REFUSED, "--tls: the password"),
        ("route add * --to a.test --tls verified --login us", cli.REFUSED, "--password: a login"),
        ("route add * --before b.test", cli.REFUSED, "--before: there is no other route"),
        ("route add * --connections few", cli.USAGE, None),
        ("route move *", cli.USAGE, "say where"),
        ("route set *", cli.USAGE, "nothing to change"),
        ("route set * --tls none", cli.NOT_FOUND, "there is no route *"),
        ("route test a..b", cli.USAGE, "the domain is malformed"),
        ("dkim new x.test", cli.NOT_FOUND, "there is no domain x.test"),
        ("dkim new ours.test --selector a_b", cli.REFUSED, "--selector: "),
        ("dkim new ours.test --algorithm dsa", cli.USAGE, None),
        ("dkim check ours.test s1", cli.NOT_FOUND, "there is no DKIM key s1 of ours.test"),
    ],
)
async def test_what_will_not_do_is_told_by_its_option(refused, words, code, complaint):
    answer, said = await refused(*words.split())

    assert answer == code
    assert complaint is None or said.startswith(complaint)


async def test_a_key_is_published_before_it_signs(done, told, refused, auth, names):
    said = await done("dkim", "new", "ours.test")

    assert said.startswith("2026a is prepared.")
    assert "2026a._domainkey.ours.test. IN TXT (" in said
    assert said.endswith("postroom dkim activate ours.test 2026a\n")
    code, complaint = await refused("dkim", "activate", "ours.test", "2026a")
    assert (code, complaint) == (
        cli.REFUSED,
        "2026a of ours.test is not published: DNS has no such record",
    )

    names.zone["2026a._domainkey.ours.test", "TXT"] = [
        "".join(line.strip().strip('"') for line in said.splitlines() if line.startswith("    "))
    ]
    await done("dkim", "check", "ours.test", "2026a")
    await done("dkim", "activate", "ours.test", "2026a")

    (key,) = (await auth.desk.sending.answer()).keys
    assert (key.domain, key.selector) == ("ours.test", "2026a")


async def test_keys_take_turns(done, told, tmp_path):
    pem = tmp_path / "key.pem"
    pem.write_bytes(rsa_key(2048)[0])
    await told("dkim", "new", "ours.test", "--private-key", str(pem), "--selector", "old")
    await told("dkim", "activate", "ours.test", "old", "--force")
    await told("dkim", "new", "ours.test", "--algorithm", "ed25519")
    await told("dkim", "activate", "ours.test", "2026a", "--force")
    await told("dkim", "new", "ours.test", "--bits", "3072")
    await told("dkim", "activate", "ours.test", "2026b", "--force")

    rows = [line.split()[:4] for line in (await done("dkim", "list", "ours.test")).splitlines()]
    assert rows == [
        ["SELECTOR", "ALGORITHM", "BITS", "STATE"],
        ["2026a", "ed25519", "256", "active"],
        ["2026b", "rsa", "3072", "active"],
        ["old", "rsa", "2048", "retired"],
    ]
    assert "is retired" in await done("dkim", "show", "ours.test", "old")
    await done("dkim", "remove", "ours.test", "old")
    assert await postroom("dkim", "remove", "ours.test", "2026a") == cli.REFUSED
    await done("dkim", "retire", "ours.test", "2026a")
    states = {key["selector"]: key["state"] for key in await told("dkim", "list", "ours.test")}
    assert states == {"2026a": "retired", "2026b": "active"}


async def test_while_dns_is_silent_nothing_is_said(done, refused, names):
    await done("dkim", "new", "ours.test")
    names.zone["2026a._domainkey.ours.test", "TXT"] = "SERVFAIL"

    code, complaint = await refused("dkim", "activate", "ours.test", "2026a")

    assert code == cli.UNREACHABLE
    assert complaint.startswith("DNS does not answer")
