"""The settings of ingress."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kernel.certificate import CertificateSettings
from kernel.listening import Fronts, ListeningSettings
from kernel.model.envelope import INLINE_LIMIT
from kernel.model.rate import Rate
from kernel.settings import Duration
from services.ingress.checks.settings import CheckSettings
from services.ingress.core.watch import Times


class Settings(CertificateSettings, ListeningSettings, CheckSettings):
    """Read from ``POSTROOM_INGRESS_*``. What a listener allows is auth's business."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_INGRESS_")

    listen_mx: str = Field(
        default="127.0.0.1:2525",
        description="HOST:PORT for mail from the world (port 25); empty for none.",
    )
    listen_submission: str = Field(
        default="127.0.0.1:2587",
        description="HOST:PORT for users with STARTTLS (port 587); empty for none.",
    )
    listen_submissions: str = Field(
        default="127.0.0.1:2465",
        description="HOST:PORT for users with TLS from the start (port 465); empty for none.",
    )
    reuse_port: bool = Field(
        default=False, description="Let several ingress processes share these ports."
    )
    idle_timeout: Duration = Field(
        default=timedelta(minutes=5),
        description="How long a client may take for a command, and for the next part of a message.",
    )
    min_data_rate: int = Field(
        default=1_000,
        ge=0,
        description="Octets a minute by which a message has to grow, over each `idle_timeout`.",
    )
    read_timeout: Duration = Field(
        default=timedelta(minutes=1),
        description="How long a client may leave our replies unread.",
    )
    session_timeout: Duration = Field(
        default=timedelta(hours=4),
        description="How long a session may last; one that is sending a message gets twice that.",
    )
    max_unknown: int = Field(
        default=10,
        ge=1,
        description="How many unknown recipients a stranger may name in a session before we hang "
        "up; after half of them each costs a second.",
    )
    max_unknown_per_hour: int = Field(
        default=100,
        ge=1,
        description="How many a stranger's address may name in all sessions of this process.",
    )
    shut_out: Duration = Field(
        default=timedelta(minutes=15),
        description="How long nothing is taken from an address that has named more.",
    )
    max_octets: int = Field(
        default=256 * 1024 * 1024,
        ge=INLINE_LIMIT,
        description="Octets of messages on their way in that may stand in memory.",
    )
    max_handshakes: int = Field(
        default=100,
        ge=1,
        description="TLS handshakes at a time, a tenth of them from one address; others wait.",
    )
    max_errors: int = Field(
        default=20, description="How many commands of a session may fail before we hang up."
    )
    max_hops: int = Field(
        default=50, description="More `Received` fields than this are a mail loop."
    )
    client_cas: Path | None = Field(
        default=None,
        description="Who vouches for clients' certificates, where a listener asks for them: "
        "authorities, or the clients' own certificates (PEM). Without it nobody is asked.",
    )
    max_hold: Duration = Field(
        default=timedelta(days=14),
        le=timedelta(days=365),
        description="For how long users may have their mail held back before it goes on "
        "(FUTURERELEASE), such as `14d`; 0: not at all.",
    )
    max_backlog: int = Field(
        default=50_000,
        ge=0,
        description="No more mail is taken while more than so many entries wait in the router's "
        "queue, or in the ledger's; 0 for no limit.",
    )
    xclient: Fronts = Field(
        default=(),
        validation_alias="POSTROOM_XCLIENT",
        description="Networks of mail servers and proxies, parted by commas, which may say by "
        "XCLIENT whose connection they pass on. What they say of the client's address is "
        "believed, so name nobody else; it counts for rules and for limits.",
    )
    self_test: bool = Field(
        default=True,
        description="Find out at start, and after every change of the rules, whether strangers can "
        "relay; `/readyz` is 503 while they can.",
    )

    @property
    def guesses(self) -> tuple[Rate, ...]:
        """How many unknown recipients an address may name."""
        return (Rate(self.max_unknown_per_hour, 3_600),)

    @property
    def times(self) -> Times:
        """How long clients may take for what."""
        idle = self.idle_timeout.total_seconds()
        return Times(
            idle=idle,
            deaf=self.read_timeout.total_seconds(),
            session=self.session_timeout.total_seconds(),
            octets=int(self.min_data_rate * idle / 60),
        )

    @property
    def listeners(self) -> dict[str, str]:
        """Where each listener listens, of those that are wanted."""
        wanted = {
            "mx": self.listen_mx,
            "submission": self.listen_submission,
            "submissions": self.listen_submissions,
        }
        return {name: listen for name, listen in wanted.items() if listen}
