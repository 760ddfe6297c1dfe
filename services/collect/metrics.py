"""What collect counts, for each listener."""

from functools import cache

from prometheus_client import Counter, Gauge

_CONNECTIONS = Gauge("postroom_collect_connections", "Clients that are connected.", ["listener"])
_TURNED_AWAY = Counter(
    "postroom_collect_turned_away_total", "Connections refused for their number.", ["listener"]
)
_LOGINS = Counter(
    "postroom_collect_logins_total",
    "Logins, by outcome: granted, refused, locked, unavailable, in use.",
    ["listener", "outcome"],
)
_RETRIEVED = Counter(
    "postroom_collect_retrieved_total", "Messages that clients got in full.", ["listener"]
)
_OCTETS = Counter("postroom_collect_octets_total", "Octets of messages sent.", ["listener"])
_DELETED = Counter(
    "postroom_collect_deleted_total", "Messages that clients have deleted.", ["listener"]
)

# To look a child up costs more than to count: each is looked up once.
connections = cache(_CONNECTIONS.labels)
turned_away = cache(_TURNED_AWAY.labels)
logins = cache(_LOGINS.labels)
retrieved = cache(_RETRIEVED.labels)
octets = cache(_OCTETS.labels)
deleted = cache(_DELETED.labels)
