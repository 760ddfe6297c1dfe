"""Settings of delivery: where it goes, how often it tries, and how long it waits for answers."""

import json
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, FilePath
from pydantic_settings import NoDecode, SettingsConfigDict

from kernel.model.address import Address
from kernel.model.rate import Rate
from kernel.names import NamesSettings
from kernel.settings import Duration, split_words
from services.delivery.core.routes import Family, parse_routes
from services.delivery.core.schedule import GIVE_UP_AFTER, LADDER, WARN_AFTER
from services.delivery.core.smtp_client import Phase

POSTMASTER = "postmaster"  # RFC 5321 §4.5.1


def _listed(value: object) -> object:
    """Read a list from JSON, or from words between commas."""
    if not isinstance(value, str):
        return value
    items: Any = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
    return [item.strip() if isinstance(item, str) else item for item in items]


def _rate(value: object) -> object:
    return Rate.parse(value) if isinstance(value, str) else value


def _routable(routes: Mapping[str, str]) -> Mapping[str, str]:
    parse_routes(routes)
    return routes


def _addressed(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name != POSTMASTER:
            Address.parse(name)
    return names


Durations = Annotated[tuple[Duration, ...], NoDecode, BeforeValidator(_listed)]
Addresses = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(split_words), AfterValidator(_addressed)
]
Rates = Annotated[
    tuple[Annotated[Rate, BeforeValidator(_rate)], ...], NoDecode, BeforeValidator(_listed)
]
Lanes = Annotated[tuple[Literal["local", "remote"], ...], NoDecode, BeforeValidator(_listed)]


def _once_each(families: tuple[Family, ...]) -> tuple[Family, ...]:
    return tuple(dict.fromkeys(families))


def _address(text: str) -> str:
    return str(ip_address(text))


Families = Annotated[
    tuple[Family, ...], NoDecode, BeforeValidator(split_words), AfterValidator(_once_each)
]
Machines = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...], NoDecode, BeforeValidator(split_words)
]


def _wait(purpose: str, **default: float) -> Any:  # noqa: ANN401 - as pydantic's Field
    return Field(default=timedelta(**default), gt=timedelta(0), description=purpose)


