"""Names: DNS, asked in one way by every service that needs it.

A name that has no such record, one that does not exist, and one of which nobody knows now are
three different things: only the last may look otherwise when it is asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.resolver
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from kernel.settings import PostroomSettings, host_and_port, split_words

LIFETIME = 15.0
"""Seconds that a question may take, whatever it is about."""
_PATIENCE = 1.0  # seconds with one name server, before the next is asked
_CACHED = 20_000  # answers, each as long as its records say
_PAYLOAD = 1232  # octets that come without fragments: www.dnsflagday.net/2020


def _name_server(text: str) -> str:
    ip_address(host_and_port(text)[0])
    return text


NameServer = Annotated[str, AfterValidator(_name_server)]


class NamesSettings(PostroomSettings):
    """Which name servers are asked: the same ones for every service that asks any."""

    model_config = SettingsConfigDict(populate_by_name=True)

    name_servers: Annotated[tuple[NameServer, ...], NoDecode, BeforeValidator(split_words)] = Field(
        default=(),
        validation_alias="POSTROOM_DNS",
        description="Name servers that are asked, as ADDRESS:PORT, parted by commas; empty: those "
        "of the system.",
    )
    dnssec: bool = Field(
        default=False,
        validation_alias="POSTROOM_DNSSEC",
        description="Whether these validate DNSSEC and nobody can come between them and us, as "
        "with a resolver on this machine. DANE needs that, and is not used without it.",
    )


class NamesUnavailableError(Exception):
    """No name server has given an answer that counts: ask again later.

    One that found a forgery says no more than that (SERVFAIL, RFC 4035 §5.5).
    """


class NamesSilentError(NamesUnavailableError):
    """No name server has given any answer in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS says of a name: ``records`` as in a zone file, or none.

    Names in them are in small letters, without the final dot; of TXT the strings are joined
    and stand without quotes. ``name`` is where aliases have led to. ``secure`` says that a
    resolver which we trust has validated all this, aliases and absence too.
    """

    name: str
    records: tuple[str, ...] = ()
    exists: bool = True
    secure: bool = False


class NameServers:
    """Asks name servers, and remembers answers as long as they say."""

    def __init__(self, servers: Sequence[str] = (), *, dnssec: bool = False) -> None:
        self._servers = servers
        self._dnssec = dnssec
        self._resolver: dns.asyncresolver.Resolver | None = None

    @classmethod
    def of(cls, settings: NamesSettings) -> "NameServers":
        """Return those that the settings name."""
        return cls(settings.name_servers, dnssec=settings.dnssec)

    async def ask(self, name: str, kind: str, lifetime: float = LIFETIME) -> Answer:
        """Return what there is of ``kind``, such as ``TXT``. Raises `NamesUnavailableError`.

        Aliases (CNAME) are followed. A name that cannot be written in DNS does not exist.
        """
        try:
            whole = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            return Answer(name, exists=False)
        try:
            answer = await self._asked().resolve(
                whole, kind, lifetime=lifetime, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN:
            return Answer(name, exists=False)
        except (dns.exception.Timeout, OSError) as error:
            raise NamesSilentError(f"{name}: {error}") from error
        except dns.exception.DNSException as error:
            raise NamesUnavailableError(f"{name}: {error}") from error
        records = tuple(_text(record, kind) for record in answer)
        return Answer(_plain(answer.canonical_name), records, secure=self._is_secure(answer))

    def _asked(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            self._resolver = _resolver_for(self._servers, dnssec=self._dnssec)
        return self._resolver

    def _is_secure(self, answer: dns.resolver.Answer) -> bool:
        return self._dnssec and bool(answer.response.flags & dns.flags.AD)


def _resolver_for(servers: Sequence[str], *, dnssec: bool) -> dns.asyncresolver.Resolver:
    """Return a resolver for these name servers, or for the system's if there are none named."""
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        places = [host_and_port(server) for server in servers]
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in places]
    resolver.timeout = _PATIENCE
    resolver.cache = dns.resolver.LRUCache(_CACHED)
    if dnssec:  # AD in a question asks whether the answer was validated (RFC 6840 §5.7)
        resolver.flags = dns.flags.RD | dns.flags.AD
        resolver.use_edns(0, 0, _PAYLOAD)
    return resolver


def _text(record: Any, kind: str) -> str:  # noqa: ANN401 - a class of dnspython for each kind
    match kind:
        case "TXT":
            return b"".join(record.strings).decode("utf-8", "replace")
        case "MX":
            return f"{record.preference} {_plain(record.exchange)}"
        case "PTR" | "CNAME" | "NS":
            return _plain(record.target)
        case _:
            return str(record.to_text())


def _plain(name: dns.name.Name) -> str:
    """Return a name as we write it; the root, which null MX names (RFC 7505 §3), is a dot."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else "."
