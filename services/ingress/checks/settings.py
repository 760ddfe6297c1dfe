"""The settings of the checks, which are part of those of ingress."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from kernel.names import NamesSettings
from kernel.settings import Duration, host_and_port, split_words
from services.ingress.core.dnslists import DnsList


class Dmarc(StrEnum):
    """What is done about mail that its author's domain does not stand behind."""

    ANNOTATE = "annotate"
    OBEY = "obey"


class Reverse(StrEnum):
    """What is done about clients without a name of their own."""

    OFF = "off"
    ANNOTATE = "annotate"
    REFUSE = "refuse"


def _dns_list(text: str) -> str:
    DnsList.parse(text)
    return text


def _place(text: str) -> str:
    if text and not text.startswith("/"):
        host_and_port(text)
    return text


OffAtFirst = Literal["dnslists", "reverse", "greylist", "rspamd", "clamd"]
Words = (NoDecode, BeforeValidator(split_words))


class CheckSettings(NamesSettings):
    """What is checked of mail from strangers: who is not on the LAN, nor logged in, nor granted."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_INGRESS_", populate_by_name=True)

    authenticate: bool = Field(
        default=True,
        description="Check SPF, DKIM, ARC and DMARC of mail from strangers, and say what came of "
        "it in an `Authentication-Results` field.",
    )
    dmarc: Dmarc = Field(
        default=Dmarc.ANNOTATE,
        description="`annotate`, or `obey`: refuse what its author's domain wants refused, and "
        "mark what it wants in quarantine with `X-Spam-Flag: YES`.",
    )
    dnslists: Annotated[tuple[Annotated[str, AfterValidator(_dns_list)], ...], *Words] = Field(
        default=(),
        description="DNS lists whose entries are refused, such as `zen.example.org`, or "
        "`zen.example.org=127.0.0.0/29` where not every answer shall count.",
    )
    reverse: Reverse = Field(
        default=Reverse.OFF,
        description="Whether a client's address has a name that leads back to it: `off`, "
        "`annotate`, or `refuse` who has none.",
    )
    greylist: Duration = Field(
        default=timedelta(0),
        le=timedelta(hours=12),
        description="Greylisting: how long strangers who were never heard of have to wait until "
        "their mail is taken, such as `5m`; 0: not at all.",
    )
    rspamd: str = Field(
        default="",
        description="URL of rspamd's worker, such as `http://127.0.0.1:11333`; empty for none.",
    )
    clamd: Annotated[str, AfterValidator(_place)] = Field(
        default="", description="Where clamd listens: HOST:PORT or /PATH of a socket; empty: none."
    )
    fail_closed: Annotated[tuple[OffAtFirst, ...], *Words] = Field(
        default=(),
        description="Checks without which no stranger's mail is taken (451): any of `dnslists`, "
        "`reverse`, `greylist`, `rspamd`, `clamd`. The others are done without while they do not "
        "answer.",
    )
    dns_timeout: Duration = Field(
        default=timedelta(seconds=3), description="How long a check of one message may ask DNS."
    )
    scan_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long rspamd or clamd may take for one."
    )
