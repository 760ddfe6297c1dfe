"""Metrics that more than one service counts, and how Prometheus reads them all.

A service's own metrics stand with the service. Children of a labelled metric are
looked up once and kept: the look-up costs more than the count.
"""

from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

EVENTS_PUBLISHED = Counter(
    "postroom_events_published_total", "Events the bus has confirmed.", ["event"]
)
EVENTS_HANDLED = Counter(
    "postroom_events_handled_total",
    "Events handled, by outcome: done, failed.",
    ["event", "outcome"],
)
EVENTS_PARKED = Counter("postroom_events_parked_total", "Events put aside as unhandled.", ["event"])


def exposition() -> tuple[bytes, str]:
    """Return all metrics in Prometheus' text format, and its content type."""
    return generate_latest(), CONTENT_TYPE_LATEST
