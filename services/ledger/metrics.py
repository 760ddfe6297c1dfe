"""What the ledger counts. Of recipients and legs it tells how many there are in the database."""

from prometheus_client import Counter, Gauge

OPEN = Gauge("postroom_ledger_open_recipients", "Recipients whose mail has not ended.")
WAITING = Gauge("postroom_ledger_waiting_legs", "Legs that wait for their time.")
DRIFT = Gauge(
    "postroom_ledger_drift",
    "Recipients that neither ended nor wait, and of whom nobody has spoken for long.",
)
QUEUE_READY = Gauge("postroom_queue_ready", "Events that wait for a consumer.", ["queue"])
TRACES = Counter("postroom_ledger_traces_total", "Traces kept, twins included.")
RELEASED = Counter("postroom_ledger_released_total", "Legs that were due and were published.")
SERVED = Counter(
    "postroom_ledger_served_total", "Recipients of legs in doubt who turned out to be served."
)
BLOBS_DELETED = Counter("postroom_ledger_blobs_deleted_total", "Contents of ended mail deleted.")
