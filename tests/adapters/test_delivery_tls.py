"""Real handshakes: what is demanded of a server, what it shows, and what becomes of the mail."""

import asyncio
import hashlib
import json
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from kernel.clock import system_clock
from kernel.model.sending import Route, Sending, TlsPolicy
from kernel.mtasts import parse_policy
from services.delivery.adapters.dialling import Dialler, Dialling
from services.delivery.adapters.preparing import Preparer
from services.delivery.adapters.securing import trusting
from services.delivery.adapters.smtp import SmtpCourier
from services.delivery.adapters.tlsrpt import TlsReports
from services.delivery.core.dane import Dane
from services.delivery.core.demands import NOT_NAMED
from services.delivery.core.routes import Host
from services.delivery.core.smtp_client import Phase
from services.delivery.core.tlsrpt import Failure, Policy, PolicyKind, Result
from services.delivery.fellows import Fellows
from services.delivery.ports import Site
from services.delivery.shaping import Manners, Shaping
from tests.support.certificates import Authority
from tests.support.fakes import RecordingBus, make_platform
from tests.support.mail import BOB, make_leg
from tests.support.remote import Last, remote

DEADLINE = 10
MX = "mx.x.test"
PLAIN = "250-there.test\r\n250 PIPELINING"
OFFERS_TLS = "250-there.test\r\n250 STARTTLS"
VERIFIED, REQUIRED = Route("*", tls=TlsPolicy.VERIFIED), Route("*", tls=TlsPolicy.REQUIRED)


def policy(mode, host=MX):
    return parse_policy(f"version: STSv1\nmode: {mode}\nmax_age: 60\nmx: {host}\n")


ENFORCE, TESTING = policy("enforce"), policy("testing")


@dataclass
class Directions:
    site: Site

    async def find(self, domain):
        return self.site


@dataclass
class Certified:
    """A server's certificate and how it is announced."""

    context: ssl.SSLContext
    authority: Authority
    leaf: bytes

    @property
    def own(self):
        return Dane.of(MX, [f"3 0 1 {hashlib.sha256(self.leaf).hexdigest()}"])

    @property
    def authoritys(self):
        branch = self.authority.branch.public_bytes(Encoding.DER)
        return Dane.of(MX, [f"2 0 1 {hashlib.sha256(branch).hexdigest()}"])


WRONG = Dane.of(MX, [f"3 0 1 {'0a' * 32}"])
UNUSABLE = Dane.of(MX, [f"1 0 1 {'0a' * 32}"])


@pytest.fixture
def certify(tmp_path):
    """Return a server's certificate for some names."""

    def make(*names, ends=None):
        authority = Authority()
        leaf = authority.issue(tmp_path, *(names or (MX,)), ends=ends)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "fullchain.pem", tmp_path / "privkey.pem")
        return Certified(context, authority, leaf)

    return make


@dataclass
class Setting:
    """A courier, the server that it goes to, and what is written down of it."""

    courier: SmtpCourier
    there: object
    reports: TlsReports

    async def carry(self, leg=None):
        carried = await self.courier.carry(leg or make_leg(BOB))
        return carried.replies[BOB], carried.host

    def results(self):
        """What a report would tell: of each policy its successes and kinds of failure."""
        reports = self.reports._tally.reports("us", "", system_clock())
        return {
            part["policy"]["policy-type"]: (
                part["summary"]["total-successful-session-count"],
                [failure["result-type"] for failure in part.get("failure-details", [])],
            )
            for report in reports.values()
            for part in report["policies"]
        }


@asynccontextmanager
async def setting(certified, *, dane=None, trusted=True, name=MX, **site):
    """A server, under the demands of ``site``."""
    script = {"ehlo": [OFFERS_TLS, PLAIN] * 3} | site.pop("script", {})
    trust = ssl.create_default_context(cadata=certified.authority.pem if trusted else None)
    reports = TlsReports(system_clock, "us.test")
    dialling = Dialling("us.test", dict.fromkeys(Phase, 5.0), connect_timeout=5)
    async with remote(tls=certified.context, **script) as there, asyncio.timeout(DEADLINE):
        found = Site("site", (Host(name, "127.0.0.1", there.port, dane),), domain="x.test", **site)
        dialler = Dialler(dialling, trust, reports)
        preparer = Preparer(make_platform(), Sending)
        shaping = Shaping(Manners(), Fellows(RecordingBus()), system_clock)
        courier = SmtpCourier(Directions(found), dialler, preparer, shaping)
        yield Setting(courier, there, reports)
        courier.close()


async def test_who_has_a_certificate_from_nobody_we_know_gets_mail_where_nobody_minds(certify):
    async with setting(certify("other.test"), trusted=False) as house:
        reply, host = await house.carry()

    assert reply.code == 250
    assert host.secured == "TLSv1.3, unverified"
    assert house.results() == {"no-policy-found": (1, [])}


