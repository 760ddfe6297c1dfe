import pytest

from services.delivery.core.exchangers import (
    LOOP,
    NO_HOST,
    NULL_MX,
    Exchanger,
    before_us,
    order,
)
from services.delivery.core.routes import Host

US = "mx.ours.test"


def in_reverse(names):
    names.reverse()


@pytest.mark.parametrize(
    ("records", "names"),
    [
        ([], ("x.test",)),
        ([(20, "b"), (10, "a")], ("a", "b")),
        ([(10, "a"), (20, "b1"), (20, "b2")], ("a", "b2", "b1")),
        ([(10, "a"), (0, "")], ("a",)),
        ([(5, "a"), (10, US), (20, "b")], ("a",)),
    ],
    ids=[
        "without any, the domain itself",
        "the lowest preference first",
        "equals are shuffled",
        "a null MX among others is no MX",
        "with us among them, those before us",
    ],
)
def test_exchangers_are_tried_in_order(records, names):
    found = order("x.test", [Exchanger(*record) for record in records], US, in_reverse)

    assert tuple(exchanger.name for exchanger in found) == names


@pytest.mark.parametrize(
    ("records", "reply"),
    [([(0, "")], NULL_MX), ([(10, US), (20, "b")], LOOP), ([(0, ""), (5, "")], NO_HOST)],
    ids=["null MX", "it leads back to us", "nothing usable"],
)
def test_some_domains_take_no_mail(records, reply):
    assert order("x.test", [Exchanger(*record) for record in records], US, in_reverse) == reply


A, B, OURS = (Host(name, f"192.0.2.{n}", 25) for n, name in enumerate(("a", "b", "other.name")))


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([(10, A), (20, B)], [A, B]),
        ([(10, A), (20, OURS), (30, B)], [A]),
        ([(10, A), (10, OURS), (10, B)], []),
        ([(10, OURS), (20, None)], []),
        ([(10, None), (20, OURS)], [None]),
    ],
    ids=[
        "we are not among them",
        "those before us",
        "not even equals",
        "one in doubt after us",
        "one in doubt before us",
    ],
)
def test_under_another_name_our_address_tells(found, kept):
    exchangers = [(Exchanger(n, "x"), host and (host,)) for n, host in found]

    assert before_us(exchangers, {OURS.address}) == tuple(host and (host,) for host in kept)


@pytest.mark.parametrize(
    ("record", "exchanger"),
    [("10 mx.test", Exchanger(10, "mx.test")), ("0 .", Exchanger(0, ""))],
)
def test_a_record_is_read(record, exchanger):
    assert Exchanger.parse(record) == exchanger
