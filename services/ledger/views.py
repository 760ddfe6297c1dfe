"""What the REST API shows: the shapes of its answers."""

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A part of a list; ``next`` is what to ask ``after`` for the following part."""

    items: list[T]
    next: str | None = None


class Fate(BaseModel):
    """Where a recipient stands. ``reply`` is the last word of whoever was asked."""

    recipient: str
    stage: str
    detail: str
    reply: str | None
    at: datetime


class Entry(Fate):
    """A step of a recipient's way. ``cause`` is the id of the mail or of the leg."""

    cause: str


class Mail(BaseModel):
    """A message. ``sender`` is empty for reports, and while its acceptance is still untold."""

    id: str
    sender: str = ""
    size: int = 0
    origin: str = ""
    submitter: str = ""
    accepted_at: datetime
    ended_at: datetime | None = None


class Story(Mail):
    """A message, where its recipients stand, and how they came there."""

    recipients: list[Fate]
    timeline: list[Entry]


class Waiting(BaseModel):
    """A leg that waits until ``due``."""

    id: str
    mail: str
    hop: str
    attempt: int
    due: datetime
    since: datetime
    sender: str
    recipients: list[str]
    why: str


class Queue(BaseModel):
    """A queue of the bus."""

    name: str
    ready: int
    taken: int
    consumers: int


class Queues(BaseModel):
    """The queues of the bus, and how many events were put aside as unhandled."""

    items: list[Queue]
    parked: int


class ParkedEvent(BaseModel):
    """An event that nobody could handle. ``mail`` is empty when it cannot be read."""

    key: str
    queue: str
    mail: str
    why: str


class Counts(BaseModel):
    """Recipients: accepted = ended + open; those who wait are among the open ones."""

    accepted: int
    ended: int
    open: int
    waiting: int
