"""Greylisting: who has not been heard of before shall try again later (RFC 6647).

What is remembered is the triplet of the client's network, the sender and the recipient. The
null sender is a sender like any other. A network from which several mails came back is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_network

from kernel.model.address import Address
from kernel.model.questions import Acquaintance
from services.auth.core.lan import parse_client

COME_BACK_WITHIN = timedelta(days=1)
MEMORY = timedelta(days=36)
"""More than a month, for what is sent monthly; RFC 6647 §5 wants a week at least."""
RENEW_EVERY = timedelta(days=1)
"""What was used since is not worth a write."""
ENOUGH = 5
"""So many mails that came back make a network known."""
_PREFIXES = {4: 24, 6: 64}
"""Large senders try again from another address nearby."""

Digest = str


@dataclass(frozen=True, slots=True)
class Trace:
    """When something was first and last heard of, and how often it has been let through.

    That of a network counts the triplets that it was let through with.
    """

    first: datetime
    last: datetime
    passed: int = 0

    def is_forgotten(self, now: datetime) -> bool:
        """Whether it is so long ago that it no longer counts."""
        if self.passed:
            return now - self.last >= MEMORY
        return now - self.first >= COME_BACK_WITHIN


@dataclass(frozen=True, slots=True)
class Mail:
    """The digests of a message: of the client's network, and of the triplets."""

    network: Digest
    triplets: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Who it is that sends a message, and what is to be remembered of it."""

    acquaintance: Acquaintance
    changes: Mapping[Digest, Trace]


def mail_of(client: str, sender: Address | None, recipients: Sequence[Address]) -> Mail:
    """Return the digests of a message; how its addresses are capitalised does not matter."""
    network = _network_of(client)
    triplets = (_digest(network, str(sender or ""), str(recipient)) for recipient in recipients)
    return Mail(_digest(network), tuple(dict.fromkeys(triplets)))


def judge(mail: Mail, known: Mapping[Digest, Trace], delay: timedelta, now: datetime) -> Judgement:
    """Return what becomes of a message: it passes if all of its triplets do.

    It counts once for its network, however many recipients it has.
    """
    traces = {one: trace for one, trace in known.items() if not trace.is_forgotten(now)}
    network = traces.get(mail.network)
    if network is not None and network.passed >= ENOUGH:
        return Judgement(Acquaintance.KNOWN, _renewed(mail.network, network, now))

    strangest = Acquaintance.KNOWN
    changes: dict[Digest, Trace] = {}
    for triplet in mail.triplets:
        trace = traces.get(triplet)
        acquaintance = _acquaintance(trace, delay, now)
        strangest = min(strangest, acquaintance, key=_STRANGEST_FIRST.index)
        if trace is None:
            changes[triplet] = Trace(now, now)
        elif acquaintance is Acquaintance.BACK:
            changes[triplet] = replace(trace, last=now, passed=1)
            changes[mail.network] = _one_more(network, now)
        elif acquaintance is Acquaintance.KNOWN:
            changes |= _renewed(triplet, trace, now)
    return Judgement(strangest, changes)


_STRANGEST_FIRST = tuple(Acquaintance)


def _acquaintance(trace: Trace | None, delay: timedelta, now: datetime) -> Acquaintance:
    if trace is None:
        return Acquaintance.NEW
    if trace.passed:
        return Acquaintance.KNOWN
    return Acquaintance.EARLY if now - trace.first < delay else Acquaintance.BACK


def _one_more(network: Trace | None, now: datetime) -> Trace:
    if network is None:
        return Trace(now, now, 1)
    return replace(network, last=now, passed=network.passed + 1)


def _renewed(digest: Digest, trace: Trace, now: datetime) -> Mapping[Digest, Trace]:
    return {digest: replace(trace, last=now)} if now - trace.last >= RENEW_EVERY else {}


def _network_of(text: str) -> str:
    client = parse_client(text)
    if client is None:
        return text
    return str(ip_network((client, _PREFIXES[client.version]), strict=False))


def _digest(*parts: str) -> Digest:
    return sha256("\0".join(parts).lower().encode()).hexdigest()
