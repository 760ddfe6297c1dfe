"""What the router counts."""

from prometheus_client import Counter, Gauge

from kernel.model.events import Local, Nowhere, Remote

_LEGS = Counter("postroom_router_legs_total", "Legs made, by kind of hop.", ["hop"])
LEGS = {
    Local: _LEGS.labels("local"),
    Remote: _LEGS.labels("remote"),
    Nowhere: _LEGS.labels("nowhere"),
}
ROUTED_AGAIN = Counter(
    "postroom_router_again_total", "Messages that may have been routed before, and were again."
)
WAITING_FOR_AUTH = Gauge(
    "postroom_router_waiting_for_auth", "Messages in hand that wait for auth to come back."
)
