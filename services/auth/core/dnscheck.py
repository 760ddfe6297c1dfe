"""What DNS should say of a domain of ours, what it says, and what to publish.

Each function looks at one matter of a `Survey`, and returns what it finds. What DNS did not
answer is unknown, and never wrong.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, ip_address
from itertools import chain

from kernel.dkim.tags import BadTagsError, parse_tags
from kernel.mtasts import BadPolicyError, Mode, StsPolicy, parse_policy, policy_id
from services.auth.core.dkim import DkimKey, KeyState, why_not_published
from services.auth.core.survey import Finding, Lookup, Record, State, Survey

_NULL_MX = "."  # RFC 7505 §3
_SPF = re.compile(r"v=spf1( |$)", re.IGNORECASE)  # RFC 7208 §4.5
_ANYBODY = re.compile(r"(^| )\+?all( |$)", re.IGNORECASE)
_POLICIES = ("none", "quarantine", "reject")  # RFC 7489 §6.3
_PASS, _NOT_NOW = "pass", "temperror"


def findings(survey: Survey) -> tuple[Finding, ...]:
    """Return how everything stands, in the order in which one puts it right."""
    return (
        _host(survey),
        *(_reverse(survey, address) for address in survey.server.addresses),
        _mx(survey),
        _spf(survey),
        *_dkim(survey),
        _dmarc(survey),
        _mta_sts(survey),
        *_policy(survey),
        _tls_rpt(survey),
    )


def is_in_order(found: Sequence[Finding]) -> bool:
    """Return whether nothing is missing or wrong, as far as is known."""
    return not any(f.state in (State.MISSING, State.WRONG) for f in found)


def _host(survey: Survey) -> Finding:
    """Look whether our name leads to our addresses, and is no alias (RFC 5321 §2.3.5, §5.1)."""
    check, name = "hostname", survey.server.hostname
    found = _records(survey.server.host)
    missing = [a for a in survey.server.addresses if a not in found]
    publish = tuple(_address_record(name, address) for address in missing)
    if "." not in name:
        return Finding(check, State.WRONG, f"{name} is no whole name: set POSTROOM_HOSTNAME")
    if trouble := _trouble(survey.server.host):
        return Finding(check, State.UNKNOWN, trouble, found)
    if not found:
        return Finding(check, State.MISSING, f"{name} has no address", found, publish)
    if any(look.canonical not in ("", name) for look in survey.server.host):
        return Finding(check, State.WRONG, f"{name} is an alias: give it addresses", found)
    if missing:
        why = f"{name} does not lead to {', '.join(missing)}"
        return Finding(check, State.WRONG, why, found, publish)
    return Finding(check, State.OK, found=found)


def _reverse(survey: Survey, address: str) -> Finding:
    """Look for a name of our address that leads back to it, best the one that we say in EHLO."""
    check, names = f"reverse {address}", survey.server.reverse[address]
    pointer = Record(ip_address(address).reverse_pointer, "PTR", f"{survey.server.hostname}.")
    if names.trouble:
        return Finding(check, State.UNKNOWN, names.trouble)
    if not names.records:
        why = "the address has no name: who lends you the address can give it one"
        return Finding(check, State.MISSING, why, publish=(pointer,))
    leading = [n for n in names.records if address in _records(survey.server.forward.get(n, ()))]
    if survey.server.hostname in leading:
        return Finding(check, State.OK, found=names.records)
    if trouble := _trouble(
        tuple(chain(*(survey.server.forward.get(n, ()) for n in names.records)))
    ):
        return Finding(check, State.UNKNOWN, trouble, names.records)
    if leading:
        why = f"its name is not {survey.server.hostname}, which we say in EHLO"
        return Finding(check, State.ADVICE, why, names.records, (pointer,))
    return Finding(check, State.WRONG, "its name does not lead back", names.records, (pointer,))


def _mx(survey: Survey) -> Finding:
    """Look whether mail for the domain comes to us (RFC 5321 §5.1)."""
    check, found = "mx", survey.zone.mx.records
    publish = (Record(survey.domain, "MX", f"10 {survey.server.hostname}."),)
    if survey.zone.mx.trouble:
        return Finding(check, State.UNKNOWN, survey.zone.mx.trouble)
    hosts = _hosts(survey)
    if not hosts:
        return Finding(check, State.MISSING, "nobody knows where its mail goes", found, publish)
    if hosts == [_NULL_MX]:
        return Finding(check, State.WRONG, "it says that it takes no mail", found, publish)
    if survey.server.hostname not in hosts:
        why = f"its mail goes elsewhere, and not to {survey.server.hostname}"
        return Finding(check, State.WRONG, why, found, publish)
    return Finding(check, State.OK, found=found)


def _hosts(survey: Survey) -> list[str]:
    return [record.partition(" ")[2] for record in survey.zone.mx.records]


def _spf(survey: Survey) -> Finding:
    """Look whether our addresses may send mail of the domain (RFC 7208)."""
    check, found = "spf", tuple(r for r in survey.zone.txt.records if _SPF.match(r))
    if survey.zone.txt.trouble:
        return Finding(check, State.UNKNOWN, survey.zone.txt.trouble)
    if not found:
        fresh = _with_addresses("v=spf1 mx -all", _outside_mx(survey))
        record = (Record(survey.domain, "TXT", fresh),)
        return Finding(check, State.MISSING, "anybody may send in its name", found, record)
    if len(found) > 1:
        return Finding(check, State.WRONG, "there are several, and then none counts", found)
    return _spf_of(survey, found[0])


def _spf_of(survey: Survey, found: str) -> Finding:
    verdicts = survey.server.spf
    left_out = {
        address: said for address, said in verdicts.items() if said not in (_PASS, _NOT_NOW)
    }
    if left_out:
        why = "it says " + ", ".join(f"{said} of {address}" for address, said in left_out.items())
        better = Record(survey.domain, "TXT", _with_addresses(found, [*left_out]))
        return Finding("spf", State.WRONG, why, (found,), (better,))
    if not verdicts:
        why = "our addresses are not known: set POSTROOM_PUBLIC_ADDRESSES"
        return Finding("spf", State.UNKNOWN, why, (found,))
    if _NOT_NOW in verdicts.values():
        return Finding("spf", State.UNKNOWN, "DNS did not answer all that it asks", (found,))
    if _ANYBODY.search(found):
        return Finding("spf", State.ADVICE, "it lets anybody send: end it with -all", (found,))
    return Finding("spf", State.OK, found=(found,))


def _outside_mx(survey: Survey) -> list[str]:
    """Return those of our addresses that ``mx`` does not stand for."""
    named = _records(survey.server.host)
    return [address for address in survey.server.addresses if address not in named]


def _with_addresses(record: str, addresses: Sequence[str]) -> str:
    version, _, rest = record.partition(" ")
    return " ".join(filter(None, [version, *map(_mechanism, addresses), rest]))


def _mechanism(address: str) -> str:
    return f"{'ip6' if _is_ipv6(address) else 'ip4'}:{address}"


def _dkim(survey: Survey) -> Iterator[Finding]:
    """Look whether each key that signs, or is about to, stands in DNS (RFC 6376 §3.6)."""
    if not any(key.state is KeyState.ACTIVE for key, _ in survey.zone.keys):
        yield Finding("dkim", State.ADVICE, "no key signs its mail: make one, and let it sign")
    for key, look in survey.zone.keys:
        if key.state is not KeyState.RETIRED:
            yield _dkim_key(key, look)


def _dkim_key(key: DkimKey, look: Lookup) -> Finding:
    check = f"dkim {key.selector}"
    if look.trouble:
        return Finding(check, State.UNKNOWN, look.trouble)
    why = why_not_published(key, look.records)
    if not why:
        return Finding(check, State.OK, found=look.records)
    publish = (Record(key.record_name, "TXT", key.record),)
    if key.state is KeyState.PREPARED:
        return Finding(check, State.ADVICE, f"before it signs: {why}", look.records, publish)
    state = State.WRONG if look.records else State.MISSING
    return Finding(check, state, why, look.records, publish)


def _dmarc(survey: Survey) -> Finding:
    """Look for the word on mail that only claims to be the domain's (RFC 7489 §6.3)."""
    check = "dmarc"
    for look in survey.zone.dmarc:
        found = tuple(r for r in look.records if _tag(r, "v") == "DMARC1")
        if look.trouble:
            return Finding(check, State.UNKNOWN, look.trouble)
        if found:
            return _dmarc_of(survey, look, found)
    text = f"v=DMARC1; p=none; rua=mailto:postmaster@{survey.domain}"
    publish = (Record(f"_dmarc.{survey.domain}", "TXT", text),)
    why = "big receivers refuse mail of domains that say nothing"
    return Finding(check, State.MISSING, why, publish=publish)


