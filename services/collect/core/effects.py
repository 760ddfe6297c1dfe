"""What a session wants done.

After each `Say` it is asked for more, by `Session.said`. It says `Login`, `Claim`, `StartTls`,
`Fetch` or `Update`, as the last of its wants, and then waits for the answer; what the client
sends meanwhile stands in line.
"""

from dataclasses import dataclass

from kernel.model.address import Address
from kernel.model.questions import LoginQuestion


@dataclass(frozen=True, slots=True)
class Say:
    """Send these octets to the client."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection once everything is sent."""


@dataclass(frozen=True, slots=True)
class Login:
    """Ask whether this login is right. Answer: `Session.logged_in`."""

    question: LoginQuestion


@dataclass(frozen=True, slots=True)
class Claim:
    """Take this mailbox for the client alone, and look what is in it. Answer: `Session.claimed`."""

    mailbox: Address
    login: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Take up TLS now. Answer: `Session.secured`."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read this message.

    Answer: `Session.fetched` with each part, as long as it has not `has_fetched_enough`; then
    `Session.fetched_all`, or `Session.not_fetched` if it went wrong.
    """

    key: str


@dataclass(frozen=True, slots=True)
class Update:
    """Remove these messages, then give the mailbox back. Answer: `Session.updated`."""

    keys: tuple[str, ...]


Effect = Say | Close | Login | Claim | StartTls | Fetch | Update
