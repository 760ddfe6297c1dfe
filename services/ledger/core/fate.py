"""What became of a recipient, from traces that come late, twice and in any order."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kernel.model.envelope import MailId
from kernel.model.events import Stage
from kernel.model.reply import Reply

ENDED = 1_000_000_000
"""Steps of this weight and more are endings."""

_ATTEMPT = 10
_MAX_ATTEMPTS = 1_000_000
_ORDER = {
    Stage.ACCEPTED: 0,
    Stage.ROUTED: 1,
    Stage.DEFERRED: 2,
    Stage.EXPANDED: 0,
    Stage.CANCELLED: 1,
    Stage.EXPIRED: 2,
    Stage.FAILED: 3,
    Stage.RELAYED: 4,
    Stage.DELIVERED: 5,
}


@dataclass(frozen=True, slots=True)
class Step:
    """An entry of the timeline. (mail, recipient, stage, cause) is its name."""

    mail: MailId
    recipient: str
    stage: Stage
    cause: str
    at: datetime
    detail: str = ""
    reply: Reply | None = None

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What twins of this step are recognised by."""
        return (self.mail, self.recipient, self.stage, self.cause)


def weight(stage: Stage, cause: str) -> int:
    """Return how much a step says about where its recipient stands: the heaviest is the truth.

    An ending outweighs all that is on the way, and there a later attempt an
    earlier one. Of two endings the one in which the mail arrived is believed: a
    twin of an attempt may fail where the first one did not.
    """
    attempt = attempt_of(cause)
    if stage.is_final:
        return ENDED + _ORDER[stage] * _MAX_ATTEMPTS + attempt
    return attempt * _ATTEMPT + _ORDER[stage]


def attempt_of(cause: str) -> int:
    """Return the number at the end of a leg's id; 0 for the id of a mail."""
    _, slash, number = cause.rpartition("/")
    return int(number) if slash and number.isdecimal() else 0


def outdoes(step: Step, other: Step) -> bool:
    """Whether ``step`` rather than ``other`` is where the recipient stands."""
    mine, its = weight(step.stage, step.cause), weight(other.stage, other.cause)
    return mine > its or (mine == its and step.at < other.at)


def fate(steps: Iterable[Step]) -> Step:
    """Return where the recipient of ``steps`` stands after all of them."""
    last: Step | None = None
    for step in steps:
        if last is None or outdoes(step, last):
            last = step
    if last is None:
        raise ValueError("there is no fate without a step")
    return last


@dataclass(frozen=True, slots=True)
class Balance:
    """How many recipients were accepted, have not ended, and wait.

    ``silent`` are those of whom nobody has spoken for long, though they do not
    wait: the drift, which should be nought.
    """

    accepted: int
    open: int
    waiting: int
    silent: int = 0

    @property
    def ended(self) -> int:
        """How many have come to an end."""
        return self.accepted - self.open
