"""Each matter of DNS: when it is in order, what else there is, and what to publish then."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.core.dkim import Algorithm, DkimKey, KeyState
from services.auth.core.dnscheck import findings, is_in_order
from services.auth.core.survey import Fetched, Lookup, Record, Server, State, Survey, Zone
from tests.support.mail import NOON

OURS, MX = "ours.test", "mx.ours.test"
V4, V6 = "192.0.2.7", "2001:db8::7"
SILENT = "DNS does not answer: ours.test"
KEY = DkimKey(OURS, "2026a", Algorithm.ED25519, 256, KeyState.ACTIVE, "cHVibGlj", NOON)
POLICY = "version: STSv1\nmode: enforce\nmx: mx.ours.test\nmax_age: 604800\n"


def look(name, kind, *records, **more):
    return Lookup(name, kind, records, **more)


SERVER = Server(
    MX,
    (V4, V6),
    (look(MX, "A", V4), look(MX, "AAAA", V6)),
    reverse={V4: look("7.in-addr", "PTR", MX), V6: look("7.ip6", "PTR", MX)},
    forward={MX: (look(MX, "A", V4), look(MX, "AAAA", V6))},
    spf={V4: "pass", V6: "pass"},
)
ZONE = Zone(
    mx=look(OURS, "MX", f"10 {MX}"),
    txt=look(OURS, "TXT", "v=spf1 mx -all", "something=else"),
    dmarc=(look(f"_dmarc.{OURS}", "TXT", "v=DMARC1; p=reject"),),
    keys=((KEY, look(KEY.record_name, "TXT", KEY.record)),),
    sts=look(f"_mta-sts.{OURS}", "TXT", "v=STSv1; id=2026"),
    policy=Fetched(POLICY),
    tlsrpt=look(f"_smtp._tls.{OURS}", "TXT", "v=TLSRPTv1; rua=mailto:tls@ours.test"),
)
GOOD = Survey(OURS, SERVER, ZONE, NOON)


def found(check, survey):
    (finding,) = (f for f in findings(survey) if f.check == check)
    return finding


def zone(**changes):
    return replace(GOOD, zone=replace(ZONE, **changes))


def server(**changes):
    return replace(GOOD, server=replace(SERVER, **changes))


def published(check, survey):
    return [f"{r.name} {r.kind} {r.text}" for r in found(check, survey).publish]


def test_a_domain_in_order_has_nothing_to_publish():
    everything = findings(GOOD)

    assert {f.state for f in everything} == {State.OK}
    assert [f.check for f in everything] == [
        "hostname",
        f"reverse {V4}",
        f"reverse {V6}",
        "mx",
        "spf",
        "dkim 2026a",
        "dmarc",
        "mta-sts",
        "mta-sts policy",
        "tls-rpt",
    ]
    assert not any(f.publish for f in everything)
    assert is_in_order(everything)


@pytest.mark.parametrize(
    ("survey", "check", "state", "publish"),
    [
        (server(host=()), "hostname", "missing", [f"{MX} A {V4}", f"{MX} AAAA {V6}"]),
        (server(host=(look(MX, "A", V4),)), "hostname", "wrong", [f"{MX} AAAA {V6}"]),
        (server(host=(look(MX, "A", V4, V6, canonical="x.test"),)), "hostname", "wrong", []),
        (server(hostname="localhost"), "hostname", "wrong", []),
        (zone(mx=look(OURS, "MX")), "mx", "missing", [f"{OURS} MX 10 {MX}."]),
        (zone(mx=look(OURS, "MX", "0 .")), "mx", "wrong", [f"{OURS} MX 10 {MX}."]),
        (zone(mx=look(OURS, "MX", "10 mx.far.test")), "mx", "wrong", [f"{OURS} MX 10 {MX}."]),
        (zone(mx=look(OURS, "MX", "5 far.test", f"10 {MX}"), policy=None), "mx", "ok", []),
        (zone(txt=look(OURS, "TXT", "x")), "spf", "missing", [f"{OURS} TXT v=spf1 mx -all"]),
        (zone(txt=look(OURS, "TXT", "v=spf1 -all", "v=spf1 mx -all")), "spf", "wrong", []),
        (zone(txt=look(OURS, "TXT", "v=spf1 mx +all")), "spf", "advice", []),
        (zone(txt=look(OURS, "TXT", "v=spf1 mx ?all")), "spf", "ok", []),
        (
            server(spf={V4: "fail", V6: "neutral"}),
            "spf",
            "wrong",
            [f"{OURS} TXT v=spf1 ip4:{V4} ip6:{V6} mx -all"],
        ),
        (server(spf={V4: "pass", V6: "temperror"}), "spf", "unknown", []),
        (server(addresses=(), spf={}), "spf", "unknown", []),
        (
            zone(dmarc=(look(f"_dmarc.{OURS}", "TXT"),)),
            "dmarc",
            "missing",
            [f"_dmarc.{OURS} TXT v=DMARC1; p=none; rua=mailto:postmaster@{OURS}"],
        ),
        (zone(dmarc=(look("_dmarc", "TXT", "v=DMARC1; p=none"),)), "dmarc", "advice", []),
        (zone(dmarc=(look("_dmarc", "TXT", "v=DMARC1; p=maybe"),)), "dmarc", "wrong", []),
        (zone(dmarc=(look("_dmarc", "TXT", "v=DMARC1"),)), "dmarc", "wrong", []),
        (
            zone(dmarc=(look("_dmarc", "TXT", "v=DMARC1; p=none", "v=DMARC1; p=reject"),)),
            "dmarc",
            "wrong",
            [],
        ),
        (
            zone(sts=look("_mta-sts.ours.test", "TXT"), policy=None),
            "mta-sts",
            "advice",
            ["_mta-sts.ours.test TXT v=STSv1; id=20260105T120000"],
        ),
        (
            zone(sts=look("_mta-sts.ours.test", "TXT", "v=STSv1; id=a b"), policy=None),
            "mta-sts",
            "wrong",
            ["_mta-sts.ours.test TXT v=STSv1; id=20260105T120000"],
        ),
        (zone(policy=Fetched(trouble="404")), "mta-sts policy", "wrong", []),
        (zone(policy=Fetched("hello")), "mta-sts policy", "wrong", []),
        (zone(policy=Fetched(POLICY.replace("mx.ours", "other"))), "mta-sts policy", "wrong", []),
        (
            zone(policy=Fetched(POLICY.replace("enforce", "testing"))),
            "mta-sts policy",
            "advice",
            [],
        ),
        (zone(policy=Fetched(POLICY.replace("enforce", "none"))), "mta-sts policy", "advice", []),
        (
            zone(tlsrpt=look("_smtp._tls.ours.test", "TXT")),
            "tls-rpt",
            "advice",
            ["_smtp._tls.ours.test TXT v=TLSRPTv1; rua=mailto:postmaster@ours.test"],
        ),
        (
            zone(tlsrpt=look("_smtp._tls.ours.test", "TXT", "v=TLSRPTv1")),
            "tls-rpt",
            "wrong",
            ["_smtp._tls.ours.test TXT v=TLSRPTv1; rua=mailto:postmaster@ours.test"],
        ),
    ],
)
def test_what_is_not_so_is_said_with_what_to_publish(survey, check, state, publish):
    assert found(check, survey).state == state
    assert published(check, survey) == publish
    assert bool(found(check, survey).why) is (state != "ok")
    assert is_in_order(findings(survey)) is (state not in ("missing", "wrong"))


@pytest.mark.parametrize(
    ("names", "forward", "state"),
    [
        ((MX,), {MX: (look(MX, "A", V4),)}, "ok"),
        (("other.test", MX), {MX: (look(MX, "A", V4),)}, "ok"),
        ((), {}, "missing"),
        (("vm.host.test",), {"vm.host.test": (look("vm.host.test", "A", V4),)}, "advice"),
        (("vm.host.test",), {"vm.host.test": (look("vm.host.test", "A"),)}, "wrong"),
        ((MX,), {MX: (look(MX, "A", "192.0.2.8"),)}, "wrong"),
        ((MX,), {MX: (look(MX, "A", trouble=SILENT),)}, "unknown"),
    ],
)
def test_the_name_of_an_address_leads_back_to_it(names, forward, state):
    reverse = SERVER.reverse | {V4: look("7.in-addr", "PTR", *names)}

    finding = found(f"reverse {V4}", server(reverse=reverse, forward=SERVER.forward | forward))

    assert finding.state == state
    pointer = Record("7.2.0.192.in-addr.arpa", "PTR", f"{MX}.")
    assert finding.publish == ((pointer,) if state in ("missing", "advice", "wrong") else ())


@pytest.mark.parametrize(
    ("key_state", "records", "state"),
    [
        (KeyState.ACTIVE, (), "missing"),
        (KeyState.ACTIVE, ("v=DKIM1; k=ed25519; p=b3RoZXI=",), "wrong"),
        (KeyState.PREPARED, (), "advice"),
        (KeyState.PREPARED, (KEY.record,), "ok"),
    ],
)
def test_a_key_stands_in_dns_before_it_signs(key_state, records, state):
    key = replace(KEY, state=key_state)

    finding = found("dkim 2026a", zone(keys=((key, look(key.record_name, "TXT", *records)),)))

    assert finding.state == state
    record = Record("2026a._domainkey.ours.test", "TXT", "v=DKIM1; k=ed25519; p=cHVibGlj")
    assert finding.publish == (() if state == "ok" else (record,))


def test_a_retired_key_may_stay_away_and_that_none_signs_is_advice():
    retired = replace(KEY, state=KeyState.RETIRED)

    checks = {f.check: f.state for f in findings(zone(keys=((retired, look("x", "TXT")),)))}

    assert checks["dkim"] is State.ADVICE
    assert "dkim 2026a" not in checks


@pytest.mark.parametrize(("record", "state"), [("p=none; sp=reject", "ok"), ("p=none", "advice")])
def test_a_domain_below_another_goes_by_its_word(record, state):
    above = look("_dmarc.test", "TXT", f"v=DMARC1; {record}")

    finding = found("dmarc", zone(dmarc=(look(f"_dmarc.{OURS}", "TXT"), above)))

    assert finding.state == state


def test_spf_names_the_addresses_that_mx_does_not_stand_for():
    survey = replace(
        zone(txt=look(OURS, "TXT")), server=replace(SERVER, addresses=(V4, "192.0.2.99"))
    )
    survey = replace(
        survey,
        server=replace(
            survey.server, reverse=SERVER.reverse | {"192.0.2.99": look("99", "PTR", MX)}
        ),
    )

    assert published("spf", survey) == ["ours.test TXT v=spf1 ip4:192.0.2.99 mx -all"]


def silenced(names):
    """Return the survey of a domain in order, with no answer to some questions."""
    gone = {name: replace(getattr(ZONE, name), records=(), trouble=SILENT) for name in names}
    return zone(**gone)


@given(st.sets(st.sampled_from(["mx", "txt", "sts", "tlsrpt"])))
def test_what_dns_does_not_answer_is_unknown_and_never_wrong(names):
    survey = silenced(names)

    states = [f.state for f in findings(survey)]

    assert states.count(State.UNKNOWN) == len(names)
    assert is_in_order(findings(survey))


def test_total_silence_is_unknown_too():
    silent = Lookup("x", "A", trouble=SILENT)
    survey = Survey(
        OURS,
        Server(MX, (V4,), (silent,), {V4: silent}, {}, {V4: "temperror"}),
        Zone(silent, silent, (silent,), ((KEY, silent),), silent, None, silent),
        NOON,
    )

    assert {f.state for f in findings(survey)} == {State.UNKNOWN}
