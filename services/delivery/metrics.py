"""What delivery counts."""

from prometheus_client import Counter

from kernel.model.events import OUTCOMES, Stage

RECIPIENTS = Counter(
    "postroom_delivery_recipients_total", "Recipients, by what came of an attempt.", ["stage"]
)
_by_stage = {stage: RECIPIENTS.labels(stage.value) for stage in (*OUTCOMES, Stage.EXPANDED)}


LOGINS_REFUSED = Counter(
    "postroom_delivery_logins_refused_total", "Connections to smart hosts that took no login."
)


def count(stage: Stage) -> None:
    """Count a recipient whose attempt ended in ``stage``."""
    _by_stage[stage].inc()
