"""How many connections a site gets now, by what has come of those before.

The feedback is that of Postfix's scheduler (its SCHEDULER_README): each success adds a part of
one connection, so that as many successes as there are connections add a whole one; failures take
away likewise. Nothing but a failure to get through to the site counts as one: a server that
refuses a recipient is well.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from kernel.model.reply import Reply

INITIAL = 5
"""How many connections a site gets of which we know nothing."""
_NEARLY = 1e-9
_CLOSING = 421
_OF_OUR_MAKING = ("4.7.4", "4.7.5", "4.7.8")  # TLS and login: our demands, not their state


class Outcome(StrEnum):
    """What a connection to a site came to."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Throttle:
    """The window is how many connections there may be; what lies between two is kept beside it.

    ``failed_cohorts`` counts failures in a row, in whole windows.
    """

    window: int = INITIAL
    success: float = 0.0
    failure: float = 0.0
    failed_cohorts: float = 0.0

    def is_dead(self, cohorts: float) -> bool:
        """Return whether so many windows in a row were nothing but failures."""
        return self.failed_cohorts >= cohorts - _NEARLY


def outcome_of(failure: Reply) -> Outcome | None:
    """Return what a connection that ended with ``failure`` says of its site, if anything.

    A refusal for good is an answer. That we ask for more TLS than there is concerns us.
    """
    if failure.is_permanent:
        return Outcome.SUCCESS
    if failure.code != _CLOSING and failure.status in _OF_OUR_MAKING:
        return None
    return Outcome.FAILURE


def feedback(before: Throttle, outcome: Outcome, ceiling: int, busy: int) -> Throttle:
    """Return the state after ``outcome``; the window stays between 1 and ``ceiling``.

    It grows while it is used: never to more than `INITIAL` above those ``busy`` now.
    """
    ceiling = max(1, ceiling)
    within = replace(before, window=min(before.window, ceiling))
    if outcome is Outcome.SUCCESS:
        return _grown(replace(within, failed_cohorts=0.0), ceiling, busy)
    return _shrunk(within)


def _grown(state: Throttle, ceiling: int, busy: int) -> Throttle:
    if state.window >= min(ceiling, busy + INITIAL):
        return state
    part = 1 / state.window
    success = state.success + part
    if success + part / 2 < 1:
        return replace(state, success=success)
    return replace(state, window=state.window + 1, success=success - 1, failure=0.0)


def _shrunk(state: Throttle) -> Throttle:
    part = 1 / state.window
    failure = state.failure - part
    cohorts = state.failed_cohorts + part
    if failure - part / 2 >= 0:
        return replace(state, failure=failure, failed_cohorts=cohorts)
    window = max(1, state.window - 1)
    return Throttle(window, 0.0, failure + 1, cohorts)
