"""What ingress counts, for each listener."""

from functools import cache

from prometheus_client import Counter, Gauge

_CONNECTIONS = Gauge("postroom_ingress_connections", "Clients that are connected.", ["listener"])
_TURNED_AWAY = Counter(
    "postroom_ingress_turned_away_total", "Connections refused before a greeting.", ["listener"]
)
_MESSAGES = Counter(
    "postroom_ingress_messages_total",
    "Messages that came in full, by outcome: accepted, deferred, refused.",
    ["listener", "outcome"],
)
_REFUSED_RECIPIENTS = Counter(
    "postroom_ingress_refused_recipients_total", "Recipients that were refused.", ["listener"]
)
_PRESSURE = Gauge(
    "postroom_ingress_pressure", "Whether no mail is taken for this reason: 1 or 0.", ["cause"]
)
_LIMITED = Counter(
    "postroom_ingress_limited_total", "How often a limit was met.", ["listener", "limit"]
)
octets_held = Gauge(
    "postroom_ingress_octets_held", "Octets in memory of messages that are coming in."
)

# To look a child up costs more than to count: each is looked up once.
connections = cache(_CONNECTIONS.labels)
turned_away = cache(_TURNED_AWAY.labels)
messages = cache(_MESSAGES.labels)
limited = cache(_LIMITED.labels)
refused_recipients = cache(_REFUSED_RECIPIENTS.labels)
pressure = cache(_PRESSURE.labels)