@pytest.mark.parametrize(
    ("demand", "words", "kind"),
    [
        ({"route": VERIFIED}, "verified by route", "no-policy-found"),
        ({"route": REQUIRED}, "required by route", "no-policy-found"),
        ({"sts": ENFORCE}, "verified by MTA-STS", "sts"),
        ({"sts": TESTING}, "verified by MTA-STS", "sts"),
    ],
    ids=["route", "required", "enforced", "tested"],
)
async def test_who_proves_who_it_is_gets_mail_and_that_is_written_down(
    certify, demand, words, kind
):
    async with setting(certify(), **demand) as house:
        reply, host = await house.carry()

    assert reply.code == 250
    assert str(host) == f"{MX}[127.0.0.1]:{house.there.port}, TLSv1.3, {words}"
    assert house.results() == {kind: (1, [])}


@pytest.mark.parametrize("which", ["own", "authoritys"], ids=["DANE-EE", "DANE-TA"])
async def test_dane_needs_no_authority_that_we_trust(certify, which):
    certified = certify()
    async with setting(certified, dane=getattr(certified, which), trusted=False) as house:
        reply, host = await house.carry()

    assert reply.code == 250
    assert host.secured == "TLSv1.3, verified by DANE"
    assert house.results() == {"tlsa": (1, [])}


async def test_names_and_dates_matter_to_dane_only_where_an_authority_vouches(certify):
    certified = certify("other.test", ends=system_clock() - timedelta(hours=1))
    async with setting(certified, dane=certified.own) as house:
        assert (await house.carry())[0].code == 250
    async with setting(certified, dane=certified.authoritys) as house:
        assert (await house.carry())[0].status == "4.7.5"


async def test_records_that_prove_nothing_demand_tls_and_no_more(certify):
    async with setting(certify("other.test"), dane=UNUSABLE, trusted=False) as house:
        reply, host = await house.carry()

    assert reply.code == 250
    assert host.secured == "TLSv1.3, required by DANE"
    assert house.results() == {"tlsa": (0, ["tlsa-invalid"])}


@pytest.mark.parametrize(
    ("demand", "source", "certificate", "noted"),
    [
        ({"dane": WRONG}, "DANE", {}, ("tlsa", "validation-failure")),
        ({"sts": ENFORCE}, "MTA-STS", {"names": ["b.test"]}, ("sts", "certificate-host-mismatch")),
        ({"sts": ENFORCE}, "MTA-STS", {"ends": -1}, ("sts", "certificate-expired")),
        ({"sts": ENFORCE, "trusted": False}, "MTA-STS", {}, ("sts", "certificate-not-trusted")),
        (
            {"route": VERIFIED, "trusted": False},
            "route",
            {},
            ("no-policy-found", "certificate-not-trusted"),
        ),
    ],
    ids=["DANE", "another name", "expired", "unknown authority", "route"],
)
async def test_who_does_not_prove_it_gets_nothing_and_the_mail_waits(
    certify, demand, source, certificate, noted
):
    ends = system_clock() + timedelta(hours=certificate["ends"]) if "ends" in certificate else None
    async with setting(certify(*certificate.get("names", ()), ends=ends), **demand) as house:
        reply, host = await house.carry()

    assert str(reply) == f"451 4.7.5 {MX} does not prove who it is, as {source} demands"
    assert host is None
    assert house.there.commands == ["EHLO us.test", "STARTTLS"]
    kind, result = noted
    assert house.results() == {kind: (0, [result])}


@pytest.mark.parametrize(
    ("demand", "source"),
    [
        ({"dane": WRONG}, "DANE"),
        ({"dane": UNUSABLE}, "DANE"),
        ({"sts": ENFORCE}, "MTA-STS"),
        ({"route": REQUIRED}, "route"),
    ],
    ids=["DANE", "unusable DANE", "MTA-STS", "route"],
)
@pytest.mark.parametrize(
    "script",
    [{"ehlo": PLAIN}, {"starttls": "454 4.7.0 not now"}],
    ids=["not offered", "not done"],
)
async def test_nothing_goes_in_the_clear_where_tls_is_demanded(certify, demand, source, script):
    async with setting(certify(), script=script, **demand) as house:
        reply, _ = await house.carry()

    assert str(reply) == f"451 4.7.4 {MX} does not offer TLS, as {source} demands"
    assert not house.there.heard("MAIL")
    assert [failures for _, failures in house.results().values()] == [["starttls-not-supported"]]


async def test_a_handshake_that_breaks_is_no_way_round_it_either(certify):
    async with setting(certify(), sts=ENFORCE, script={"starttls": Last(b"220 go\r\n")}) as house:
        reply, _ = await house.carry()

    assert reply.status == "4.7.5"
    assert house.there.connections == 1


async def test_a_policy_that_is_tested_is_noted_and_not_enforced(certify):
    script = {"ehlo": [OFFERS_TLS, OFFERS_TLS, PLAIN]}
    async with setting(certify("other.test"), sts=TESTING, script=script) as house:
        reply, host = await house.carry()

    assert reply.code == 250
    assert host.secured == "TLSv1.3, unverified"
    assert house.there.connections == 2
    assert house.results() == {
        "sts": (0, ["certificate-host-mismatch"]),
        "no-policy-found": (1, []),
    }


