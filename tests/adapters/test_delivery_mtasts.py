"""Policies are fetched over HTTPS, kept, and believed until they end (RFC 8461)."""

import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from kernel.mtasts import LARGEST, Mode
from kernel.names import NameServers
from services.delivery.adapters import mtasts
from services.delivery.adapters.connection import Connection
from services.delivery.adapters.dialling import Dialler, Dialling
from services.delivery.adapters.dns import DnsDirections, Ourselves
from services.delivery.adapters.hosts import Hosts
from services.delivery.adapters.mtasts import StsPolicies, Web
from services.delivery.adapters.tlsrpt import TlsReports
from services.delivery.core.demands import NOT_NAMED
from services.delivery.core.smtp_client import Phase
from tests.support.certificates import Authority
from tests.support.names import SERVFAIL, name_server
from tests.support.remote import remote

X = "x.test"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
POLICY = "version: STSv1\nmode: enforce\nmx: mx.x.test\nmax_age: 864000\n"


@dataclass
class WebServer:
    """Shows what it is told to, and counts who asks."""

    text: str = POLICY
    status: int = 200
    content_type: str = "text/plain"
    headers: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    port: int = 0
    tls: ssl.SSLContext = None

    async def show(self, request):
        self.asked.append(f"{request.host.partition(':')[0]}{request.path}")
        return web.Response(
            text=self.text,
            status=self.status,
            content_type=self.content_type,
            headers=self.headers,
        )


@asynccontextmanager
async def serving(folder, *names):
    """A web server with a certificate for ``names``, and the authority that vouches for it."""
    authority, server = Authority(), WebServer()
    authority.issue(folder, *names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "fullchain.pem", folder / "privkey.pem")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.show)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.port, server.tls = runner.addresses[0][1], context
    try:
        yield server, ssl.create_default_context(cadata=authority.pem)
    finally:
        await runner.cleanup()


@dataclass
class House:
    """A domain with its name server and web server, and a clock that we set."""

    names: object
    web: WebServer
    trust: ssl.SSLContext
    now: datetime = NOON
    reports: TlsReports = None

    def called(self, name):
        """Call the policy so, from now on: DNS is asked anew, as if its answer had ended."""
        self.names.zone["_mta-sts.x.test", "TXT"] = [f"v=STSv1; id={name};"]

    @asynccontextmanager
    async def policies(self, folder=None):
        self.reports = TlsReports(lambda: self.now, "us.test")
        servers = NameServers([self.names.address])
        async with StsPolicies(
            Hosts(servers),
            lambda: self.now,
            self.reports,
            folder,
            Web(self.web.port, self.trust, timeout=5),
        ) as policies:
            self.forget = servers._asked().cache.flush
            yield policies

    async def find(self, policies, *, after=timedelta(0)):
        self.now += after
        self.forget()
        return await policies.find(X)

    def failures(self):
        reports = self.reports._tally.reports("us", "", self.now)
        parts = (part for report in reports.values() for part in report["policies"])
        return [one["result-type"] for part in parts for one in part.get("failure-details", [])]


@pytest.fixture
async def house(tmp_path):
    zone = {
        ("_mta-sts.x.test", "TXT"): ["v=STSv1; id=1;"],
        ("mta-sts.x.test", "A"): ["127.0.0.1"],
    }
    async with (
        name_server(zone) as names,
        serving(tmp_path / "tls", "mta-sts.x.test") as (server, trust),
    ):
        yield House(names, server, trust)


async def test_a_policy_is_fetched_once_and_believed(house):
    async with house.policies() as policies:
        found = await house.find(policies)
        again = await house.find(policies, after=timedelta(hours=1))

    assert found.mode is Mode.ENFORCE
    assert found.admits("mx.x.test")
    assert again == found
    assert house.web.asked == ["mta-sts.x.test/.well-known/mta-sts.txt"]
    assert house.failures() == []


async def test_a_domain_that_says_nothing_of_a_policy_has_none(house):
    del house.names.zone["_mta-sts.x.test", "TXT"]
    async with house.policies() as policies:
        assert await house.find(policies) is None

    assert house.web.asked == []


async def test_another_id_is_another_policy(house):
    async with house.policies() as policies:
        await house.find(policies)
        house.web.text = POLICY.replace("enforce", "testing")
        assert (await house.find(policies)).mode is Mode.ENFORCE
        house.called("2")
        assert (await house.find(policies)).mode is Mode.TESTING


async def test_it_is_asked_for_again_every_day_though_it_be_the_same(house):
    async with house.policies() as policies:
        await house.find(policies)
        house.web.text = POLICY.replace("enforce", "testing")

        assert (await house.find(policies, after=timedelta(days=1))).mode is Mode.TESTING


async def test_a_policy_may_be_taken_back(house):
    async with house.policies() as policies:
        await house.find(policies)
        house.web.text = "version: STSv1\nmode: none\nmax_age: 86400\n"
        house.called("2")

        assert await house.find(policies) is None


