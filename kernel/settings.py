"""Settings that every service shares, read from ``POSTROOM_*`` or from secret files.

A secret may stand in a file of its own: with ``POSTROOM_SECRETS_DIR=/run/secrets`` the
service token is read from ``/run/secrets/postroom_service_token``.
"""

import json
import os
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import SecretsSettingsSource

from kernel.model.address import parse_domain

_UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)\s*")


def _duration(value: object) -> object:
    """Read ``90``, ``90s``, ``1.5m``, ``4h`` or ``5d``; anything else is pydantic's to judge."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]]) if match else value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0))]
"""The type of a setting that is a length of time: seconds, or like ``15m``, ``4h``, ``5d``."""


def split_words(value: object) -> object:
    """Read ``a, b`` or a JSON list."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word for word in value.replace(",", " ").split() if word]


class PostroomSettings(BaseSettings):
    """The base of all settings: frozen, from the environment first, then from secret files."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_", frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add the folder that ``POSTROOM_SECRETS_DIR`` names, if it does."""
        del dotenv_settings, file_secret_settings
        folder = os.environ.get("POSTROOM_SECRETS_DIR", "")  # noqa: TID251 - a settings module
        secrets = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if folder else ()
        return (init_settings, env_settings, *secrets)


class PlatformSettings(PostroomSettings):
    """What a process needs to join the others, whichever services it runs."""

    hostname: str = Field(
        default_factory=socket.getfqdn,
        description="Our name in SMTP greetings and trace headers. Should resolve back to us.",
    )
    domain: Annotated[str, AfterValidator(parse_domain)] = Field(
        default="example.test",
        description="The primary domain: made at first start, used for generated addresses.",
    )
    bus_url: str = Field(
        default="sqlite:///var/bus.db",
        description="The bus: `sqlite:///FILE` on one machine, `amqp://USER@HOST` for RabbitMQ.",
    )
    bus_password: SecretStr | None = Field(
        default=None, description="Password for `bus_url`, where it names a user without one."
    )
    blobs_url: str = Field(
        default="file:///var/blobs",
        description="Contents over 64 KiB: `file:///FOLDER`, relative to where we run.",
    )
    mailboxes_url: str = Field(
        default="maildir:///var/mail",
        description="Local mailboxes: `maildir:///FOLDER`; or `lmtp://HOST:PORT`, `lmtp:///SOCKET` "
        "where another server keeps them and hands them out, such as Dovecot.",
    )
    disk_reserve: ByteSize = Field(
        default=ByteSize(512 * 1024 * 1024),
        description="Ingress takes no more mail while a disk that it would stand on has less room "
        "than this (of a small disk, a tenth); what has been taken needs some to move on. Like "
        "`512MiB`; 0 for none.",
    )
    database_url: str = Field(
        default="sqlite+aiosqlite:///var/postroom.db",
        description="Tables of auth and ledger: `sqlite+aiosqlite:///FILE`, `postgresql+asyncpg://…`.",
    )
    database_password: SecretStr | None = Field(
        default=None, description="Password for `database_url`, where it names a user without one."
    )
    auth_url: str = Field(default="http://127.0.0.1:8001", description="Where auth is asked.")
    ledger_url: str = Field(
        default="http://127.0.0.1:8002", description="Where the ledger is asked."
    )
    service_token: SecretStr = Field(
        min_length=1,
        description="What services show one another. No default: make a long random one.",
    )
    health_listen: str = Field(
        default="127.0.0.1:8009",
        description="HOST:PORT of `/healthz`, `/readyz` and `/metrics`; empty for none.",
    )
    log_format: str = Field(
        default="auto", description="`json`, `pretty`, or `auto`: pretty on a terminal."
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    grace: Duration = Field(
        default=timedelta(seconds=20),
        description="How long work under way may take to end when we are asked to stop.",
    )


def path_of(url: str) -> Path:
    """Return the file or folder that an embedded URL names: ``sqlite:///var/x`` is ``var/x``.

    Four slashes make it absolute, as in SQLAlchemy: ``sqlite:////srv/x`` is ``/srv/x``.
    """
    _, _, path = url.partition(":///")
    if not path:
        raise ValueError(
            f"{url} names no path; write it as scheme:///relative or scheme:////absolute"
        )
    return Path(path)


def host_and_port(listen: str) -> tuple[str, int]:
    """Return the two halves of ``HOST:PORT``; an IPv6 host stands in brackets."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"{listen!r} is not HOST:PORT")
    return host.strip("[]"), int(port)
