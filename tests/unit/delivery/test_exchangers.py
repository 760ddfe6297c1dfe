import pytest

from services.delivery.core.exchangers import LOOP, NO_HOST, NULL_MX, Exchanger, order

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
    assert order("x.test", [Exchanger(*record) for record in records], US, in_reverse) == names


@pytest.mark.parametrize(
    ("records", "reply"),
    [([(0, "")], NULL_MX), ([(10, US), (20, "b")], LOOP), ([(0, ""), (5, "")], NO_HOST)],
    ids=["null MX", "it leads back to us", "nothing usable"],
)
def test_some_domains_take_no_mail(records, reply):
    assert order("x.test", [Exchanger(*record) for record in records], US, in_reverse) == reply
