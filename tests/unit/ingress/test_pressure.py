"""Pressure: when mail is refused before it is sent, and when that is over."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from kernel.bus.port import BusUnavailableError, QueueState
from services.ingress.core import pressure as core
from services.ingress.core.pressure import Breaker, Cause, Patience, is_behind
from services.ingress.pressure import Pressure
from tests.support.fakes import make_platform

PATIENCE = Patience(failures=3, within=60, pause=5, wait=30)
MAIL_LATER, NO_ROOM = core.REFUSED, core.NO_ROOM


class House:
    """Pressure, with a clock that the test turns."""

    def __init__(self, max_backlog=0):
        self.now = 0.0
        self.platform = make_platform()
        self.pressure = Pressure(self.platform, max_backlog, PATIENCE, lambda: self.now)

    def fail(self, times=1, cause=Cause.PUBLISHING):
        for _ in range(times):
            self.pressure.failed(cause, "no answer in time")

    def look(self):
        asyncio.run(self.pressure.look())

    def queue(self, name, ready):
        self.platform.bus.states = (QueueState(name, ready, 0, 1),)
        self.now += 10
        self.look()


@pytest.fixture
def house():
    return House()


def metric(cause):
    return REGISTRY.get_sample_value("postroom_ingress_pressure", {"cause": cause})


def test_without_pressure_everything_comes_in(house):
    house.look()

    assert house.pressure.at_door() is None
    assert house.pressure.at_mail() is None
    assert house.pressure.trouble() == ""


def test_a_bus_that_takes_nothing_is_told_at_once_and_over_at_once(house):
    house.platform.bus.failure = BusUnavailableError("memory alarm")
    assert house.pressure.at_door() == core.TURNED_AWAY
    assert house.pressure.at_mail() == MAIL_LATER
    assert house.pressure.trouble() == "bus: memory alarm"

    house.platform.bus.failure = None
    assert house.pressure.at_mail() is None


@pytest.mark.parametrize("store", ["blobs", "bus"])
def test_a_disk_that_gets_full_is_said_to_be_one(house, store):
    getattr(house.platform, store).short_of = "3 MiB are left"
    house.look()
    assert house.pressure.at_door() == core.TURNED_AWAY
    assert house.pressure.at_mail() == NO_ROOM
    assert house.pressure.trouble() == "room: 3 MiB are left"

    getattr(house.platform, store).short_of = ""
    house.look()
    assert house.pressure.at_mail() is None


def test_failures_in_a_row_open_the_breaker(house):
    house.fail(2)
    assert house.pressure.at_mail() is None

    house.fail()
    assert house.pressure.at_mail() == MAIL_LATER
    assert house.pressure.at_door() == core.TURNED_AWAY


def test_a_success_among_the_failures_keeps_it_closed(house):
    house.fail(2)
    house.pressure.published()
    house.fail(2)

    assert house.pressure.at_mail() is None


def test_failures_far_apart_keep_it_closed(house):
    for _ in range(10):
        house.fail()
        house.now += 40

    assert house.pressure.at_mail() is None


def test_then_one_mail_tries_while_the_others_wait(house):
    house.fail(3)
    house.now += 5

    assert house.pressure.at_door() is None
    assert house.pressure.at_mail() is None
    assert house.pressure.at_mail() == MAIL_LATER
    assert house.pressure.at_door() == core.TURNED_AWAY


def test_it_closes_once_that_one_has_come_through(house):
    house.fail(3)
    house.now += 5
    house.pressure.at_mail()

    house.pressure.published()

    assert house.pressure.at_mail() is None
    assert house.pressure.at_mail() is None


def test_if_that_one_fails_the_next_waits_its_turn(house):
    house.fail(3)
    house.now += 5
    house.pressure.at_mail()
    house.fail()
    assert house.pressure.at_mail() == MAIL_LATER

    house.now += 5
    assert house.pressure.at_mail() is None


def test_if_that_one_is_never_heard_of_another_tries(house):
    house.fail(3)
    house.now += 5
    house.pressure.at_mail()
    house.now += 29
    assert house.pressure.at_mail() == MAIL_LATER

    house.now += 1
    assert house.pressure.at_mail() is None


def test_when_it_is_time_to_try_we_are_ready_for_the_mail_that_tries(house):
    house.fail(3)
    assert house.pressure.trouble() == "publishing: no answer in time"

    house.now += 5
    assert house.pressure.trouble() == ""
    assert metric("publishing") == 1


def test_what_cannot_be_stored_is_no_matter_of_publishing(house):
    house.fail(3, Cause.STORING)
    assert house.pressure.at_mail() == NO_ROOM
    house.now += 5
    assert house.pressure.at_mail() is None

    house.pressure.published()  # a small one: it says nothing of the store
    assert house.pressure.at_mail() is None
    assert house.pressure.at_mail() == NO_ROOM

    house.pressure.stored()
    assert house.pressure.at_mail() is None
    assert house.pressure.at_mail() is None


def test_the_mail_that_tries_may_send_its_data(house):
    house.fail(3)
    house.now += 5
    assert house.pressure.at_mail() is None

    assert house.pressure.at_data() is None


def test_a_bus_and_a_disk_that_fail_after_mail_are_told_at_data(house):
    assert house.pressure.at_mail() is None

    house.platform.bus.failure = BusUnavailableError("memory alarm")
    assert house.pressure.at_data() == MAIL_LATER
    house.platform.bus.failure = None
    house.platform.blobs.short_of = "the disk is full"
    house.look()
    assert house.pressure.at_data() == NO_ROOM


@pytest.mark.parametrize("name", ["MailAccepted", "MailTraced"])
def test_a_long_queue_behind_us_stops_the_mail_until_it_is_short(name):
    house = House(max_backlog=100)
    house.queue(name, 100)
    assert house.pressure.at_mail() is None

    house.queue(name, 101)
    assert house.pressure.at_mail() == MAIL_LATER
    assert house.pressure.trouble() == f"backlog: 101 wait in {name}"
    house.queue(name, 90)
    assert house.pressure.at_mail() == MAIL_LATER

    house.queue(name, 80)
    assert house.pressure.at_mail() is None


def test_other_queues_may_be_as_long_as_they_like():
    house = House(max_backlog=100)
    house.queue("MailRouted.remote", 1_000_000)

    assert house.pressure.at_mail() is None


def test_it_is_told_once_when_it_begins_and_once_when_it_is_over(house):
    with capture_logs() as logs:
        house.look()
        house.fail(6)
        house.look()
        assert metric("publishing") == 1
        house.pressure.published()
        house.pressure.published()
        house.look()

    assert [(entry["log_level"], entry["event"], entry["cause"]) for entry in logs] == [
        ("warning", "taking no mail", "publishing"),
        ("info", "taking mail again", "publishing"),
    ]
    assert metric("publishing") == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["failed", "worked", "try", "unused"]), st.floats(0, 40)),
        max_size=60,
    )
)
def test_whatever_has_happened_a_mail_may_try_soon(steps):
    breaker, now = Breaker(), 0.0
    for what, pause in steps:
        now += pause
        if what == "failed":
            breaker = breaker.failed(now, PATIENCE)
        elif what == "worked":
            breaker = Breaker()
            assert breaker.lets_in(now)
        elif what == "unused":
            breaker = breaker.unused(now)
        elif breaker.lets_in(now):
            breaker = breaker.trying(now, PATIENCE)
            assert breaker.lets_in(now) is not breaker.is_open
    assert breaker.lets_in(now + PATIENCE.wait)


def test_no_limit_is_never_exceeded():
    assert not is_behind(10**9, 0, was_behind=True)
