"""The black list and the white list: clients, senders and recipients. The white one wins."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from kernel.model.questions import RelayQuestion
from services.auth.core.lan import Client, Networks, is_too_wide, parse_network
from services.auth.core.patterns import Patterns, is_everybody, parse_pattern


class Colour(StrEnum):
    """Which list."""

    BLACK = "black"
    WHITE = "white"


class Subject(StrEnum):
    """What an entry of a list is about."""

    CLIENT = "client"
    SENDER = "sender"
    RECIPIENT = "recipient"


class TooWideError(ValueError):
    """With everybody on the white list, the black one would mean nothing."""


@dataclass(frozen=True, slots=True)
class AddressList:
    """The black list, or the white one."""

    clients: Networks = field(default_factory=Networks)
    senders: Patterns = field(default_factory=Patterns)
    recipients: Patterns = field(default_factory=Patterns)

    @classmethod
    def of(cls, entries: Iterable[tuple[str, str]]) -> "AddressList":
        """Return the list of these (subject, pattern) pairs."""
        patterns: dict[str, list[str]] = {subject: [] for subject in Subject}
        for subject, pattern in entries:
            patterns[subject].append(pattern)
        return cls(
            Networks.of(patterns[Subject.CLIENT]),
            Patterns.of(patterns[Subject.SENDER]),
            Patterns.of(patterns[Subject.RECIPIENT]),
        )

    def names(self, client: Client | None, question: RelayQuestion) -> bool:
        """Whether the client, the sender or the recipient stands on this list."""
        return (
            client in self.clients
            or self.senders.match(question.sender)
            or self.recipients.match(question.recipient)
        )


def parse_entry(subject: Subject, text: str) -> str:
    """Return the canonical form of what stands on a list, or raise `ValueError`.

    Clients are networks, senders and recipients patterns of addresses.
    """
    return str(parse_network(text)) if subject is Subject.CLIENT else parse_pattern(text)


def new_entry(colour: Colour, subject: Subject, text: str) -> str:
    """Return the canonical form of what shall stand on a list, or raise `ValueError`."""
    entry = parse_entry(subject, text)
    if colour is Colour.WHITE and _is_everybody(subject, entry):
        raise TooWideError(f"{text!r} is everybody: the black list would mean nothing then")
    return entry


def _is_everybody(subject: Subject, entry: str) -> bool:
    if subject is Subject.CLIENT:
        return is_too_wide(parse_network(entry))
    return is_everybody(entry)
