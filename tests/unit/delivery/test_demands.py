"""How secret a conversation must be: the table of who says so, and who is heard."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.sending import Route, TlsPolicy
from kernel.mtasts import parse_policy
from services.delivery.core.dane import Dane
from services.delivery.core.demands import (
    IN_THE_CLEAR,
    OPPORTUNISTIC,
    Demand,
    Level,
    Source,
    demand_for,
    is_stray,
)
from services.delivery.core.routes import Host

MX = "mx.x.test"
CLEAR, _, ENCRYPTED, PROVED = Level
DANE = Dane.of(MX, ["3 1 1 " + "0a" * 32])
UNUSABLE = Dane.of(MX, ["1 1 1 " + "0a" * 32])


def policy(mode, host=MX):
    return parse_policy(f"version: STSv1\nmode: {mode}\nmax_age: 60\nmx: {host}\n")


ENFORCE, TESTING = policy("enforce"), policy("testing")
ENFORCE_OTHER, TESTING_OTHER = policy("enforce", "b.test"), policy("testing", "b.test")


def route(tls=None, **changes):
    return Route("*", tls=tls, **changes)


@pytest.mark.parametrize(
    ("tls", "dane", "sts", "guarded", "demand"),
    [
        (None, None, None, False, OPPORTUNISTIC),
        (None, DANE, None, False, Demand(PROVED, Source.DANE, DANE)),
        (None, UNUSABLE, None, False, Demand(ENCRYPTED, Source.DANE)),
        (None, None, ENFORCE, False, Demand(PROVED, Source.MTA_STS)),
        (None, None, TESTING, False, Demand(PROVED, Source.MTA_STS, relaxed=True)),
        (None, None, ENFORCE_OTHER, False, None),
        (None, None, TESTING_OTHER, False, OPPORTUNISTIC),
        (None, DANE, ENFORCE, False, Demand(PROVED, Source.DANE, DANE)),
        (None, DANE, ENFORCE_OTHER, False, Demand(PROVED, Source.DANE, DANE)),
        (None, UNUSABLE, ENFORCE, False, Demand(PROVED, Source.MTA_STS)),
        (None, UNUSABLE, TESTING, False, Demand(ENCRYPTED, Source.DANE)),
        (None, UNUSABLE, ENFORCE_OTHER, False, None),
        (None, None, None, True, Demand(PROVED, Source.REQUIRETLS)),
        (None, DANE, None, True, Demand(PROVED, Source.DANE, DANE)),
        (None, UNUSABLE, None, True, Demand(PROVED, Source.REQUIRETLS)),
        (None, None, ENFORCE, True, Demand(PROVED, Source.MTA_STS)),
        (None, None, TESTING, True, Demand(PROVED, Source.REQUIRETLS)),
        (TlsPolicy.NONE, DANE, ENFORCE, False, Demand(CLEAR, Source.ROUTE)),
        (TlsPolicy.OPPORTUNISTIC, DANE, ENFORCE, False, Demand(Level(1), Source.ROUTE)),
        (TlsPolicy.REQUIRED, DANE, ENFORCE, False, Demand(ENCRYPTED, Source.ROUTE)),
        (TlsPolicy.VERIFIED, DANE, ENFORCE, False, Demand(PROVED, Source.ROUTE)),
        (TlsPolicy.NONE, None, None, True, Demand(PROVED, Source.REQUIRETLS)),
        (TlsPolicy.REQUIRED, None, None, True, Demand(PROVED, Source.REQUIRETLS)),
        (TlsPolicy.VERIFIED, None, None, True, Demand(PROVED, Source.ROUTE)),
        (TlsPolicy.REQUIRED, None, ENFORCE_OTHER, False, Demand(ENCRYPTED, Source.ROUTE)),
    ],
)
def test_what_is_demanded_and_by_whom(tls, dane, sts, guarded, demand):
    host = Host(MX, "192.0.2.1", 25, dane)

    assert demand_for(host, route(tls), sts, guarded=guarded) == demand
    if tls is None:
        assert demand_for(host, None, sts, guarded=guarded) == demand


@pytest.mark.parametrize("tls", [None, TlsPolicy.NONE, TlsPolicy.OPPORTUNISTIC])
def test_a_server_with_tls_from_the_start_has_no_other_way_in(tls):
    host = Host(MX, "192.0.2.1", 465)

    demand = demand_for(host, route(tls, implicit_tls=True), None, guarded=False)

    assert demand == Demand(ENCRYPTED, Source.ROUTE)


@given(
    st.sampled_from([None, *TlsPolicy]),
    st.sampled_from([None, DANE, UNUSABLE]),
    st.sampled_from([None, ENFORCE, TESTING, ENFORCE_OTHER, TESTING_OTHER]),
    st.booleans(),
)
def test_only_mail_of_which_nobody_demands_anything_may_go_in_the_clear(tls, dane, sts, guarded):
    host = Host(MX, "192.0.2.1", 25, dane)
    demand = demand_for(host, route(tls), sts, guarded=guarded)

    ways = [*itertools.takewhile(bool, [demand, *_otherwise(demand)])]
    may_be_clear = any(way.level in {Level.CLEAR, Level.OPPORTUNISTIC} for way in ways)

    is_bound = dane is not None or sts in {ENFORCE, ENFORCE_OTHER}
    wants_less = tls in {TlsPolicy.NONE, TlsPolicy.OPPORTUNISTIC}
    assert may_be_clear is (not guarded and (wants_less or (tls is None and not is_bound)))


def _otherwise(demand):
    while demand is not None:
        demand = demand.otherwise
        yield demand


def test_what_is_only_tested_gives_way_and_the_rest_does_not():
    relaxed = Demand(PROVED, Source.MTA_STS, relaxed=True)

    assert relaxed.otherwise == OPPORTUNISTIC
    assert OPPORTUNISTIC.otherwise == IN_THE_CLEAR
    assert IN_THE_CLEAR.otherwise is None
    assert Demand(PROVED, Source.MTA_STS).otherwise is None
    assert Demand(ENCRYPTED, Source.DANE).otherwise is None


def test_a_stray_is_who_a_policy_that_counts_does_not_name():
    host = Host(MX, "192.0.2.1", 25)

    assert is_stray(host, None, ENFORCE_OTHER)
    assert is_stray(host, route(), TESTING_OTHER)
    assert not is_stray(host, route(TlsPolicy.NONE), ENFORCE_OTHER)
    assert not is_stray(Host(MX, "192.0.2.1", 25, DANE), None, ENFORCE_OTHER)
    assert not is_stray(host, None, ENFORCE)
    assert not is_stray(host, None, None)


@pytest.mark.parametrize(
    ("demand", "version", "words"),
    [
        (Demand(PROVED, Source.DANE, DANE), "TLSv1.3", "TLSv1.3, verified by DANE"),
        (Demand(PROVED, Source.ROUTE), "TLSv1.2", "TLSv1.2, verified by route"),
        (Demand(ENCRYPTED, Source.ROUTE), "TLSv1.3", "TLSv1.3, required by route"),
        (OPPORTUNISTIC, "TLSv1.3", "TLSv1.3, unverified"),
        (OPPORTUNISTIC, "", "in the clear"),
        (Demand(CLEAR, Source.ROUTE), "", "in the clear"),
    ],
)
def test_how_it_went_is_said_in_words(demand, version, words):
    assert demand.met(version) == words


def test_a_refusal_of_ours_is_a_deferral_that_says_why():
    demand = Demand(PROVED, Source.MTA_STS)

    assert (
        str(demand.unmet(MX)) == "451 4.7.5 mx.x.test does not prove who it is, as MTA-STS demands"
    )
    assert str(demand.refused(MX)) == "451 4.7.4 mx.x.test does not offer TLS, as MTA-STS demands"
