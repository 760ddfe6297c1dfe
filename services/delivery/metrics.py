"""What delivery counts."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from kernel.model.events import OUTCOMES, Stage

RECIPIENTS = Counter(
    "postroom_delivery_recipients_total", "Recipients, by what came of an attempt.", ["stage"]
)
PUT_OFF = Counter(
    "postroom_delivery_put_off_total", "Legs that went back to wait untried, by why.", ["why"]
)
SUSPENDED = Gauge("postroom_delivery_sites_suspended", "Sites that rest because they are down.")
WORKERS = Gauge("postroom_delivery_workers", "Workers that carry remote legs, as this one sees it.")
CONNECTIONS = Gauge("postroom_delivery_connections", "Conversations with remote servers now.")
BUSIEST = Gauge(
    "postroom_delivery_site_connections", "Conversations now with the ten busiest sites.", ["site"]
)
SHOWN, LONGEST_NAME = 10, 100
LOGINS_REFUSED = Counter(
    "postroom_delivery_logins_refused_total", "Connections to smart hosts that took no login."
)
SIGNATURES = Counter(
    "postroom_delivery_signatures_total",
    "Signatures on mail that leaves us, by kind (dkim, arc; any) and outcome (made, failed).",
    ["kind", "outcome"],
)
_by_stage = {stage: RECIPIENTS.labels(stage.value) for stage in (*OUTCOMES, Stage.EXPANDED)}


def count(stage: Stage) -> None:
    """Count a recipient whose attempt ended in ``stage``."""
    _by_stage[stage].inc()


def show_sites(loads: Mapping[str, int]) -> None:
    """Show the busiest of ``loads``, conversations by site: a few, however many there are."""
    CONNECTIONS.set(sum(loads.values()))
    BUSIEST.clear()
    for site in sorted(loads, key=lambda name: -loads[name])[:SHOWN]:
        BUSIEST.labels(site[:LONGEST_NAME]).set(loads[site])


def count_signature(kind: str, *, made: bool) -> None:
    """Count a signature of ``kind``, ``made`` or not."""
    SIGNATURES.labels(kind, "made" if made else "failed").inc()
