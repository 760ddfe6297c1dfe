"""A domain's DNS, asked of a real name server: by survey, over REST, and by the command."""

import json
import ssl
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain

import pytest
from aiohttp import web

from kernel.names import NameServers
from postroom.commands import dns as command
from services.auth import surveying
from services.auth.adapters.policyfile import fetch_policy
from services.auth.core.dnscheck import findings
from services.auth.core.survey import State
from services.auth.settings import Settings
from services.auth.surveying import Surveyor
from tests.support.auth import SECRET_KEY, served_auth
from tests.support.certificates import Authority
from tests.support.command import postroom, real_auth
from tests.support.mail import NOON
from tests.support.names import SERVFAIL, name_server

DNS = "/v1/domains/ours.test/dns"
V4, V6 = "192.0.2.7", "2001:db8::7"
V6_POINTER = "7" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"
POLICY = "version: STSv1\nmode: enforce\nmx: mx.ours.test\nmax_age: 604800\n"
ZONE = {
    ("mx.ours.test", "A"): [V4],
    ("mx.ours.test", "AAAA"): ["2001:0db8:0::7"],
    ("7.2.0.192.in-addr.arpa", "PTR"): ["mx.ours.test."],
    (V6_POINTER, "PTR"): ["MX.Ours.Test."],
    ("ours.test", "MX"): ["10 mx.ours.test."],
    ("ours.test", "TXT"): ["v=spf1 include:spf.far.test -all", "word=1"],
    ("spf.far.test", "TXT"): [f"v=spf1 ip4:192.0.2.0/24 ip6:{V6} -all"],
    ("_dmarc.ours.test", "TXT"): ["v=DMARC1; p=reject"],
    ("_mta-sts.ours.test", "TXT"): ["v=STSv1; id=2026"],
    ("mta-sts.ours.test", "A"): ["127.0.0.1"],
    ("_smtp._tls.ours.test", "TXT"): ["v=TLSRPTv1; rua=mailto:tls@ours.test"],
}


@asynccontextmanager
async def policy_server(folder, authority, answer):
    """Show a policy file over HTTPS on a free port; yield the port."""
    authority.issue(folder, "mta-sts.ours.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "fullchain.pem", folder / "privkey.pem")

    async def show(_):
        return answer

    app = web.Application()
    app.router.add_get("/.well-known/mta-sts.txt", show)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def surveyed(zone, addresses=(), **more):
    """Return the findings by check, as a server of that name and address has them."""
    async with name_server(zone) as names:
        servers = partial(NameServers, (names.address,))
        surveyor = Surveyor("MX.ours.test.", addresses, servers, lambda: NOON, **more)
        survey = await surveyor.survey("ours.test", ())
    return {finding.check: finding for finding in findings(survey)}


async def test_a_domain_in_order_is_found_so(tmp_path):
    authority = Authority()
    trust = ssl.create_default_context(cadata=authority.pem)
    async with policy_server(tmp_path, authority, web.Response(text=POLICY)) as port:
        fetch = partial(fetch_policy, port=port, trust=trust)
        found = await surveyed(ZONE, fetch=fetch)

    states = {check: finding.state for check, finding in found.items()}
    assert states.pop("dkim") is State.ADVICE
    assert f"reverse {V4}" in states
    assert f"reverse {V6}" in states
    assert set(states.values()) == {State.OK}, found


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (lambda: web.Response(status=404), "the answer is 404"),
        (lambda: web.Response(text=POLICY, content_type="text/html"), "text/html"),
        (lambda: web.Response(text="x" * 70_000), "larger than"),
        (lambda: web.Response(body=b"\xff", content_type="text/plain"), "not UTF-8"),
        (lambda: web.Response(status=302, headers={"Location": "/x"}), "the answer is 302"),
    ],
)
async def test_a_policy_that_is_not_to_be_had_says_why(tmp_path, answer, trouble):
    authority = Authority()
    trust = ssl.create_default_context(cadata=authority.pem)
    async with policy_server(tmp_path, authority, answer()) as port:
        fetched = await fetch_policy("mta-sts.ours.test", ["127.0.0.1"], 10, port=port, trust=trust)

    assert trouble in fetched.trouble


async def test_nor_one_behind_a_certificate_that_proves_nothing(tmp_path):
    async with policy_server(tmp_path, Authority(), web.Response(text=POLICY)) as port:
        fetched = await fetch_policy("mta-sts.ours.test", ["127.0.0.1"], 10, port=port)
        nowhere = await fetch_policy("mta-sts.ours.test", [], 10, port=port)

    assert "certificate" in fetched.trouble.lower()
    assert "no address" in nowhere.trouble


async def test_addresses_that_were_named_are_looked_for():
    found = await surveyed(ZONE | {("_mta-sts.ours.test", "TXT"): []}, addresses=("198.51.100.1",))

    assert found["hostname"].state is State.WRONG
    assert found["reverse 198.51.100.1"].state is State.MISSING
    assert found["spf"].why == "it says fail of 198.51.100.1"
    (better,) = found["spf"].publish
    assert better.text == "v=spf1 ip4:198.51.100.1 include:spf.far.test -all"


async def test_a_name_server_that_fails_makes_nothing_wrong():
    failing = dict.fromkeys(ZONE, SERVFAIL)

    found = await surveyed(failing, addresses=(V4,))

    states = {finding.state for finding in found.values()}
    assert states == {State.UNKNOWN, State.ADVICE}