@pytest.mark.parametrize("trouble", ["web", "DNS", "no record", "no name"])
async def test_what_we_have_counts_until_it_ends_whatever_is_in_the_way(house, trouble):
    async with house.policies() as policies:
        found = await house.find(policies)
        match trouble:
            case "web":
                house.web.status = 503
                house.called("2")
            case "DNS":
                house.names.zone["_mta-sts.x.test", "TXT"] = SERVFAIL
            case "no record":
                house.names.zone["_mta-sts.x.test", "TXT"] = ["something else"]
            case "no name":
                del house.names.zone["mta-sts.x.test", "A"]

        assert await house.find(policies, after=timedelta(days=9)) == found
        assert await house.find(policies, after=timedelta(days=2)) is None


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"status": 404}, "sts-policy-fetch-error"),
        (
            {"status": 302, "headers": {"Location": "/other"}},
            "sts-policy-fetch-error",
        ),
        ({"content_type": "text/html"}, "sts-policy-fetch-error"),
        ({"text": "hello"}, "sts-policy-invalid"),
        ({"text": POLICY + "#" * LARGEST}, "sts-policy-invalid"),
    ],
    ids=["missing", "a redirection", "no plain text", "no policy", "too large"],
)
async def test_what_is_no_good_is_no_policy_and_is_noted(house, change, result):
    for name, value in change.items():
        setattr(house.web, name, value)

    async with house.policies() as policies:
        assert await house.find(policies) is None
        assert house.failures() == [result]
        assert len(house.web.asked) == 1


async def test_a_web_server_has_to_prove_who_it_is(house, tmp_path):
    async with serving(tmp_path / "other", "elsewhere.test") as (server, trust):
        house.web, house.trust = server, trust
        async with house.policies() as policies:
            assert await house.find(policies) is None
            assert house.failures() == ["sts-webpki-invalid"]

    assert server.asked == []


async def test_what_was_not_to_be_had_is_not_asked_for_again_at_once(house):
    house.web.status = 503
    async with house.policies() as policies:
        await house.find(policies)
        house.web.status = 200
        assert await house.find(policies) is None
        assert len(house.web.asked) == 1

        assert await house.find(policies, after=timedelta(minutes=6))


async def test_policies_outlive_us_in_a_folder(house, tmp_path):
    async with house.policies(tmp_path / "kept") as policies:
        found = await house.find(policies)
    house.web.status = 503

    async with house.policies(tmp_path / "kept") as policies:
        assert await house.find(policies, after=timedelta(days=9)) == found
    house.now += timedelta(days=2)
    async with house.policies(tmp_path / "kept") as policies:
        assert await house.find(policies) is None

    assert list((tmp_path / "kept").iterdir()) == []


async def test_a_file_that_cannot_be_read_is_passed_over(house, tmp_path):
    (tmp_path / "y.test.json").write_text("{", encoding="utf-8")

    async with house.policies(tmp_path) as policies:
        assert await house.find(policies)


async def test_of_too_many_the_oldest_is_forgotten(house, tmp_path, monkeypatch):
    monkeypatch.setattr(mtasts, "MOST_POLICIES", 1)
    async with house.policies(tmp_path / "kept") as policies:
        await house.find(policies)
        await policies._keep("y.test", policies._kept[X])

        assert policies._kept.keys() == {"y.test"}
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["y.test.json"]


OFFERS_TLS, PLAIN = "250-there.test\r\n250 STARTTLS", "250-there.test\r\n250 PIPELINING"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (POLICY, "TLSv1.3, verified by MTA-STS"),
        (POLICY.replace("mx: mx", "mx: other"), NOT_NAMED),
        (
            POLICY.replace("mx: mx", "mx: other").replace("enforce", "testing"),
            "TLSv1.3, unverified",
        ),
        ("version: STSv1\nmode: none\nmax_age: 60\n", "TLSv1.3, unverified"),
    ],
    ids=["kept to", "another server", "tested", "none"],
)
async def test_mail_keeps_to_what_its_domain_says(tmp_path, text, outcome):
    zone = {
        ("_mta-sts.x.test", "TXT"): ["v=STSv1; id=1;"],
        ("mta-sts.x.test", "A"): ["127.0.0.1"],
        (X, "MX"): ["10 mx.x.test."],
        ("mx.x.test", "A"): ["127.0.0.1"],
    }
    async with (
        name_server(zone) as names,
        serving(tmp_path, "mta-sts.x.test", "mx.x.test") as (server, trust),
        remote(tls=server.tls, ehlo=[OFFERS_TLS, PLAIN]) as there,
    ):
        server.text = text
        house = House(names, server, trust)
        async with house.policies() as policies:
            opened = await open_connection(house, policies, there.port)

    assert outcome == (opened.host.secured if isinstance(opened, Connection) else opened)


async def open_connection(house, policies, port):
    """Go the way of mail for the domain, until a server greets us."""
    hosts = Hosts(NameServers([house.names.address]))
    ways = DnsDirections(hosts, Ourselves("us.test"), port, house.reports, policies)
    dialling = Dialling("us.test", dict.fromkeys(Phase, 5.0), connect_timeout=5)
    dialler = Dialler(dialling, house.trust, house.reports)
    opened = await dialler.open(await ways.find(X), lambda _: None)
    if isinstance(opened, Connection):
        opened.close()
    return opened
