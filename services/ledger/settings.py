"""The ledger's settings."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kernel.settings import Duration, PostroomSettings


class Settings(PostroomSettings):
    """Read from ``POSTROOM_LEDGER_*``. Spans of time are seconds, or ISO 8601 (``P30D``)."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_LEDGER_", frozen=True, extra="ignore")

    listen: str = Field(default="127.0.0.1:8002", description="HOST:PORT of the REST API.")
    pace: Duration = Field(
        default=timedelta(milliseconds=100),
        description="How long traces gather before they are entered together.",
    )
    tick: Duration = Field(
        default=timedelta(seconds=1),
        description="The longest that waiting mail which is due stays unnoticed.",
    )
    keep: Duration = Field(
        default=timedelta(days=30),
        description="How long the timeline of a message is kept after its end.",
    )
    keep_content: Duration = Field(
        default=timedelta(seconds=60),
        description="How long a content over 64 KiB is kept after its message has ended.",
    )
    sweep: Duration = Field(
        default=timedelta(seconds=30), description="How often what is no longer needed is removed."
    )
    orphans: Duration = Field(
        default=timedelta(days=7),
        description="How old a content must be that no message knows, before it is removed.",
    )
    concurrency: int = Field(
        default=1000, ge=1, description="How many traces the ledger writes at a time."
    )
    patience: Duration = Field(
        default=timedelta(minutes=10),
        description="How long an event stays in hand while the database is away, before it queues "
        "again. Keep it well below RabbitMQ's consumer_timeout (30 minutes).",
    )
