"""Auth's settings: where it listens, and what its first start makes."""

from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from kernel.names import NamesSettings
from kernel.settings import Duration, split_words
from services.auth.core.grants import WHOLE_ADDRESS
from services.auth.core.lan import GATEWAY, parse_network, trusted_network


def _address(text: str) -> str:
    return str(ip_address(text))


def _trusted(text: str) -> str:
    return str(trusted_network(text))


def _untrusted(text: str) -> str:
    return text if text == GATEWAY else str(parse_network(text))


Names = Annotated[
    tuple[Annotated[str, AfterValidator(_untrusted)], ...], NoDecode, BeforeValidator(split_words)
]
"""Networks, and `GATEWAY`."""


class ChallengeSecretsFor(StrEnum):
    """Of which passwords secrets are made that prove them without showing them."""

    ALWAYS = "always"
    APP_PASSWORDS = "app-passwords"


class Settings(NamesSettings):
    """Each field is documented here and only here."""

    model_config = SettingsConfigDict(
        env_prefix="POSTROOM_AUTH_", frozen=True, extra="ignore", populate_by_name=True
    )

    listen: str = Field(
        default="127.0.0.1:8001", description="HOST:PORT of the REST API and internal questions."
    )
    admin_password: SecretStr | None = Field(
        default=None,
        validation_alias="POSTROOM_ADMIN_PASSWORD",
        description="The password of the first administrator, `admin`. Used at the first start "
        "alone; if there is none then, one is generated and printed once.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Seals what CRAM-MD5 and SCRAM need to know of passwords. Make a long random "
        "one and keep it: under another, these mechanisms refuse everybody until the passwords "
        "are shown or set again, and without one they always do.",
    )
    challenge_secrets: ChallengeSecretsFor = Field(
        default=ChallengeSecretsFor.ALWAYS,
        description="Which passwords CRAM-MD5 and SCRAM work with: `always`, or `app-passwords` "
        "for these alone, which we make ourselves. Takes hold of a user at the next login with "
        "the password.",
    )
    lan: Annotated[
        tuple[Annotated[str, AfterValidator(_trusted)], ...], NoDecode, BeforeValidator(split_words)
    ] = Field(
        default=("127.0.0.0/8", "::1/128"),
        validation_alias="POSTROOM_LAN",
        description="The networks that may relay without a login, parted by commas. Used at the "
        "first start alone; afterwards `/v1/networks` says what the LAN is.",
    )
    lan_never: Names = Field(
        default=(),
        validation_alias="POSTROOM_LAN_NEVER",
        description="Networks that are never in the LAN, whatever `/v1/networks` says; `gateway` "
        "is the gateway of our own network, from which strangers seem to come behind a proxy. "
        "The containers set it.",
    )
    addresses: Annotated[
        tuple[Annotated[str, AfterValidator(_address)], ...], NoDecode, BeforeValidator(split_words)
    ] = Field(
        default=(),
        description="The IP addresses of this server, parted by commas. Mail for "
        "`user@[192.0.2.1]` with one of them is local, like mail for `POSTROOM_HOSTNAME`; loopback "
        "always is.",
    )
    public_addresses: Annotated[
        tuple[Annotated[str, AfterValidator(_address)], ...], NoDecode, BeforeValidator(split_words)
    ] = Field(
        default=(),
        validation_alias="POSTROOM_PUBLIC_ADDRESSES",
        description="The IP addresses from which our mail comes, as the world sees them, parted by "
        "commas; for `postroom dns check`. Empty: those that DNS has of `POSTROOM_HOSTNAME`.",
    )
    grant_time: Duration = Field(
        default=timedelta(minutes=5),
        gt=timedelta(0),
        description="How long whoever logged in over POP3 or IMAP may then send from that address "
        "without a login, on listeners with `collection_grants`.",
    )
    grant_prefix: int = Field(
        default=WHOLE_ADDRESS,
        ge=64,
        le=WHOLE_ADDRESS,
        description="How many bits of an IPv6 address such a grant goes by: 128 is the very "
        "address, 64 the network that one client chooses its addresses from.",
    )
    grant_never: Names = Field(
        default=(GATEWAY,),
        description="Networks from which no login gives a grant, as strangers may come from the "
        "same addresses; `gateway` is the gateway of our own network. Name it too when you name "
        "others, unless none of your listeners is behind a proxy.",
    )