async def test_where_no_tls_is_offered_a_tested_policy_takes_no_second_call(certify):
    async with setting(certify(), sts=TESTING, script={"ehlo": PLAIN}) as house:
        reply, host = await house.carry()

    assert reply.code == 250
    assert host.secured == "in the clear"
    assert house.there.connections == 1
    assert house.results() == {"sts": (0, ["starttls-not-supported"])}


async def test_a_server_that_an_enforced_policy_does_not_name_is_not_called(certify):
    async with setting(certify(), sts=policy("enforce", "*.y.test")) as house:
        reply, _ = await house.carry()

    assert reply == NOT_NAMED
    assert house.there.connections == 0
    assert house.results() == {"sts": (0, ["validation-failure"])}


async def test_one_that_a_tested_policy_does_not_name_is_noted(certify):
    async with setting(certify(), sts=policy("testing", "*.y.test")) as house:
        reply, _ = await house.carry()

    assert reply.code == 250
    assert house.results()["sts"] == (0, ["validation-failure"])


async def test_dane_comes_before_a_policy(certify):
    certified = certify()
    stray = policy("enforce", "*.y.test")
    async with setting(certified, dane=certified.own, sts=stray) as house:
        assert (await house.carry())[0].code == 250
    async with setting(certified, dane=WRONG, sts=ENFORCE) as house:
        assert (await house.carry())[0].status == "4.7.5"


async def test_a_route_may_rule_out_tls(certify):
    route = Route("*", tls=TlsPolicy.NONE)
    async with setting(certify(), route=route, dane=WRONG, sts=ENFORCE) as house:
        reply, host = await house.carry()

    assert reply.code == 250
    assert host.secured == "in the clear"
    assert not house.there.heard("STARTTLS")


@pytest.mark.parametrize(
    "proof",
    [{"signed": True}, {"sts": ENFORCE}, {"signed": True, "dane": "own"}],
    ids=["signed DNS", "MTA-STS", "DANE"],
)
async def test_guarded_mail_goes_to_whom_the_domain_has_proved_to_be_its_own(certify, proof):
    certified = certify()
    leg = make_leg(BOB)
    leg = replace(leg, envelope=replace(leg.envelope, requiretls=True))
    if "dane" in proof:
        proof = proof | {"dane": certified.own, "trusted": False}
    script = {"ehlo": [OFFERS_TLS, "250-there.test\r\n250 REQUIRETLS"]}
    async with setting(certified, script=script, **proof) as house:
        reply, host = await house.carry(leg)

    assert reply.code == 250
    assert "verified by" in host.secured
    assert house.there.heard("MAIL") == ["MAIL FROM:<ann@ours.test> REQUIRETLS"]


async def test_a_connection_that_proved_nothing_serves_no_domain_that_wants_proof(certify):
    async with setting(certify("other.test"), script={"ehlo": [OFFERS_TLS, PLAIN] * 2}) as house:
        directions = house.courier._directions
        await house.carry()
        directions.site = replace(directions.site, sts=ENFORCE)
        reply, _ = await house.carry()

    assert reply.status == "4.7.5"
    assert house.there.connections == 2


async def test_a_report_of_the_day_is_written(certify, tmp_path):
    async with setting(certify(), sts=TESTING) as house:
        house.reports._folder = tmp_path / "reports"
        await house.carry()
        await house.reports.write()
        await house.reports.write()

    (file,) = (tmp_path / "reports").iterdir()
    assert file.name.startswith("us.test!x.test!")
    report = json.loads(file.read_text())
    assert report["policies"][0]["summary"]["total-successful-session-count"] == 1


async def test_a_domain_whose_report_cannot_be_kept_takes_no_other_along(tmp_path):
    reports = TlsReports(system_clock, "us.test", folder=tmp_path)
    for domain in (".".join(["x" * 60] * 4), "y.test"):
        why = "\x1b[2J" + "x" * 10_000
        reports.failed(Policy(PolicyKind.NONE, domain), Failure(Result.VALIDATION_FAILURE, why=why))

    await reports.write()

    (file,) = tmp_path.iterdir()
    assert file.name.startswith("us.test!y.test!")
    (detail,) = json.loads(file.read_text())["policies"][0]["failure-details"]
    assert detail["failure-reason-code"].startswith(" [2Jxxx")
    assert len(detail["failure-reason-code"]) < 1_000


async def test_an_authority_of_ones_own_may_be_named_and_its_names_still_count(certify, tmp_path):
    certified = certify()
    file = tmp_path / "ca.pem"
    file.write_text(certified.authority.pem)

    trust = trusting(file)

    assert (trust.verify_mode, trust.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not trust.verify_flags & ssl.VERIFY_X509_STRICT
    assert len(trust.get_ca_certs()) == 1
