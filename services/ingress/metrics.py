"""What ingress counts."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge("postroom_ingress_connections", "Clients that are connected.", ["listener"])
TURNED_AWAY = Counter(
    "postroom_ingress_turned_away_total", "Connections refused with 421.", ["listener"]
)
MESSAGES = Counter(
    "postroom_ingress_messages_total",
    "Messages that came in full, by outcome: accepted, deferred.",
    ["listener", "outcome"],
)
REFUSED_RECIPIENTS = Counter(
    "postroom_ingress_refused_recipients_total", "Recipients that were refused.", ["listener"]
)
