"""Patience: when a client has had time enough (RFC 5321 §4.5.3.2)."""

from dataclasses import dataclass
from enum import Enum, auto


class Phase(Enum):
    """Whom a connection waits for."""

    OURS = auto()  # us: auth, the store, a handshake that has a clock of its own
    COMMAND = auto()  # the client's next command
    CONTENT = auto()  # the next octets of a message
    DEAF = auto()  # the client to read what we have said


class Overdue(Enum):
    """What has taken too long."""

    IDLE = "idle"
    SLOW = "data_rate"
    LONG = "session_time"
    DEAF = "slow_reader"


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds. A message has to grow by ``octets`` in every ``idle``."""

    idle: float = 300.0
    deaf: float = 60.0
    session: float = 14_400.0
    octets: int = 5_000


class Watch:
    """The clock of one connection. Nothing here runs: somebody looks at it now and then.

    What has happened since the last look counts as of the next.
    """

    __slots__ = ("_began", "_has_moved", "_octets", "_phase", "_since")

    def __init__(self, now: float) -> None:
        self._began = self._since = now
        self._phase = Phase.COMMAND
        self._has_moved = False
        self._octets = 0

    def command(self) -> None:
        """Note that a command was answered: half a command is none."""
        self._has_moved = True

    def content(self, octets: int) -> None:
        """Note that a message has grown."""
        self._octets += octets

    def look(self, phase: Phase, now: float, times: Times) -> Overdue | None:
        """Return what has taken too long, if anything has."""
        if phase is not self._phase or phase is Phase.OURS:
            self._phase = phase
            self._begin(now)
        if self._has_moved:
            self._since, self._has_moved = now, False
        age, waited = now - self._began, now - self._since
        match phase:
            case Phase.DEAF:
                return Overdue.DEAF if waited >= times.deaf else None
            case Phase.COMMAND if waited >= times.idle:
                return Overdue.IDLE
            case Phase.COMMAND:
                return Overdue.LONG if age >= times.session else None
            case Phase.CONTENT if age >= 2 * times.session:
                return Overdue.LONG
            case Phase.CONTENT:
                return self._progress(waited, now, times)
        return None

    def _progress(self, waited: float, now: float, times: Times) -> Overdue | None:
        if self._octets >= times.octets:
            self._begin(now)
        elif waited >= times.idle:
            return Overdue.SLOW if self._octets else Overdue.IDLE
        return None

    def _begin(self, now: float) -> None:
        self._since = now
        self._octets = 0
