"""The router's settings."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kernel.settings import Duration, PostroomSettings


class Settings(PostroomSettings):
    """Read from ``POSTROOM_ROUTER_*``."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_ROUTER_", frozen=True, extra="ignore")

    concurrency: int = Field(
        default=256, ge=1, description="How many messages the router has in hand at a time."
    )
    remember: Duration = Field(
        default=timedelta(seconds=3),
        le=timedelta(seconds=3),
        description="How long an answer of auth about an address is good for. Auth itself may have "
        "known it for 2 s: nothing that is acted upon is older than 5 s.",
    )
    patience: Duration = Field(
        default=timedelta(minutes=10),
        description="How long a message stays in hand while auth is away, before it queues again. "
        "Keep it well below RabbitMQ's consumer_timeout (30 minutes).",
    )
