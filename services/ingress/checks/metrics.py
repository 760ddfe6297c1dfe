"""What the checks count."""

from functools import cache

from prometheus_client import Counter, Gauge

_CHECKS = Counter(
    "postroom_ingress_checks_total", "Checks of strangers' mail, by outcome.", ["check", "outcome"]
)
DNS_SILENT = Gauge("postroom_ingress_dns_silent", "1 while no name server answers us.")

checks = cache(_CHECKS.labels)
