"""The settings of collect."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from kernel.certificate import CertificateSettings
from kernel.listening import ListeningSettings
from kernel.sasl import MECHANISMS, OFFERED
from kernel.settings import Duration, split_words
from services.collect.core.doorway import Plaintext


def _known(name: str) -> str:
    if name.upper() not in MECHANISMS:
        raise ValueError(f"there is no mechanism {name}; there are {', '.join(MECHANISMS)}")
    return name.upper()


class Settings(CertificateSettings, ListeningSettings):
    """Read from ``POSTROOM_COLLECT_*``."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_COLLECT_")

    listen_pop3: str = Field(
        default="127.0.0.1:2110",
        description="HOST:PORT for POP3 with STLS (port 110); empty for none.",
    )
    listen_pop3s: str = Field(
        default="127.0.0.1:2995",
        description="HOST:PORT for POP3 with TLS from the start (port 995); empty for none.",
    )
    mechanisms: Annotated[
        tuple[Annotated[str, AfterValidator(_known)], ...], NoDecode, BeforeValidator(split_words)
    ] = Field(
        default=OFFERED,
        description="How users may log in, besides USER and PASS, in the order of our preference, "
        "parted by commas. There is SCRAM-SHA-256-PLUS as well: clients that bind to TLS by "
        "another kind than tls-server-end-point fail once they see it.",
    )
    plaintext: Plaintext = Field(
        default=Plaintext.LOOPBACK,
        description="Who may send a password without TLS: `never`, `always`, or `loopback` for "
        "clients on this very machine, whom nobody can listen to. That lets a first try work "
        "with any client; CRAM-MD5 and SCRAM work without TLS in any case.",
    )
    idle_timeout: Duration = Field(
        default=timedelta(minutes=10),
        ge=timedelta(minutes=10),
        description="How long a client may be silent. POP3 wants no less than ten minutes.",
    )
    login_timeout: Duration = Field(
        default=timedelta(seconds=60), description="How long a client may take to log in."
    )
    max_connections: int = Field(
        default=1000, ge=1, description="How many clients may be connected."
    )
    max_connections_per_ip: int = Field(
        default=50, ge=1, description="How many of them may come from the same address."
    )
    max_errors: int = Field(
        default=20, ge=1, description="How many commands of a session may fail before we hang up."
    )