def _dmarc_of(survey: Survey, look: Lookup, found: tuple[str, ...]) -> Finding:
    if len(found) > 1:
        return Finding("dmarc", State.WRONG, "there are several, and then none counts", found)
    inherited = look.name != f"_dmarc.{survey.domain}"
    policy = _tag(found[0], "p")
    if inherited:
        policy = _tag(found[0], "sp") or policy
    if policy.lower() not in _POLICIES:
        return Finding("dmarc", State.WRONG, f"its policy is one of {', '.join(_POLICIES)}", found)
    source = f"as {look.name} says" if inherited else ""
    if policy.lower() == _POLICIES[0]:
        why = "it asks nobody to refuse anything: later say p=quarantine or p=reject"
        return Finding("dmarc", State.ADVICE, why, found)
    return Finding("dmarc", State.OK, source, found)


def _mta_sts(survey: Survey) -> Finding:
    """Look whether the domain wants its mail under TLS, at such servers (RFC 8461 §3.1)."""
    check, found = "mta-sts", survey.zone.sts.records
    if survey.zone.sts.trouble:
        return Finding(check, State.UNKNOWN, survey.zone.sts.trouble)
    if policy_id(found):
        return Finding(check, State.OK, found=found)
    publish = (Record(survey.zone.sts.name, "TXT", f"v=STSv1; id={survey.at:%Y%m%dT%H%M%S}"),)
    if any(_tag(record, "v") == "STSv1" for record in found):
        return Finding(check, State.WRONG, "it is malformed, or there are several", found, publish)
    why = f"senders need not use TLS; with it goes the file that {_policy_url(survey)} shows"
    return Finding(check, State.ADVICE, why, found, publish)


