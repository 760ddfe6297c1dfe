"""Fields that several resources share: addresses, patterns, and pages of a list."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictInt,
)
from pydantic import WithJsonSchema as Schema
from starlette.convertors import Convertor, register_url_convertor

from kernel.model.address import Address, BadAddressError, parse_domain
from kernel.model.rate import Rate
from services.auth.core.lengths import LENGTH, parse_length, spelled
from services.auth.core.patterns import parse_pattern
from services.auth.edge.problems import not_found

T = TypeVar("T")


def _address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError("an address is text")  # noqa: TRY004 - pydantic turns ValueError into an answer
    return Address.parse(value)


MailAddress = Annotated[
    Address,
    PlainValidator(_address),
    PlainSerializer(str, return_type=str),
    Schema({"type": "string", "format": "email"}),
]
"""An address such as ``ann@example.org``."""

DomainName = Annotated[str, AfterValidator(parse_domain)]
Pattern = Annotated[str, AfterValidator(parse_pattern)]
"""``ann@example.org``, ``*@example.org``, ``example.org`` or ``*.example.org``."""

Flag = StrictBool
Number = StrictInt

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)")


def _moment(value: object) -> object:
    """Refuse all but texts with a time in them (RFC 3339): no counts of seconds, no bare days."""
    if isinstance(value, datetime) or (isinstance(value, str) and _MOMENT.fullmatch(value)):
        return value
    raise ValueError("write a moment such as 2026-01-31T12:00:00Z")


def _in_utc(moment: datetime) -> datetime:
    """Return the same moment in the time zone that SQLite means when it keeps none."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("that is beyond all calendars") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_in_utc)]

_NAMED = r"^[^/\x00-\x1f\x7f]*[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*$"  # not dots alone
Named = Annotated[str, Field(max_length=64, pattern=_NAMED)]
"""A name that people give to a thing, and that stands in a path."""


def _rate(text: str) -> str:
    return str(Rate.parse(text))


Rates = Annotated[tuple[Annotated[str, AfterValidator(_rate)], ...], Field(max_length=4)]
"""Such as ``60/minute``."""


def _length(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("write a length of time such as 90s, 15m, 4h or 5d")  # noqa: TRY004 - as above
    return parse_length(value)


Length = Annotated[
    timedelta,
    PlainValidator(_length),
    PlainSerializer(spelled, return_type=str),
    Schema({"type": "string", "pattern": LENGTH}),
]
"""A length of time such as ``15m``."""


class Item(BaseModel):
    """What is shown of a thing."""

    model_config = ConfigDict(frozen=True)

    def shown(self) -> dict[str, Any]:
        """Return it as JSON would have it."""
        return self.model_dump(mode="json")


class Body(BaseModel):
    """What is sent to us; a field that we do not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def given(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        return {field: getattr(self, field) for field in self.model_fields_set}


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None = Field(
        default=None, description="Give it as `after` for what follows; null at the end."
    )


class Window(BaseModel):
    """Which part of a list to show."""

    limit: int = 100
    after: str = ""

    def page(self, found: Sequence[T], name_of: Callable[[T], str]) -> Page[T]:
        """Return the page of what was ``found``: one more than its limit, if there is more."""
        shown = list(found[: self.limit])
        more = len(found) > self.limit
        return Page(items=shown, next=name_of(shown[-1]) if more else None)


def _window(
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to show.")] = 100,
    after: Annotated[str, Query(description="The `next` of the page before.")] = "",
) -> Window:
    return Window(limit=limit, after=after)


Wanted = Annotated[Window, Depends(_window)]

Containing = Annotated[
    str, Query(max_length=255, description="Only those with this text in them, in any case.")
]
InDomain = Annotated[str, Query(max_length=255, description="Only those of this domain.")]


class UserName(Convertor[str]):
    """A user's name in a path: it may have slashes in it, and ends before ``/app-passwords``."""

    regex = r"(?s:(?!/app-passwords(?:/|\Z)).)+"

    def convert(self, value: str) -> str:
        """Return the name."""
        return value

    def to_string(self, value: str) -> str:
        """Return how it stands in a path."""
        return value


register_url_convertor("user", UserName())


def address_in_path(text: str, what: str) -> Address:
    """Return the address that a path names; a malformed one names nothing."""
    try:
        return Address.parse(text)
    except BadAddressError:
        raise not_found(what, text) from None
