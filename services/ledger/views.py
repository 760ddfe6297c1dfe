"""What the REST API shows and is asked: the shapes of answers and questions."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from kernel.model.address import parse_domain

T = TypeVar("T")
Domain = Annotated[str, AfterValidator(parse_domain)]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]


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


class Retry(BaseModel):
    """Which waiting legs to try at once: those that all of this is true of."""

    model_config = ConfigDict(extra="forbid")

    domain: Domain | None = Field(default=None, description="Mail for this domain.")
    sender: Text | None = Field(default=None, description="Of this sender; empty for reports.")
    mail: Text | None = Field(default=None, description="Legs of this mail.")
    all: bool = Field(default=False, description="Must be true if nothing else is said.")

    @model_validator(mode="after")
    def _says_which(self) -> "Retry":
        if not self.all and all(said is None for said in (self.domain, self.sender, self.mail)):
            raise ValueError("say which: domain, sender or mail; or all")
        return self


class Retried(BaseModel):
    """How many legs have become due."""

    legs: int


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
