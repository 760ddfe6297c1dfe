"""Platform: what a process stands on. A URL's scheme picks each adapter, here and only here."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import SecretStr

from kernel.blobs.port import Blobs
from kernel.bus.port import Bus
from kernel.clock import Clock, system_clock
from kernel.health import Health
from kernel.mailboxes.port import Mailboxes
from kernel.settings import PlatformSettings


class UnknownSchemeError(ValueError):
    """No adapter serves that URL."""


@dataclass(frozen=True, slots=True)
class Platform:
    """The ports that services are given. Tests build one from fakes."""

    settings: PlatformSettings
    bus: Bus
    blobs: Blobs
    mailboxes: Mailboxes
    clock: Clock = system_clock
    health: Health = field(default_factory=Health)


@asynccontextmanager
async def connect(settings: PlatformSettings) -> AsyncIterator[Platform]:
    """Yield a platform of the adapters that the settings name; the bus is open meanwhile."""
    async with open_bus(settings) as bus:
        platform = Platform(settings, bus, open_blobs(settings), open_mailboxes(settings))
        platform.health.watch("bus", bus.trouble)
        yield platform


def open_bus(settings: PlatformSettings) -> AbstractAsyncContextManager[Bus]:
    """Return the bus that ``bus_url`` names, as a context manager."""
    url = with_password(settings.bus_url, settings.bus_password)
    match urlsplit(url).scheme:
        case "sqlite":
            from kernel.bus import sqlite

            return sqlite.connect(url, grace=settings.grace, reserve=settings.disk_reserve)
        case "amqp" | "amqps":
            from kernel.bus import rabbitmq

            return rabbitmq.connect(url, grace=settings.grace)
        case scheme:
            raise UnknownSchemeError(f"bus_url: no adapter for {scheme!r}")


def open_blobs(settings: PlatformSettings) -> Blobs:
    """Return the blob store that ``blobs_url`` names."""
    match urlsplit(settings.blobs_url).scheme:
        case "file":
            from kernel.blobs import filesystem

            return filesystem.open_store(settings.blobs_url, settings.disk_reserve)
        case scheme:
            raise UnknownSchemeError(f"blobs_url: no adapter for {scheme!r}")


def open_mailboxes(settings: PlatformSettings) -> Mailboxes:
    """Return the mailboxes that ``mailboxes_url`` names."""
    match urlsplit(settings.mailboxes_url).scheme:
        case "maildir":
            from kernel.mailboxes import maildir

            return maildir.open_mailboxes(settings.mailboxes_url)
        case "lmtp":
            from kernel.mailboxes import lmtp

            return lmtp.open_mailboxes(settings.mailboxes_url, settings.hostname)
        case scheme:
            raise UnknownSchemeError(f"mailboxes_url: no adapter for {scheme!r}")


def with_password(url: str, password: SecretStr | None) -> str:
    """Return ``url`` with ``password`` filled in, where it names a user and no password."""
    parts = urlsplit(url)
    if password is None or not parts.username or parts.password is not None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    secret = quote(password.get_secret_value(), safe="")
    return urlunsplit(parts._replace(netloc=f"{user}:{secret}@{host}"))