class Settings(NamesSettings):
    """Read from ``POSTROOM_DELIVERY_*``. Durations are seconds, or like ``15m``, ``4h``, ``5d``."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_DELIVERY_", populate_by_name=True)

    hops: Lanes = Field(
        default=("local", "remote"),
        min_length=1,
        description="Which legs this worker carries: `local`, `remote` or `local,remote`.",
    )
    local_concurrency: int = Field(
        default=50, ge=1, description="Legs into mailboxes under way at a time."
    )
    remote_concurrency: int = Field(
        default=200, ge=1, description="Legs to remote servers under way at a time."
    )
    routes: Annotated[dict[str, str], AfterValidator(_routable)] = Field(
        default={},
        validation_alias="POSTROOM_ROUTES",
        description="Static routes, first match wins: JSON `{domain, .suffix or *: HOST:PORT}`.",
    )
    remote_port: int = Field(
        default=25,
        validation_alias="POSTROOM_REMOTE_PORT",
        description="The port of servers that DNS names.",
    )
    families: Families = Field(
        default=(Family.IPV4, Family.IPV6),
        min_length=1,
        description="Kinds of addresses that are dialled, by turns, the preferred one first: "
        "`ipv4,ipv6`; one alone: no other.",
    )
    our_addresses: Machines = Field(
        default=(),
        description="Addresses at which the world reaches us, beside those of this machine: no "
        "mail is sent there, or it would run in circles. Parted by commas.",
    )
    mta_sts: bool = Field(
        default=True,
        description="Keep to what domains say of their mail servers over HTTPS (MTA-STS).",
    )
    mta_sts_folder: Path | None = Field(
        default=None,
        description="Where these policies are kept across a restart; workers may share it.",
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="Authorities (PEM) whose certificates prove a server, and those of policies; "
        "without it, the system's.",
    )
    tlsrpt_folder: Path | None = Field(
        default=None,
        description="Where a report of TLS with each domain is written every day (RFC 8460).",
    )
    retry: Durations = Field(
        default=LADDER,
        min_length=1,
        description="The waits between attempts; the last one repeats. Such as `60,300,15m,4h`.",
    )
    give_up_after: Duration = _wait(
        "How long a message may wait before its sender gets it back.",
        seconds=GIVE_UP_AFTER.total_seconds(),
    )
    warn_after: Duration = Field(
        default=WARN_AFTER,
        description="How long a message waits before its sender hears of it; 0 for never.",
    )
    templates: Path | None = Field(
        default=None,
        description="A folder with words of your own for reports: `failed.txt`, `delayed.txt`, "
        "`delivered.txt`, `postmaster.txt`.",
    )
    postmaster_copy: Addresses = Field(
        default=(),
        description="Who gets a copy of each report of failure, with headers alone: addresses "
        "parted by commas, or `postmaster` for that of the primary domain; empty: nobody.",
    )
    connections: int = Field(
        default=1_000,
        ge=1,
        description="Connections to remote servers at a time, of all workers together.",
    )
    site_connections: int = Field(
        default=20,
        ge=1,
        description="Connections to one site at a time, of all workers together.",
    )
    site_rates: Rates = Field(
        default=(),
        description="Messages to one site, of all workers together: such as `60/minute,1000/hour`.",
    )
    source_rates: Rates = Field(
        default=(),
        description="Messages from one source address, of all workers together.",
    )
    site_failures: float = Field(
        default=1,
        gt=0,
        description="A site is suspended after so many times its connections failed in a row.",
    )
    site_rest: Duration = _wait(
        "How long a site that is down is left alone at first; then twice as long each time.",
        minutes=1,
    )
    site_longest_rest: Duration = _wait("… and at the longest.", minutes=30)
    site_patience: Duration = _wait(
        "How long a leg waits for its turn at a busy site before it goes back.", seconds=1
    )
    connection_messages: int = Field(
        default=100, ge=1, description="Messages sent over one connection before it is closed."
    )
    idle_timeout: Duration = _wait(
        "How long a connection is kept for the next message.", seconds=10
    )
    connect_timeout: Duration = _wait("How long a host may take to accept.", seconds=30)
    greeting_timeout: Duration = _wait("… to greet (RFC 5321 §4.5.3.2.1).", minutes=5)
    hello_timeout: Duration = _wait("… to answer EHLO, HELO, STARTTLS, AUTH or RSET.", minutes=5)
    handshake_timeout: Duration = _wait("… to finish the TLS handshake.", seconds=30)
    mail_timeout: Duration = _wait("… to answer MAIL (§4.5.3.2.2).", minutes=5)
    rcpt_timeout: Duration = _wait("… to answer RCPT (§4.5.3.2.3).", minutes=5)
    data_timeout: Duration = _wait("… to answer DATA (§4.5.3.2.4).", minutes=2)
    content_timeout: Duration = _wait("… to take a piece of content (§4.5.3.2.5).", minutes=3)
    dot_timeout: Duration = _wait("… to answer the final dot (§4.5.3.2.6).", minutes=10)

    def copies_to(self, domain: str) -> tuple[Address, ...]:
        """Return who gets copies of reports; ``domain`` is the primary one."""
        names = (f"{n}@{domain}" if n == POSTMASTER else n for n in self.postmaster_copy)
        return tuple(dict.fromkeys(Address.parse(name) for name in names))

    def timeouts(self) -> dict[Phase, float]:
        """Return how many seconds each phase of a conversation may take."""
        durations = {
            Phase.GREETING: self.greeting_timeout,
            Phase.HELLO: self.hello_timeout,
            Phase.STARTTLS: self.hello_timeout,
            Phase.HANDSHAKE: self.handshake_timeout,
            Phase.AUTH: self.hello_timeout,
            Phase.IDLE: self.idle_timeout,
            Phase.RESET: self.hello_timeout,
            Phase.MAIL: self.mail_timeout,
            Phase.RCPT: self.rcpt_timeout,
            Phase.DATA: self.data_timeout,
            Phase.CONTENT: self.content_timeout,
            Phase.DOT: self.dot_timeout,
        }
        return {phase: duration.total_seconds() for phase, duration in durations.items()}
