"""How much is too much: meters, and what they make of auth's answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kernel.model.address import Address
from kernel.model.questions import Listener, PlaintextAuth, RelayAnswer, RelayQuestion, TlsMode
from kernel.model.rate import Rate
from kernel.model.reply import Reply
from services.ingress.core.limits import Meters, neighbourhood
from services.ingress.limits import Limits

RATES = st.builds(Rate, st.integers(1, 20), st.sampled_from([1, 60, 3_600]))
GAPS = st.lists(st.floats(0, 200), max_size=60)
SLACK = 2e-3
"""Of the arithmetic of floats."""


def moments(gaps):
    now = 1_000.0
    for gap in gaps:
        now += gap
        yield now


@given(RATES, GAPS)
def test_never_more_gets_through_than_the_rate_and_one_burst(rate, gaps):
    meters = Meters(10)
    taken = [now for now in moments(gaps) if meters.take("a", [rate], now) is None]

    for first, start in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            allowed = rate.count + (end - start) * rate.count / rate.seconds
            assert last - first + 1 <= allowed + SLACK


@given(RATES, GAPS)
def test_who_stays_below_is_never_held_up(rate, gaps):
    spaced = [gap + rate.seconds / rate.count for gap in gaps]
    meters = Meters(10)

    assert all(meters.take("a", [rate], now) is None for now in moments(spaced))


@given(RATES)
def test_a_whole_burst_may_come_at_once_and_no_more(rate):
    meters = Meters(10)

    assert [meters.take("a", [rate], 5.0) for _ in range(rate.count)] == [None] * rate.count
    assert meters.take("a", [rate], 5.0) == rate


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), max_size=100))
def test_no_flood_of_keys_takes_more_room(visits):
    meters = Meters(10)
    now = 0.0
    for key, gap in visits:
        now += gap
        meters.take(key, [Rate(3, 60)], now)

        assert len(meters) <= 10


def test_what_one_rate_refuses_none_counts():
    minute, hour = Rate(1, 60), Rate(3, 3_600)
    meters = Meters(10)
    for _ in range(3):
        meters.take("a", [minute, hour], 0.0)

    assert meters.take("a", [minute, hour], 60.0) is None
    assert meters.take("a", [minute, hour], 120.0) is None
    assert meters.take("a", [minute, hour], 180.0) == hour


def test_others_are_measured_for_themselves():
    meters = Meters(10)
    meters.take("a", [Rate(1, 60)], 0.0)

    assert meters.take("b", [Rate(1, 60)], 0.0) is None


@pytest.mark.parametrize(
    ("client", "who"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_client_counts_with_its_network(client, who):
    assert neighbourhood(client) == who


TAKEN = Reply(250, "2.1.5", "Recipient OK")
UNKNOWN = Reply(550, "5.1.1", "No such user here")
STRANGER = RelayAnswer(TAKEN, "local", stranger=True)
GUESS = RelayAnswer(UNKNOWN, "no-such-user", stranger=True)
OF_THE_LAN = RelayAnswer(TAKEN, "lan")
BY_GRANT = RelayAnswer(TAKEN, "collection-grant", "ann")


def make_listener(**rates):
    limits = (PlaintextAuth.NEVER, 100_000, 3, 50, 20)
    return Listener("mx", TlsMode.STARTTLS, (), *limits, **rates)


def ask(client="192.0.2.1", login=""):
    bob, ann = Address.parse("bob@elsewhere.test"), Address.parse("ann@ours.test")
    return RelayQuestion("mx", client, "x", bob, ann, login)


def judge(limits, listener, *answers, now=0.0, is_new=True, **question):
    judged = limits.judge(listener, [ask(**question)] * len(answers), answers, now, is_new=is_new)
    return [(answer.reply.code, answer.rule) for answer in judged]


def test_a_strangers_address_may_name_so_many_recipients():
    limits, listener = Limits(), make_listener(recipient_rate_per_ip=(Rate(2, 60),))

    assert judge(limits, listener, STRANGER, STRANGER, STRANGER) == [
        (250, "local"),
        (250, "local"),
        (450, "recipient-rate-per-ip"),
    ]
    assert judge(limits, listener, STRANGER, now=30.0) == [(250, "local")]


def test_a_message_counts_once_however_many_recipients_it_has():
    limits, listener = Limits(), make_listener(message_rate_per_ip=(Rate(2, 60),))

    assert judge(limits, listener, STRANGER, STRANGER, STRANGER) == [(250, "local")] * 3
    assert judge(limits, listener, STRANGER, is_new=False) == [(250, "local")]
    assert judge(limits, listener, STRANGER) == [(250, "local")]
    assert judge(limits, listener, STRANGER) == [(450, "message-rate-per-ip")]


def test_a_message_counts_the_same_whether_its_recipients_come_in_one_breath_or_not():
    listener = make_listener(message_rate_per_user=(Rate(1, 600),))
    unmeasured = RelayAnswer(TAKEN, "local")
    together, apart = Limits(), Limits()

    for _ in range(2):
        in_one_breath = judge(together, listener, unmeasured, BY_GRANT)
        first = judge(apart, listener, unmeasured)
        assert in_one_breath == first + judge(apart, listener, BY_GRANT, is_new=False)


def test_strangers_hurt_neither_the_lan_nor_users_beside_them():
    listener = make_listener(
        message_rate_per_ip=(Rate(1, 60),), recipient_rate_per_ip=(Rate(1, 60),)
    )
    limits = Limits((Rate(1, 3_600),), 60.0)
    judge(limits, listener, STRANGER, STRANGER, GUESS, GUESS)

    assert judge(limits, listener, STRANGER)[0][0] == 450
    assert judge(limits, listener, OF_THE_LAN, OF_THE_LAN) == [(250, "lan")] * 2
    assert judge(limits, listener, BY_GRANT) == [(250, "collection-grant")]
    assert judge(limits, listener, OF_THE_LAN, login="ann") == [(250, "lan")]


def test_a_user_counts_wherever_from_and_by_login_or_grant():
    limits, listener = Limits(), make_listener(message_rate_per_user=(Rate(2, 60),))
    judge(limits, listener, OF_THE_LAN, login="ann", client="192.0.2.1")
    judge(limits, listener, BY_GRANT, client="192.0.2.2")

    assert judge(limits, listener, OF_THE_LAN, login="ann") == [(450, "message-rate-per-user")]
    assert judge(limits, listener, OF_THE_LAN, login="bob") == [(250, "lan")]


def test_a_refusal_is_no_mail_and_costs_nothing():
    limits, listener = Limits(), make_listener(message_rate_per_ip=(Rate(1, 60),))
    denied = RelayAnswer(Reply(550, "5.7.1", "Relaying denied"), "relay-denied", stranger=True)

    assert judge(limits, listener, denied, denied) == [(550, "relay-denied")] * 2
    assert judge(limits, listener, STRANGER) == [(250, "local")]


def test_who_guesses_too_many_names_is_shut_out_for_a_while():
    limits, listener = Limits((Rate(2, 3_600),), 900.0), make_listener()
    client = "2001:db8::1"
    assert judge(limits, listener, GUESS, GUESS, client=client) == [(550, "no-such-user")] * 2
    assert limits.at_door(listener, client, 0.0) is None
    judge(limits, listener, GUESS, client=client)

    assert limits.at_door(listener, "2001:db8::2", 899.0).code == 421
    assert judge(limits, listener, STRANGER, client=client) == [(450, "unknown-recipients")]
    assert limits.at_door(listener, "192.0.2.1", 0.0) is None
    assert limits.at_door(listener, client, 900.0) is None


def test_where_users_log_in_the_neighbours_of_who_guesses_get_that_far():
    listener = Listener("mx", TlsMode.STARTTLS, ("PLAIN",), PlaintextAuth.NEVER, 1, 1, 1, 1)
    limits = Limits((Rate(1, 3_600),), 900.0)
    judge(limits, listener, GUESS, GUESS)

    assert limits.at_door(listener, "192.0.2.1", 0.0) is None
    assert judge(limits, listener, STRANGER) == [(450, "unknown-recipients")]
    assert judge(limits, listener, OF_THE_LAN, login="ann") == [(250, "lan")]


def test_the_administrator_is_warned_once_an_episode():
    limits = Limits()
    with capture_logs() as logs:
        for now in (0.0, 1.0, 599.0, 601.0):
            limits.note("mx", "message_rate_per_ip", "192.0.2.1", now)

    assert [line["log_level"] for line in logs] == ["warning"] * 2
    assert logs[0]["limit"] == "message_rate_per_ip"
    assert logs[0]["who"] == "192.0.2.1"
