"""`postroom selftest`: whether strangers can relay, found out by trying."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address

from kernel.model.reply import Reply
from postroom.client import Api, Item, auth
from postroom.errors import UnreachableError
from postroom.settings import CommandSettings
from postroom.show import AsJson, Words, say, show, show_json
from services.ingress.adapters.visiting import (
    Meeting,
    NotReachedError,
    Way,
    meet,
    replies_to,
    ways_to,
)
from services.ingress.core.grammar import parse_mail, parse_rcpt
from services.ingress.core.probes import HELO, LOOPBACK, STRANGER, VICTIM, Names, Probe, probes
from services.ingress.core.selftest import STRANGERS, Finding, Verdict, relayed, reply_of

COLUMNS = {
    "listener": "LISTENER",
    "form": "FORM",
    "mail_from": "MAIL FROM",
    "rcpt_to": "RCPT TO",
    "reply": "REPLY",
    "rule": "RULE",
    "verdict": "VERDICT",
}
OPEN = 1
"""The exit code that says: strangers can relay."""
_IMPLICIT = "implicit"
_WIDTH = 48


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of a listener, and how we know."""

    listener: str
    how: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Oracle:
    """Knows what auth makes of an envelope that comes to a listener."""

    api: Api
    listener: str
    domain: str

    def names(self, hostname: str, address: str) -> Names:
        """Return how strangers know us; who did not tell its name goes by its domain."""
        return Names(self.domain, hostname or self.domain, address)

    async def has_in_lan(self, client: str) -> bool:
        """Return whether a client is on the LAN."""
        said = await self._explain(client, STRANGER, VICTIM)
        return bool(said["facts"]["in_lan"])

    async def finding(self, client: str, probe: Probe) -> Finding:
        """Return what becomes of a probe, read and decided as ingress does it."""
        mail = parse_mail(f"FROM:{probe.sender}", extended=True)
        if isinstance(mail, Reply):
            return Finding(probe, mail)
        rcpt = parse_rcpt(
            f"TO:{probe.recipient}", extended=True, smtputf8=False, domain=self.domain
        )
        if isinstance(rcpt, Reply):
            return Finding(probe, rcpt)
        said = await self._explain(client, str(mail.sender or ""), str(rcpt.address))
        return Finding(probe, reply_of(said["reply"]), said["rule"])

    async def _explain(self, client: str, sender: str, recipient: str) -> Item:
        question = {
            "listener": self.listener,
            "client": client,
            "helo": HELO,
            "sender": sender or None,
            "recipient": recipient,
        }
        return await self.api.post("v1/explain", body=question)


async def selftest(
    *,
    listener: Words = (),
    smtp: str = "",
    source: str = "",
    as_json: AsJson = False,
) -> int:
    """Try everything that open relays fall for; fail if anything is relayed.

    Nothing is sent: every probe ends after RCPT. Where we can only come from an address on
    the LAN, auth is asked what would become of a stranger.

    Parameters
    ----------
    listener
        The listeners to test; all if not given.
    smtp
        HOST:PORT where the listener is reached, if not here.
    source
        Our address to come from: one that is not on the LAN.

    """
    places = _places(tuple(listener), smtp)
    async with auth() as api:
        tested = [await _test(api, name, listen, source) for name, listen in places.items()]
    _show(tested, as_json=as_json)
    verdicts = {finding.verdict for test in tested for finding in test.findings}
    if Verdict.UNKNOWN in verdicts and Verdict.RELAYED not in verdicts:
        raise UnreachableError("some probes got no answer: nobody knows what becomes of them")
    return OPEN if Verdict.RELAYED in verdicts else 0


def _places(names: tuple[str, ...], smtp: str) -> dict[str, str]:
    """Return where to find each listener that is to be tested."""
    if smtp:
        if len(names) > 1:
            raise ValueError("--smtp says where one listener is: name that one")
        return {names[0] if names else "mx": smtp}
    known = CommandSettings().listeners
    if missing := set(names) - known.keys():
        raise ValueError(f"nothing listens here as {', '.join(sorted(missing))}: use --smtp")
    return {name: known[name] for name in names or known}


async def _test(api: Api, name: str, listen: str, source: str) -> Tested:
    implicit_tls = (await api.get("v1/listeners", name))["tls"] == _IMPLICIT
    oracle = Oracle(api, name, await _our_domain(api))
    met = None
    for way in ways_to(listen, source, implicit_tls=implicit_tls):
        with suppress(NotReachedError):
            met = await meet(way)
            if not await oracle.has_in_lan(met.source):
                return await _try(oracle, way, met)
    if met is None:
        raise UnreachableError(f"nobody answers at {listen}, where {name} should listen")
    return await _ask(oracle, met)


async def _try(oracle: Oracle, way: Way, met: Meeting) -> Tested:
    """Say the probes over SMTP; the oracle names the rule by which one was taken."""
    trying = probes(oracle.names(met.name, _address(way)))
    replies = await replies_to(way, trying, set())
    findings = [Finding(*pair) for pair in zip(trying, replies, strict=True)]
    findings = [
        replace(found, rule=(await oracle.finding(met.source, found.probe)).rule)
        if found.reply.is_positive
        else found
        for found in findings
    ]
    return Tested(oracle.listener, f"over SMTP from {met.source} to {way}", findings)


async def _ask(oracle: Oracle, met: Meeting) -> Tested:
    """Ask what would become of the probes, if somebody from outside the LAN came."""
    for stranger in STRANGERS:
        if not await oracle.has_in_lan(stranger):
            trying = probes(oracle.names(met.name, LOOPBACK))
            findings = [await oracle.finding(stranger, probe) for probe in trying]
            how = f"from here it sees {met.source}, which is on the LAN; asked about {stranger}"
            return Tested(oracle.listener, how, findings)
    raise ValueError("every address that is kept for documentation is on the LAN: use --source")


async def _our_domain(api: Api) -> str:
    domains = await api.every("v1/domains")
    return next(str(domain["name"]) for domain in domains if domain["primary"])


def _address(way: Way) -> str:
    """Return the address that answers, if we know it by its number."""
    try:
        return str(ip_address(way.host))
    except ValueError:
        return LOOPBACK


def _show(tested: Sequence[Tested], *, as_json: bool) -> None:
    found = {test.listener: relayed(test.findings) for test in tested}
    rows = [_row(test.listener, finding) for test in tested for finding in test.findings]
    if as_json:
        ways = [{"listener": test.listener, "tested": test.how} for test in tested]
        show_json({"listeners": ways, "findings": rows})
        return
    show(rows, COLUMNS, as_json=False, spoken=_short, alarms=("relayed",))
    for test in tested:
        count = len(found[test.listener])
        outcome = f"relays {count} for strangers" if count else "relays nothing for strangers"
        say(f"{test.listener}: {outcome}, of {len(test.findings)} ({test.how})", alarm=bool(count))


def _row(listener: str, finding: Finding) -> Item:
    return {
        "listener": listener,
        "form": finding.probe.form,
        "mail_from": finding.probe.sender,
        "rcpt_to": finding.probe.recipient,
        "reply": str(finding.reply),
        "rule": finding.rule,
        "verdict": finding.verdict.value,
        "relayed": finding.verdict is Verdict.RELAYED,
    }


def _short(row: Item) -> Item:
    """Return what fits a line."""
    return {k: f"{v[:_WIDTH]}…" if len(str(v)) > _WIDTH else v for k, v in row.items()}
