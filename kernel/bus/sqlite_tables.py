"""The tables of the SQLite bus, and every statement on them.

Used by the one thread that owns the connection. Statements take many rows at once,
because each one gives up the interpreter lock and has to win it back.

An event that somebody works on belongs to an owner: a row for each open bus, with
who runs it and a heartbeat. What belongs to nobody is ready once it is due.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kernel.bus.handling import MAX_FAILURES
from kernel.bus.process import Process, is_gone

ROWS_PER_INSERT = 256
KEEP_NOTICES = 60.0  # seconds
LONGEST_WAIT = 60.0
"""What is due later than that, in seconds, was put back before somebody set the clock."""

_PRAGMAS = (
    "busy_timeout = 5000",
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = OFF",  # Debian's default writes every deleted page once more
    "wal_autocheckpoint = 4000",
    "journal_size_limit = 67108864",
    "cache_size = -16384",
    "temp_store = MEMORY",
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS owner (
    id INTEGER PRIMARY KEY AUTOINCREMENT, process TEXT NOT NULL, seen REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS consumer (owner INTEGER NOT NULL, queue TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    owner INTEGER,
    again INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS ready ON event (queue, id) WHERE owner IS NULL;
CREATE TABLE IF NOT EXISTS parked (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, why TEXT NOT NULL, data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS notice (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,
    at REAL NOT NULL,
    data BLOB NOT NULL
);
"""

_CLAIM = """
UPDATE event SET owner = ? WHERE id IN (
    SELECT id FROM event
    WHERE queue = ? AND owner IS NULL AND due NOT BETWEEN ? AND ? AND failures BETWEEN ? AND ?
    ORDER BY id LIMIT ?
) RETURNING id, again, failures, data
"""
_NO_LIMIT = 1_000_000


def _insert(rows: int) -> str:
    return "INSERT INTO event (queue, owner, data) VALUES" + ", ".join([" (?, ?, ?)"] * rows)


_OURS = " WHERE owner = ? AND id IN (SELECT value FROM json_each(?))"
_FAILED_ENOUGH = " AND failures >= ?"
_ORPHANED = " WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM owner)"
_TO_PARKED = "INSERT INTO parked (queue, why, data) SELECT queue, ?, data FROM event"
_DELETE = "DELETE FROM event"
_FREE = "UPDATE event SET owner = NULL, again = again OR ?, failures = failures + ?, due = ?"


@dataclass(slots=True, eq=False)
class Lease:
    """Our hold on one event: it is ours as long as the row names our owner."""

    owner: int
    id: int
    again: bool = False
    failures: int = 0

    @property
    def is_last_chance(self) -> bool:
        """Whether one more failure parks the event."""
        return self.failures >= MAX_FAILURES - 1


