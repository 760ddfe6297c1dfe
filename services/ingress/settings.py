"""The settings of ingress."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kernel.certificate import CertificateSettings
from kernel.listening import ListeningSettings
from kernel.settings import Duration


class Settings(CertificateSettings, ListeningSettings):
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
        description="How long a client may be silent; while it sends data, every octet counts.",
    )
    max_errors: int = Field(
        default=20, description="How many commands of a session may fail before we hang up."
    )
    max_hops: int = Field(
        default=50, description="More `Received` fields than this are a mail loop."
    )
    max_backlog: int = Field(
        default=50_000,
        ge=0,
        description="No more mail is taken while more than so many entries wait in the router's "
        "queue, or in the ledger's; 0 for no limit.",
    )
    self_test: bool = Field(
        default=True,
        description="Find out at start, and after every change of the rules, whether strangers can "
        "relay; `/readyz` is 503 while they can.",
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
