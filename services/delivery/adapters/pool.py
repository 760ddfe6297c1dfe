"""Idle connections, kept for the next message that goes their way."""

from collections import Counter
from collections.abc import Hashable

from services.delivery.adapters.connection import Connection
from services.delivery.core.smtp_client import Phase


class Pool:
    """Keeps connections by site, and by the way in which they were made, oldest first."""

    def __init__(self) -> None:
        self._idle: dict[Connection, tuple[str, Hashable]] = {}
        self._at: Counter[str] = Counter()

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites to which any are kept."""
        return tuple(self._at)

    def take(self, site: str, way: Hashable) -> Connection | None:
        """Return the idle connection that was used last: it is the least likely to be gone."""
        if not self._at[site]:
            return None
        found = next((c for c in reversed(self._idle) if self._idle[c] == (site, way)), None)
        if found is not None:
            self.drop(found)
            found.wake()
        return found

    def keep(self, connection: Connection, site: str, way: Hashable) -> None:
        """Keep a connection for whoever comes next."""
        if connection.client.phase is Phase.IDLE:
            self._idle[connection] = (site, way)
            connection.rest()
            self._at[site] += 1

    def drop(self, connection: Connection) -> None:
        """Forget a connection, if it is kept."""
        site, _ = self._idle.pop(connection, ("", None))
        if site:
            self._at[site] -= 1
            if not self._at[site]:
                del self._at[site]

    def shrink(self, most: int, site: str = "") -> None:
        """Say goodbye on the oldest connections, to ``site`` or to all, but for so many."""
        surplus = (self._at[site] if site else len(self._idle)) - max(0, most)
        if surplus <= 0:
            return
        idle = [c for c, (name, _) in self._idle.items() if site in ("", name)]
        for connection in idle[:surplus]:
            self.drop(connection)
            connection.close()