def _policy(survey: Survey) -> Iterator[Finding]:
    """Look whether the policy is to be had, and lets mail come to us (RFC 8461 §3.2, §4.1)."""
    if survey.zone.policy is None:
        return
    check, text = "mta-sts policy", survey.zone.policy.text
    found = tuple(line for line in text.splitlines() if line)
    if survey.zone.policy.trouble:
        yield Finding(check, State.WRONG, f"{_policy_url(survey)}: {survey.zone.policy.trouble}")
        return
    try:
        policy = parse_policy(text)
    except BadPolicyError as error:
        yield Finding(check, State.WRONG, f"it is no policy: {error}", found)
    else:
        yield _judged(survey, policy, found)


def _judged(survey: Survey, policy: StsPolicy, found: tuple[str, ...]) -> Finding:
    check, hosts = "mta-sts policy", {survey.server.hostname, *_hosts(survey)} - {_NULL_MX}
    shut_out = sorted(host for host in hosts if not policy.admits(host))
    if policy.mode is Mode.NONE:
        return Finding(check, State.ADVICE, "its mode is none, as if there were no policy", found)
    if shut_out:
        why = f"it does not name {', '.join(shut_out)}: mail for that server is held back"
        return Finding(check, State.WRONG, why, found)
    if policy.mode is Mode.TESTING:
        return Finding(check, State.ADVICE, "its mode is testing: later say enforce", found)
    return Finding(check, State.OK, found=found)


def _policy_url(survey: Survey) -> str:
    return f"https://mta-sts.{survey.domain}/.well-known/mta-sts.txt"


def _tls_rpt(survey: Survey) -> Finding:
    """Look whether the domain hears of trouble with TLS (RFC 8460 §3)."""
    check, look = "tls-rpt", survey.zone.tlsrpt
    found = tuple(r for r in look.records if _tag(r, "v") == "TLSRPTv1")
    text = f"v=TLSRPTv1; rua=mailto:postmaster@{survey.domain}"
    publish = (Record(look.name, "TXT", text),)
    if look.trouble:
        return Finding(check, State.UNKNOWN, look.trouble)
    if not found:
        why = "nobody tells you when mail for you fails for its TLS"
        return Finding(check, State.ADVICE, why, publish=publish)
    if len(found) > 1 or not _tag(found[0], "rua"):
        why = "there are several, or it names no address"
        return Finding(check, State.WRONG, why, found, publish)
    return Finding(check, State.OK, found=found)


def _tag(record: str, name: str) -> str:
    """Return a tag of a record of ``tag=value`` pairs; empty if it has none."""
    try:
        return parse_tags(record).get(name, "")
    except BadTagsError:
        return ""


def _records(lookups: Sequence[Lookup]) -> tuple[str, ...]:
    return tuple(chain.from_iterable(look.records for look in lookups))


def _trouble(lookups: Sequence[Lookup]) -> str:
    return next((look.trouble for look in lookups if look.trouble), "")


def _address_record(name: str, address: str) -> Record:
    return Record(name, "AAAA" if _is_ipv6(address) else "A", address)


def _is_ipv6(address: str) -> bool:
    return isinstance(ip_address(address), IPv6Address)
