"""Probes: the envelopes by which open relays are found.

Every name in them that is not ours is reserved (RFC 2606, RFC 5737, RFC 3849): even if such
a mail were taken, nobody would ever receive it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kernel.model.address import BadAddressError, parse_domain

HELO = "stranger.example"
STRANGER = "stranger@stranger.example"
ELSEWHERE = "relay-test.invalid"
VICTIM = f"victim@{ELSEWHERE}"
LOOPBACK = "127.0.0.1"

LOCAL, ALWAYS_RELAY_RECIPIENT = "local", "always-relay-recipient"
"""Names of rules."""


@dataclass(frozen=True, slots=True)
class Names:
    """What everybody can know of us: a domain, our name in SMTP, the address that answers."""

    domain: str
    hostname: str
    address: str = LOOPBACK

    @property
    def literal(self) -> str:
        """The address, as it stands in a mail address (RFC 5321 §4.1.3)."""
        return f"[IPv6:{self.address}]" if ":" in self.address else f"[{self.address}]"

    def fill(self, template: str) -> str:
        """Return ``template`` with our names and those of a stranger in it."""
        return template.format(
            domain=_in_ascii(self.domain),
            mixed=_mixed(_in_ascii(self.domain)),
            name=_in_ascii(self.hostname),
            literal=self.literal,
            stranger=STRANGER,
            victim=VICTIM,
            elsewhere=ELSEWHERE,
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """An envelope, as it is said: what follows ``MAIL FROM:`` and ``RCPT TO:``.

    Whoever is taken by a rule in ``allowed`` is not relayed to.
    """

    form: str
    sender: str
    recipient: str
    allowed: frozenset[str] = frozenset({LOCAL})

    @property
    def commands(self) -> tuple[str, str]:
        """MAIL and RCPT, without their line ends."""
        return f"MAIL FROM:{self.sender}", f"RCPT TO:{self.recipient}"


def probes(ours: Names) -> tuple[Probe, ...]:
    """Return every form that has ever made somebody an open relay."""
    return tuple(_probes(ours))


def _probes(ours: Names) -> Iterator[Probe]:
    for form, sender in _SENDERS.items():
        yield Probe(form, f"<{ours.fill(sender)}>", f"<{VICTIM}>")
    for form, recipient in _RECIPIENTS.items():
        yield Probe(form, f"<{STRANGER}>", f"<{ours.fill(recipient)}>")
    for form, path in _PATHS.items():
        yield Probe(form, f"<{STRANGER}>", ours.fill(path))
    for form, recipient in _WITHIN_OURS.items():
        backed_up = frozenset({LOCAL, ALWAYS_RELAY_RECIPIENT})
        yield Probe(form, f"<{STRANGER}>", f"<{ours.fill(recipient)}>", backed_up)


def _in_ascii(name: str) -> str:
    """Return a name as everybody may say it; one that is none stays what it is."""
    try:
        return parse_domain(name)
    except BadAddressError:
        return name


def _mixed(text: str) -> str:
    """``OuRs.TeSt``."""
    return "".join(c.upper() if at % 2 == 0 else c.lower() for at, c in enumerate(text))


_SENDERS = {
    "stranger to stranger": "{stranger}",
    "null sender": "",
    "sender without a domain": "stranger",
    "sender at localhost": "stranger@localhost",
    "sender in our domain": "stranger@{domain}",
    "sender in our domain, mixed case": "stranger@{mixed}",
    "sender in our domain, trailing dot": "stranger@{domain}.",
    "sender in our domain, bang path": "{domain}!stranger",
    "sender is our postmaster": "postmaster@{domain}",
    "sender is a bare postmaster": "postmaster",
    "sender at our hostname": "stranger@{name}",
    "sender at our address": "stranger@{literal}",
    "sender with a route through us": "@{domain}:{stranger}",
    "sender is the recipient": "{victim}",
}
"""Plain strangers, and strangers who pass themselves off as one of us."""

_RECIPIENTS = {
    "percent hack": "victim%{elsewhere}@{domain}",
    "percent hack at our address": "victim%{elsewhere}@{literal}",
    "percent hack at localhost": "victim%{elsewhere}@localhost",
    "percent hack, mixed case": "victim%{elsewhere}@{mixed}",
    "percent hack, trailing dot": "victim%{elsewhere}@{domain}.",
    "percent hack without a domain": "victim%{elsewhere}",
    "percent hack, nested": "victim%{elsewhere}%{domain}@{domain}",
    "percent hack through others": "victim%{domain}@{elsewhere}",
    "bang path": "{elsewhere}!victim",
    "bang path at our domain": "{elsewhere}!victim@{domain}",
    "bang path at our address": "{elsewhere}!victim@{literal}",
    "bang path, nested": "{domain}!{elsewhere}!victim",
    "bang path with percent": "{elsewhere}!victim%{elsewhere}@{domain}",
    "two domains": "{victim}@{domain}",
    "two domains, our address": "{victim}@{literal}",
    "quoted address": '"{victim}"',
    "quoted percent": '"victim%{elsewhere}"',
    "quoted address at our domain": '"{victim}"@{domain}',
    "quoted address at our address": '"{victim}"@{literal}',
    "quoted percent at our domain": '"victim%{elsewhere}"@{domain}',
    "quoted bang at our domain": '"{elsewhere}!victim"@{domain}',
    "quoted pair at our domain": r'"victim\@{elsewhere}"@{domain}',
    "our domain in quotes": '"stranger@{domain}"@{elsewhere}',
    "source route": "@{domain}:{victim}",
    "source route by our hostname": "@{name}:{victim}",
    "source route by our address": "@{literal}:{victim}",
    "source route by localhost": "@localhost:{victim}",
    "source route, several hops": "@{domain},@stranger.example:{victim}",
    "source route, we are last": "@stranger.example,@{domain}:{victim}",
    "source route, trailing dot": "@{domain}.:{victim}",
    "source route with percent": "@{domain}:victim%{elsewhere}@{domain}",
    "loopback as literal": "victim@[127.0.0.1]",
    "loopback as IPv6 literal": "victim@[IPv6:::1]",
    "loopback mapped into IPv6": "victim@[IPv6:::ffff:127.0.0.1]",
    "loopback without brackets": "victim@127.0.0.1",
    "our address as literal": "victim@{literal}",
    "another address as literal": "victim@[203.0.113.99]",
    "another address as IPv6 literal": "victim@[IPv6:2001:db8::99]",
    "recipient in mixed case": "ViCtIm@ReLaY-tEsT.iNvAlId",
    "recipient with a trailing dot": "{victim}.",
    "our domain before theirs": "victim@{domain}.{elsewhere}",
    "our domain in a comment": "{victim}({domain})",
    "our domain after a blank": "{victim} @{domain}",
    "forged sender of forwarded mail": "SRS0=AAAAAAAA=AA={elsewhere}=victim@{domain}",
    "forged sender, forwarded twice": "SRS1=AAAAAAAA={elsewhere}==AAAA=AA={elsewhere}=v@{domain}",
    "long local part": "victim." * 20 + "v@{elsewhere}",
    "long domain": "victim@" + "relay-test." * 25 + "invalid",
    "no recipient": "",
}
"""Recipients that look local to a careless eye, or want to be routed on by us."""

_PATHS = {
    "recipient without brackets": "{victim}",
    "our domain as a parameter": "<{victim}> ORCPT=rfc822;postmaster@{domain}",
    "our domain in a second path": "<{victim}> <postmaster@{domain}>",
}
"""Recipients that are not a path, or come with more than one."""

_WITHIN_OURS = {
    "percent hack at our hostname": "victim%{elsewhere}@{name}",
    "bang path at our hostname": "{elsewhere}!victim@{name}",
    "two domains, our hostname": "{victim}@{name}",
    "quoted address at our hostname": '"{victim}"@{name}',
    "subdomain of ours": "victim@relay-test.{domain}",
    "percent hack at a subdomain of ours": "victim%{elsewhere}@relay-test.{domain}",
}
"""Recipients for whom an administrator may well be a backup (``*.ours.example``)."""
