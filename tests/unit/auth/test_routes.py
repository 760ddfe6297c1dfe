"""Routes: how they are written, in which order they stand, and who hears a password."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.sending import EVERYTHING, Route, Target, TlsPolicy
from services.auth.core.routes import (
    BadPlaceError,
    BadRouteError,
    default_port,
    fault,
    hides,
    needs_password_again,
    parse_pattern,
    parse_target,
    placed,
)

SMART = (Target("smart.test", 587),)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("*", "*"),
        ("Example.ORG", "example.org"),
        (".Example.org", ".example.org"),
        ("*.example.org", ".example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        (".bücher.example", ".xn--bcher-kva.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"),
        ("localhost", "localhost"),
        (".org", ".org"),
    ],
)
def test_a_pattern_is_written_as_the_domains_of_mail_are(text, pattern):
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize(
    "text",
    ["", ".", "..org", "**", "*org", "a b", "192.0.2.1", ".[192.0.2.1]", "a.*", "x/y", "a@b.test"],
)
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(BadRouteError):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("smart.test", Target("smart.test", 25)),
        ("Smart.test:587", Target("smart.test", 587)),
        ("192.0.2.1:2525", Target("192.0.2.1", 2525)),
        ("2001:DB8::1", Target("2001:db8::1", 25)),
        ("[2001:db8::1]", Target("2001:db8::1", 25)),
        ("[2001:db8::1]:587", Target("2001:db8::1", 587)),
        ("bücher.example:25", Target("xn--bcher-kva.example", 25)),
    ],
)
def test_a_server_is_a_host_and_a_port(text, target):
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":25",
        "a:",
        "a:0",
        "a:65536",
        "a:x",
        "a b",
        "0.0.0.0",
        "224.0.0.1",
        "fe80::1%eth0",
        "[a",
        "a:25:25",
    ],
)
def test_what_is_no_server_is_refused(text):
    with pytest.raises(BadRouteError):
        parse_target(text)


@pytest.mark.parametrize(
    ("route", "port"),
    [
        (Route("*"), 25),
        (Route("*", login="us"), 587),
        (Route("*", login="us", implicit_tls=True), 465),
        (Route("*", implicit_tls=True), 465),
    ],
)
def test_the_port_follows_from_what_is_said_there(route, port):
    assert default_port(route) == port


HIDDEN = [
    ("*", "example.org", True),
    ("*", ".org", True),
    ("*", "[192.0.2.1]", True),
    (".example.org", "a.example.org", True),
    (".example.org", ".a.example.org", True),
    (".example.org", "example.org", False),
    (".example.org", "notexample.org", False),
    (".example.org", "*", False),
    (".example.org", ".org", False),
    ("example.org", ".example.org", False),
    ("example.org", "example.org", True),
]


@pytest.mark.parametrize(("earlier", "later", "is_hidden"), HIDDEN)
def test_a_route_hides_what_it_covers(earlier, later, is_hidden):
    assert hides(earlier, later) is is_hidden


@pytest.mark.parametrize(
    ("order", "pattern", "before", "result"),
    [
        ((), "*", None, "*"),
        (("*",), "a.test", None, "a.test *"),
        ((".test", "*"), "a.test", None, "a.test .test *"),
        (("b.org", "a.test", "*"), ".test", None, "b.org a.test .test *"),
        (("a.test", "b.test"), "c.test", "a.test", "c.test a.test b.test"),
        (("a.test", "b.test", "*"), "a.test", "", "b.test a.test *"),
        (("a.test", "b.test", "*"), "b.test", "a.test", "b.test a.test *"),
        (("a.test",), "*", "", "a.test *"),
    ],
)
def test_a_route_stands_where_it_was_put_and_else_where_it_counts(order, pattern, before, result):
    assert placed(order, pattern, before) == tuple(result.split())


@pytest.mark.parametrize(
    ("order", "pattern", "before", "is_known"),
    [
        (("a.test",), "*", "a.test", True),
        (("a.test",), ".test", "a.test", True),
        ((".test",), "a.test", "", True),
        (("a.test",), "b.test", "c.test", False),
        (("a.test",), "a.test", "a.test", False),
    ],
)
def test_no_route_is_put_where_one_would_never_count(order, pattern, before, is_known):
    with pytest.raises(BadPlaceError) as refusal:
        placed(order, pattern, before)

    assert refusal.value.is_known is is_known


names = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join)
patterns = names | names.map(".{}".format) | st.just(EVERYTHING)


@given(added=st.lists(patterns, unique=True), domain=names)
def test_in_whatever_order_routes_are_added_the_narrowest_counts(added, domain):
    order = ()
    for pattern in added:
        order = placed(order, pattern, None)

    covering = [pattern for pattern in order if Route(pattern).covers(domain)]
    assert sorted(order) == sorted(added)
    assert all(hides(wider, covering[0]) for wider in covering)


@pytest.mark.parametrize(
    ("route", "has_password", "field"),
    [
        (Route("*"), False, None),
        (Route("*", (*SMART, *SMART)), False, "targets"),
        (Route("*", tls=TlsPolicy.NONE, implicit_tls=True), False, "tls"),
        (Route("*", login="us"), False, "password"),
        (Route("*"), True, "login"),
        (Route("*", mechanism="PLAIN"), False, "login"),
        (Route("*", login="us", tls=TlsPolicy.VERIFIED), True, "targets"),
        (Route("*", SMART, login="us"), True, "tls"),
        (Route("*", SMART, TlsPolicy.NONE, login="us"), True, "tls"),
        (Route("*", SMART, TlsPolicy.OPPORTUNISTIC, login="us", mechanism="PLAIN"), True, "tls"),
        (Route("*", SMART, TlsPolicy.OPPORTUNISTIC, login="us", mechanism="XOAUTH2"), True, "tls"),
        (Route("*", SMART, login="us", mechanism="CRAM-MD5"), True, None),
        (Route("*", SMART, TlsPolicy.NONE, login="us", mechanism="SCRAM-SHA-256"), True, None),
        (Route("*", SMART, TlsPolicy.REQUIRED, login="us"), True, None),
        (Route("*", SMART, TlsPolicy.VERIFIED, login="us"), True, None),
        (Route("*", SMART, login="us", implicit_tls=True), True, None),
        (Route("*", (Target("127.0.0.1", 25), Target("::1", 25)), login="us"), True, None),
        (Route("*", (Target("localhost", 25), *SMART), login="us"), True, "tls"),
    ],
)
def test_a_password_goes_where_nobody_listens(route, has_password, field):
    found = fault(route, has_password=has_password)

    assert (found and found[0]) == field


def test_nobody_is_warned_of_mail_that_has_been_given_up():
    a_day = timedelta(days=1)

    assert fault(Route("*", warn_after=a_day, give_up_after=a_day), has_password=False)
    assert not fault(Route("*", warn_after=a_day, give_up_after=2 * a_day), has_password=False)


@pytest.mark.parametrize(
    ("after", "again"),
    [
        (Route("*", SMART, login="us", connections=3), False),
        (Route("*", (), login="us"), False),
        (Route("*", SMART, login="them"), True),
        (Route("*", (Target("smart.test", 25),), login="us"), True),
        (Route("*", (*SMART, Target("other.test", 587)), login="us"), True),
    ],
)
def test_a_password_that_is_kept_is_told_to_nobody_new(after, again):
    assert needs_password_again(Route("*", SMART, login="us"), after) is again