async def test_what_spf_asks_elsewhere_may_be_silent_too():
    found = await surveyed(
        ZONE | {("spf.far.test", "TXT"): SERVFAIL, ("_mta-sts.ours.test", "TXT"): []}
    )

    assert found["spf"].state is State.UNKNOWN


@asynccontextmanager
async def auth_that_asks(zone, database):
    async with name_server(zone) as names:
        settings = Settings(secret_key=SECRET_KEY, name_servers=(names.address,))
        async with served_auth(database, auth=settings) as auth:
            yield names, auth


@pytest.fixture
def database(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path}/postroom.db"


async def test_the_api_says_what_to_publish(database):
    empty = {("mx.ours.test", "A"): [V4]}
    async with auth_that_asks(empty, database) as (_, auth):
        await auth.made("/v1/domains/ours.test/dkim", {"selector": "s1"})
        await auth.changed("/v1/domains/ours.test/dkim/s1", {"state": "active"})

        answer = (await auth.call("GET", DNS)).body

    assert (answer["domain"], answer["hostname"]) == ("ours.test", "mx.ours.test")
    assert answer["addresses"] == [V4]
    assert answer["in_order"] is False
    by_check = {finding["check"]: finding for finding in answer["findings"]}
    assert {check: finding["state"] for check, finding in by_check.items()} == {
        "hostname": "ok",
        f"reverse {V4}": "missing",
        "mx": "missing",
        "spf": "missing",
        "dkim s1": "missing",
        "dmarc": "missing",
        "mta-sts": "advice",
        "tls-rpt": "advice",
    }
    (key,) = by_check["dkim s1"]["publish"]
    assert (key["name"], key["type"]) == ("s1._domainkey.ours.test", "TXT")
    assert "".join(key["strings"]) == key["text"]
    assert all(len(string) <= 255 for string in key["strings"])


async def test_what_it_says_to_publish_puts_everything_in_order(database):
    zone = {("mx.ours.test", "A"): [V4]}
    async with auth_that_asks(zone, database) as (names, auth):
        await auth.made("/v1/domains/ours.test/dkim", {"selector": "s1"})
        await auth.changed("/v1/domains/ours.test/dkim/s1", {"state": "active"})
        answer = (await auth.call("GET", DNS)).body

        records = chain.from_iterable(f["publish"] for f in answer["findings"])
        for record in records:
            if not record["name"].startswith("_mta-sts"):  # a file goes with it
                names.zone[record["name"], record["type"]] = [record["text"]]
        better = (await auth.call("GET", DNS)).body

    assert better["in_order"] is True
    states = {finding["check"]: finding["state"] for finding in better["findings"]}
    assert [check for check, state in states.items() if state != "ok"] == ["dmarc", "mta-sts"]
    assert states["dmarc"] == "advice"


@pytest.mark.parametrize("name", ["far.test", "..", "%00"])
async def test_only_domains_of_ours_are_looked_at(database, name):
    async with auth_that_asks({}, database) as (_, auth):
        assert (await auth.call("GET", f"/v1/domains/{name}/dns")).status == 404


async def test_it_takes_the_scope_of_domains(database):
    async with auth_that_asks({}, database) as (_, auth):
        assert (await auth.call("GET", DNS, login=None)).status == 401


async def test_silence_is_unknown_and_no_error(database, monkeypatch):
    monkeypatch.setattr(surveying, "PATIENCE", 0.1)
    async with auth_that_asks({}, database) as (names, auth):
        names.silent = True
        answer = await auth.call("GET", DNS)

    assert answer.status == 200
    states = {finding["state"] for finding in answer.body["findings"]}
    assert states == {"unknown", "advice"}


async def test_the_command_shows_it_at_a_glance(monkeypatch, tmp_path, capsys):
    async with name_server({("mx.ours.test", "A"): [V4]}) as names:
        settings = Settings(secret_key=SECRET_KEY, name_servers=(names.address,))
        async with real_auth(monkeypatch, tmp_path, auth=settings):
            assert await postroom("dns", "check", "ours.test") == command.NOT_IN_ORDER
            said = capsys.readouterr().out
            assert await postroom("dns", "check", "ours.test", "--json") == command.NOT_IN_ORDER
            asked = json.loads(capsys.readouterr().out)

    lines = said.splitlines()
    assert lines[0] == f"ours.test: we are mx.ours.test at {V4}"
    assert lines[2].split() == ["CHECK", "STATE", "WHY"]
    assert any(line.startswith("mx  ") and "  missing  " in line for line in lines)
    assert "  publish  ours.test. MX 10 mx.ours.test." in lines
    assert '  publish  ours.test. TXT "v=spf1 mx -all"' in lines
    assert asked["in_order"] is False


async def test_the_command_tells_silence_from_order(monkeypatch, tmp_path, capsys):
    zone = dict.fromkeys(ZONE, SERVFAIL)
    async with name_server(zone) as names:
        settings = Settings(secret_key=SECRET_KEY, name_servers=(names.address,))
        async with real_auth(monkeypatch, tmp_path, auth=settings):
            assert await postroom("dns", "check", "ours.test") == command.NOT_KNOWN
            assert await postroom("dns", "check", "far.test") == 4
    assert "unknown" in capsys.readouterr().out
