"""Values as people write them: `2026-01-05T12:00`, `2h`, `500MiB`."""

from datetime import UTC, datetime, timedelta

from pydantic import ByteSize, TypeAdapter, ValidationError

When = datetime | timedelta
"""A point of time, or how far it is from now."""

NONE = "none"


def after(now: datetime, when: When) -> str:
    """Return the point that ``when`` names, a length being counted from ``now`` on."""
    return _spelled(now + when if isinstance(when, timedelta) else when)


def before(now: datetime, when: When) -> str:
    """Return the point that ``when`` names, a length being counted back from ``now``."""
    return _spelled(now - when if isinstance(when, timedelta) else when)


def octets(size: str) -> int | None:
    """Return how many octets ``size`` is; `none` is no limit. Raises ``ValueError``."""
    if size.strip().casefold() == NONE:
        return None
    try:
        return int(TypeAdapter(ByteSize).validate_python(size))
    except ValidationError:
        raise ValueError(f"{size!r} is no size: write it like 500MiB") from None


def _spelled(point: datetime) -> str:
    """Return ``point`` as the API wants it. Without a time zone it is UTC, as all that we show."""
    return (point if point.tzinfo else point.replace(tzinfo=UTC)).isoformat()