class Tables:
    """One connection to the file, with an owner of its own."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._process = Process.mine()
        self.owner = 0
        self._inserts = {n: _insert(n) for n in range(1, ROWS_PER_INSERT + 1)}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, made at the first time; readable by its owner alone."""
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        return cls(db)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def begin(self) -> None:
        """Start a transaction."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """End the transaction: what it did is on stable storage."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Forget the transaction, if there is one."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def version(self) -> int:
        """Return a number that changes when another connection has written."""
        return int(self._one("PRAGMA data_version"))

    # Owners

    def enter(self, now: float) -> None:
        """Become an owner."""
        row = (self._process.text, now)
        cursor = self._db.execute("INSERT INTO owner (process, seen) VALUES (?, ?)", row)
        self.owner = cursor.lastrowid or 0

    def leave(self) -> None:
        """Hand back whatever we still hold, and be no owner any more."""
        self._db.execute("UPDATE event SET owner = NULL, again = 1 WHERE owner = ?", (self.owner,))
        self._db.execute("DELETE FROM consumer WHERE owner = ?", (self.owner,))
        self._db.execute("DELETE FROM owner WHERE id = ?", (self.owner,))

    def is_owner(self) -> bool:
        """Whether nobody has taken us for dead."""
        return bool(self._one("SELECT count(*) FROM owner WHERE id = ?", self.owner))

    def beat(self, now: float) -> None:
        """Say that we live, and forget old notices."""
        self._db.execute("UPDATE owner SET seen = ? WHERE id = ?", (now, self.owner))
        self._db.execute(
            "DELETE FROM notice WHERE at NOT BETWEEN ? AND ?", (now - KEEP_NOTICES, now)
        )

    def dead(self, now: float) -> list[int]:
        """Return the owners that live no more."""
        rows = self._db.execute("SELECT id, process, seen FROM owner WHERE id <> ?", (self.owner,))
        return [id_ for id_, process, seen in rows if is_gone(Process(process), now - seen)]

    def bury(self, owners: Iterable[int]) -> None:
        """Release what belonged to ``owners``, or to none we know; it counts as a failure."""
        for owner in owners:
            self._db.execute("DELETE FROM consumer WHERE owner = ?", (owner,))
            self._db.execute("DELETE FROM owner WHERE id = ?", (owner,))
        last = MAX_FAILURES - 1
        self._db.execute(
            _TO_PARKED + _ORPHANED + _FAILED_ENOUGH,
            ("its worker died while it had the event", last),
        )
        self._db.execute(_DELETE + _ORPHANED + _FAILED_ENOUGH, (last,))
        self._db.execute(_FREE + _ORPHANED, (True, 1, 0))

    # Events

    def put(self, rows: Sequence[tuple[str, int | None, bytes]]) -> int:
        """Add (queue, owner, event) rows in order; return the id of the first, the rest follow."""
        first = 0
        for start in range(0, len(rows), ROWS_PER_INSERT):
            chunk = rows[start : start + ROWS_PER_INSERT]
            flat = [value for row in chunk for value in row]
            last = self._db.execute(self._inserts[len(chunk)], flat).lastrowid or 0
            first = first or last - len(chunk) + 1
        return first

    def done(self, leases: Iterable[Lease]) -> None:
        """Delete events that are done, if they are still ours."""
        self._db.execute(_DELETE + _OURS, self._listed(leases))

    def claim(
        self, queue: str, limit: int, now: float, *, last_chance: bool
    ) -> list[tuple[Lease, bytes]]:
        """Take up to ``limit`` ready events, oldest first; at most one on its last chance."""
        last = MAX_FAILURES - 1
        rows = self._claim(queue, now, 0, last - 1, limit)
        if last_chance and len(rows) < limit:
            rows += self._claim(queue, now, last, _NO_LIMIT, 1)
        return [(Lease(self.owner, id_, bool(again), n), data) for id_, again, n, data in rows]

    def release(self, leases: Iterable[Lease], *, touched: bool) -> None:
        """Hand events back as they were; ``touched`` if a handler has seen them."""
        self._db.execute(_FREE + _OURS, (touched, 0, 0, *self._listed(leases)))

    def fail(self, lease: Lease, due: float) -> None:
        """Hand an event back that failed; it is tried again when due."""
        self._db.execute(_FREE + _OURS, (True, 1, due, *self._listed([lease])))

    def park(self, lease: Lease, why: str) -> None:
        """Put an event aside."""
        self._db.execute(_TO_PARKED + _OURS, (why, *self._listed([lease])))
        self.done([lease])

    def parked(self, limit: int) -> list[tuple[int, str, str, bytes]]:
        """Return (id, queue, why, event) of what is parked, oldest first."""
        sql = "SELECT id, queue, why, data FROM parked ORDER BY id LIMIT ?"
        return self._db.execute(sql, (limit,)).fetchall()

    def replay(self, id_: int) -> bool:
        """Put a parked event back on its queue; whether there was one."""
        cursor = self._db.execute(
            "INSERT INTO event (queue, again, data) SELECT queue, 1, data FROM parked WHERE id = ?",
            (id_,),
        )
        self._db.execute("DELETE FROM parked WHERE id = ?", (id_,))
        return cursor.rowcount == 1

    # Consumers, notices and counts

    def consuming(self, queue: str, *, begins: bool) -> None:
        """Write down that one of our consumers begins or ends."""
        if begins:
            sql = "INSERT INTO consumer (owner, queue) VALUES (?, ?)"
        else:
            sql = (
                "DELETE FROM consumer WHERE rowid ="
                " (SELECT rowid FROM consumer WHERE owner = ? AND queue = ? LIMIT 1)"
            )
        self._db.execute(sql, (self.owner, queue))

    def tell(self, notice: bytes, now: float) -> None:
        """Leave a notice for the other connections."""
        sql = "INSERT INTO notice (owner, at, data) VALUES (?, ?, ?)"
        self._db.execute(sql, (self.owner, now, notice))

    def last_notice(self) -> int:
        """Return the id of the newest notice there ever was."""
        return int(self._one("SELECT max(seq) FROM sqlite_sequence WHERE name = 'notice'") or 0)

    def notices(self, after: int) -> list[tuple[int, bytes]]:
        """Return (id, notice) of what others have told since the notice ``after``."""
        sql = "SELECT id, data FROM notice WHERE id > ? AND owner <> ? ORDER BY id"
        return self._db.execute(sql, (after, self.owner)).fetchall()

    def counts(self) -> dict[str, tuple[int, int, int, int]]:
        """Return (ready, taken, consumers, taken by us) of every queue that has any."""
        rows = self._db.execute(
            "SELECT queue, sum(ready), sum(taken), sum(consumers), sum(here) FROM ("
            " SELECT queue, owner IS NULL AS ready, owner IS NOT NULL AS taken,"
            " 0 AS consumers, owner IS ? AS here FROM event"
            " UNION ALL SELECT queue, 0, 0, 1, 0 FROM consumer"
            " UNION ALL SELECT 'parked', 1, 0, 0, 0 FROM parked) GROUP BY queue",
            (self.owner,),
        )
        return {queue: tuple(counts) for queue, *counts in rows}

    def _claim(self, queue: str, now: float, low: int, high: int, limit: int) -> list[Any]:
        values = (self.owner, queue, now, now + LONGEST_WAIT, low, high, limit)
        return sorted(self._db.execute(_CLAIM, values).fetchall())

    def _listed(self, leases: Iterable[Lease]) -> tuple[int, str]:
        return self.owner, json.dumps([lease.id for lease in leases if lease.owner == self.owner])

    def _one(self, sql: str, *values: object) -> Any:  # noqa: ANN401 - whatever SQL answers
        return self._db.execute(sql, values).fetchone()[0]
