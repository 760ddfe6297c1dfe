"""When a client has had time enough."""

import pytest

from services.ingress.core.watch import Overdue, Phase, Times, Watch

TIMES = Times(idle=300, deaf=60, session=10_000, octets=5_000)


@pytest.mark.parametrize(
    ("phase", "after", "overdue"),
    [
        (Phase.COMMAND, 299, None),
        (Phase.COMMAND, 300, Overdue.IDLE),
        (Phase.CONTENT, 299, None),
        (Phase.CONTENT, 300, Overdue.IDLE),
        (Phase.DEAF, 59, None),
        (Phase.DEAF, 60, Overdue.DEAF),
        (Phase.OURS, 9_999, None),
    ],
)
def test_each_phase_has_its_time(phase, after, overdue):
    watch = Watch(0)
    assert watch.look(phase, 0, TIMES) is None

    assert watch.look(phase, after, TIMES) is overdue


def test_an_answered_command_starts_the_time_anew_and_half_a_command_does_not():
    watch = Watch(0)
    watch.command()

    assert watch.look(Phase.COMMAND, 200, TIMES) is None
    assert watch.look(Phase.COMMAND, 499, TIMES) is None
    assert watch.look(Phase.COMMAND, 500, TIMES) is Overdue.IDLE


def test_a_message_that_grows_may_take_long():
    watch = Watch(0)
    for now in range(0, 6_000, 5):
        watch.content(100)
        assert watch.look(Phase.CONTENT, now, TIMES) is None


def test_a_message_that_hardly_grows_ends():
    watch = Watch(0)
    looks = []
    for now in range(0, 305, 5):
        watch.content(50)
        looks.append(watch.look(Phase.CONTENT, now, TIMES))

    assert looks[:-1] == [None] * 60
    assert looks[-1] is Overdue.SLOW


def test_our_own_time_counts_for_nothing():
    watch = Watch(0)
    watch.look(Phase.CONTENT, 0, TIMES)
    watch.look(Phase.CONTENT, 290, TIMES)
    watch.look(Phase.OURS, 295, TIMES)
    watch.look(Phase.OURS, 5_000, TIMES)

    assert watch.look(Phase.COMMAND, 5_299, TIMES) is None


def test_a_session_ends_between_messages_and_at_last_within_one():
    watch = Watch(0)
    watch.look(Phase.CONTENT, 9_999, TIMES)
    watch.content(5_000)
    assert watch.look(Phase.CONTENT, 10_100, TIMES) is None
    watch.command()

    assert watch.look(Phase.COMMAND, 10_200, TIMES) is Overdue.LONG
    assert watch.look(Phase.CONTENT, 20_000, TIMES) is Overdue.LONG
