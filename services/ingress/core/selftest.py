"""Self-test: what becomes of a probe, decided by the very session that serves strangers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from kernel.model.questions import AdmissionAnswer, RelayAnswer, RelayQuestion
from kernel.model.reply import Reply
from services.ingress.core.doorway import Doorway
from services.ingress.core.effects import Admit, Decide, Effect, Say, Tls
from services.ingress.core.probes import HELO, Probe
from services.ingress.core.session import Session

STRANGERS = ("203.0.113.25", "198.51.100.25", "192.0.2.25", "2001:db8:25::25")
"""Addresses that no client can have (RFC 5737, RFC 3849), unless somebody has them on the LAN."""

_BLOCKING = frozenset({"", "no-access", "blocked-address"})
"""Rules that speak before all others; none, where the session refuses by itself."""
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3}) ")  # RFC 3463 §2
_PATIENCE = 1_000_000
_TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")


class Verdict(StrEnum):
    """What became of a probe."""

    REFUSED = "refused"
    LOCAL = "local"  # taken, for a mailbox of ours
    RELAYED = "relayed"
    UNKNOWN = "unknown"  # nobody could tell


@dataclass(frozen=True, slots=True)
class Finding:
    """The last word on a probe, and the rule that spoke; none where the grammar refused."""

    probe: Probe
    reply: Reply
    rule: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whoever is taken is relayed to, unless a rule that may take them has spoken."""
        if self.reply.is_transient:
            return Verdict.UNKNOWN
        if self.reply.is_permanent:
            return Verdict.REFUSED
        return Verdict.LOCAL if self.rule in self.probe.allowed else Verdict.RELAYED


def relayed(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that should not be."""
    return tuple(finding for finding in findings if finding.verdict is Verdict.RELAYED)


def is_blocked(findings: Iterable[Finding]) -> bool:
    """Whether nobody who comes from there could tell anything: no other rule was asked."""
    return all(finding.rule in _BLOCKING for finding in findings)


class Trial:
    """One probe on its way through a session of its own, under TLS.

    ``questions`` are what auth has to decide; there are none if the session refuses by itself.
    It never says DATA.
    """

    def __init__(
        self, probe: Probe, doorway: Doorway, client: str, admission: AdmissionAnswer
    ) -> None:
        self.questions: tuple[RelayQuestion, ...] = ()
        self._probe = probe
        self._admission = admission
        self._reply = Reply(220, "", "")
        self._session = Session(calm(doorway), client, _TLS)
        self._act(self._session.greet())
        for command in (f"EHLO {HELO}", *probe.commands):
            if self._reply.is_positive:
                self._act(self._session.receive(f"{command}\r\n".encode()))

    def judged(self, answers: Sequence[RelayAnswer]) -> Finding:
        """Return what comes of it, now that ``questions`` are answered."""
        if self.questions:
            self._act(self._session.decided(answers))
        return Finding(self._probe, self._reply, next((a.rule for a in answers), ""))

    def _act(self, wanted: Sequence[Effect]) -> None:
        for effect in wanted:
            match effect:
                case Say(octets):
                    self._reply = reply_of(octets.decode())
                case Admit():
                    self._act(self._session.admitted(self._admission))
                case Decide(questions):
                    self.questions = tuple(replace(each, trial=True) for each in questions)
                case _:
                    pass


def reply_of(text: str) -> Reply:
    """Return the reply that a client reads from these lines (RFC 5321 §4.2, RFC 2034 §4)."""
    last = text.splitlines()[-1]
    code, words = int(last[:3]), last[4:]
    status = _STATUS.match(words)
    return Reply(code, status[1], words[status.end() :]) if status else Reply(code, "", words)


def calm(doorway: Doorway) -> Doorway:
    """Return a doorway that is never full and never loses its patience."""
    return replace(
        doorway,
        listener=replace(doorway.listener, greet_pause=0),
        new_id=lambda: "self-test",
        at_door=lambda: None,
        at_mail=lambda: None,
        at_data=lambda: None,
        max_errors=_PATIENCE,
        max_unknown=_PATIENCE,
    )
