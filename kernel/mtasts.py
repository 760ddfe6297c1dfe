"""MTA-STS: what a domain says, over HTTPS, of the servers that take its mail (RFC 8461)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from kernel.hostnames import covers

LARGEST = 64 * 1024  # octets of a policy: more is none (RFC 8461 §3.3)
LONGEST = 31_557_600  # seconds: a year (§3.2)
MOST_HOSTS = 100

_VERSION = "STSv1"
_ID = re.compile(r"\s*id\s*=\s*([A-Za-z0-9]{1,32})\s*")  # §3.1
_AGE = re.compile(r"[0-9]{1,10}")  # §3.2
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


class BadPolicyError(ValueError):
    """The text is no policy. Says why."""


class Mode(StrEnum):
    """What becomes of mail for servers that do not keep to the policy (RFC 8461 §5)."""

    ENFORCE = "enforce"  # they get none
    TESTING = "testing"  # they get it, and it is noted
    NONE = "none"  # the domain has no policy any more


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """Which servers may take a domain's mail, and for how long this may be remembered."""

    mode: Mode
    hosts: tuple[str, ...]
    max_age: timedelta

    def admits(self, host: str) -> bool:
        """Return whether mail may go to ``host`` (RFC 8461 §4.1)."""
        return any(covers(pattern, host) for pattern in self.hosts)

    @property
    def lines(self) -> tuple[str, ...]:
        """The policy as its domain writes it."""
        hosts = (f"mx: {host}" for host in self.hosts)
        age = int(self.max_age.total_seconds())
        return (f"version: {_VERSION}", f"mode: {self.mode.value}", *hosts, f"max_age: {age}")

    @property
    def is_enforced(self) -> bool:
        """Whether others get no mail."""
        return self.mode is Mode.ENFORCE


def policy_id(records: Sequence[str]) -> str | None:
    """Return what a domain's TXT records call its policy, if they say that there is one.

    More than one that says so is none (RFC 8461 §3.1).
    """
    ours = [record for record in records if record.partition(";")[0].rstrip() == f"v={_VERSION}"]
    fields = ours[0].split(";")[1:] if len(ours) == 1 else []
    return next((match[1] for match in map(_ID.fullmatch, fields) if match), None)


def parse_policy(text: str) -> StsPolicy:
    """Return the policy that ``text`` spells, or raise `BadPolicyError` (RFC 8461 §3.2).

    Of a key that comes twice the first counts; keys that nobody knows do not.
    """
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), []).append(value.strip())
    return _policy(
        fields.get("version", [""])[0],
        fields.get("mode", [""])[0],
        fields.get("max_age", [""])[0],
        [host.lower().rstrip(".") for host in fields.get("mx", [])],
    )


def _policy(version: str, mode: str, age: str, hosts: Sequence[str]) -> StsPolicy:
    if version != _VERSION:
        raise BadPolicyError(f"its version is not {_VERSION}")
    if mode not in tuple(Mode):
        raise BadPolicyError("it names no mode")
    if not _AGE.fullmatch(age):
        raise BadPolicyError("it has no max_age")
    if len(hosts) > MOST_HOSTS or not all(map(_HOST.fullmatch, hosts)):
        raise BadPolicyError("its hosts are malformed, or too many")
    if not hosts and mode != Mode.NONE:
        raise BadPolicyError("it names no host")
    return StsPolicy(Mode(mode), tuple(hosts), timedelta(seconds=min(int(age), LONGEST)))
