"""Users as other servers write them down: a CSV file, or a passwd-style one of Dovecot or Courier.

Octets in, a `Reading` out. A line that cannot be taken is a `Fault`, and never ends the reading.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kernel.model.address import Address, BadAddressError
from postroom.client import Item
from postroom.oldhashes import NoSecretError, looks_hashed, secret_of
from postroom.values import octets

Style = Literal["csv", "passwd"]
Row = dict[str, str]
"""One user, by the names of `COLUMNS`; what a file does not say is missing or empty."""


class BadFileError(ValueError):
    """Nothing in the file can be understood. Says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A user of the file. ``facts`` are as the API wants them; no more than the file says."""

    line: int
    address: str
    login: str
    facts: Item = field(repr=False)
    aliases: tuple[str, ...] = ()

    def differences(self, user: Item) -> Item:
        """Return what the file says otherwise; of a password nobody can tell, so it is one."""
        return {name: value for name, value in self.facts.items() if user.get(name) != value}


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is not taken, and why; ``harmless`` if it was never meant to be."""

    line: int
    who: str
    why: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """All that stands in a file."""

    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...]
    encoding: str


def read_users(content: bytes, style: Style | None = None, domain: str = "") -> Reading:
    """Return the users of a file; ``domain`` is theirs who stand there without one.

    Raises `BadFileError`.
    """
    text, encoding = _decoded(content)
    rows = _READERS[style or style_of(text)](text)
    found = [*_without_twins(_taken(line, row, domain) for line, row in rows)]
    entries = tuple(entry for entry in found if isinstance(entry, Entry))
    return Reading(entries, tuple(fault for fault in found if isinstance(fault, Fault)), encoding)


def style_of(text: str) -> Style:
    """Return what kind of file it is: a header row with names of ours makes a CSV file."""
    header = next(_significant(text), (0, ""))[1]
    names = {_column(cell) for cell in header.split(_delimiter(header))}
    return "csv" if names & {"login", "address"} else "passwd"


def _decoded(content: bytes) -> tuple[str, str]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # "Unicode text" of spreadsheets
        return content.decode("utf-16", "replace"), "UTF-16"
    try:
        return content.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "Latin-1"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers. Nothing but CR and LF ends one."""
    return enumerate(re.split("\r\n|\n|\r", text), start=1)


def _significant(text: str) -> Iterator[tuple[int, str]]:
    return ((n, line) for n, line in _lines(text) if line.strip() and not _is_comment(line))


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


# --- passwd-style files: name:password:uid:gid:gecos:home:shell:extra


def _passwd_rows(text: str) -> Iterator[tuple[int, Row | str]]:
    for number, line in _significant(text):
        name, colon, rest = line.strip().partition(":")
        if not colon:
            yield number, "there is no colon in it"
            continue
        password, *others = rest.split(":")
        row = {"login": name, "password_hash": password}
        yield number, row | {"full_name": _full_name(others[2]) if len(others) > 2 else ""}  # noqa: PLR2004 - after uid and gid


def _full_name(gecos: str) -> str:
    """Return the name in a GECOS field; in a shadow file, a number of days stands there."""
    name = gecos.partition(",")[0].strip()
    return "" if name.isdigit() else name


# --- CSV files (RFC 4180), also as spreadsheets write them


def _csv_rows(text: str) -> Iterator[tuple[int, Row | str]]:
    lines = _csv_lines(text)
    number, header = next(lines, (1, []))
    if isinstance(header, str):
        raise BadFileError(f"line {number}: {header}")
    columns = _columns(header)
    for number, cells in lines:
        if isinstance(cells, str):
            yield number, cells
        elif len(cells) != len(columns):
            yield number, f"it has {len(cells)} columns, and the header {len(columns)}"
        else:
            row = dict(zip(columns, cells, strict=True))
            yield number, {n: c if n == "password" else c.strip() for n, c in row.items()}


def _csv_lines(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the cells of each row that says something, or what is wrong with it."""
    delimiter = _delimiter(next(_significant(text), (0, ""))[1])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, str(error)
            continue
        if any(map(str.strip, cells)) and not _is_comment(cells[0]):
            yield number, cells


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _columns(header: Iterable[str]) -> list[str]:
    columns = [_column(cell) for cell in header]
    if unknown := sorted(set(columns) - COLUMNS.keys()):
        raise BadFileError(
            f"there is no column {', '.join(unknown)}; there are {', '.join(COLUMNS)}"
        )
    if len(set(columns)) < len(columns):
        raise BadFileError("a column stands there twice")
    if not {"login", "address"} & {*columns}:
        raise BadFileError("there is neither a column login nor a column address")
    return columns


def _column(cell: str) -> str:
    name = re.sub(r"[\s-]+", "_", cell.strip().strip('"').casefold())
    return _OTHER_NAMES.get(name, name)


# --- what both have in common


def _taken(line: int, row: Row | str, domain: str) -> Entry | Fault:
    if isinstance(row, str):
        return Fault(line, "", row)
    who = row.get("address") or row.get("login") or ""
    try:
        facts = _facts(row)  # who is locked needs no domain
        address, login = _names(row, domain)
        return Entry(line, address, login, facts, _aliases(row))
    except NoSecretError as error:
        return Fault(line, who, str(error), harmless=True)
    except BadAddressError as error:
        return Fault(line, who, f"no address: {error}")
    except ValueError as error:
        return Fault(line, who, str(error))


def _names(row: Row, domain: str) -> tuple[str, str]:
    """Return the address and the login, which is empty where it is the address."""
    login, address = row.get("login", ""), row.get("address", "") or row.get("login", "")
    if not address:
        raise ValueError("it names nobody")
    if "@" not in address and not domain:
        raise ValueError("the address has no domain: name one with --domain")
    address = str(Address.parse(address if "@" in address else f"{address}@{domain}"))
    if "@" not in login:
        return address, login
    if str(Address.parse(login)).casefold() != address.casefold():
        raise ValueError("a login that looks like an address must be the user's own")
    return address, ""


def _facts(row: Row) -> Item:
    said = {name: COLUMNS[name](value) for name, value in row.items() if value}
    facts = {name: value for name, value in said.items() if name not in _APART}
    if not {"password", "password_hash"} & row.keys():
        return facts  # enough to change users who are there
    return facts | _secret(row.get("password", ""), row.get("password_hash", ""))


def _secret(password: str, password_hash: str) -> Item:
    if password and password_hash:
        raise ValueError("there is a password, and a hash as well")
    if not password:
        return secret_of(password_hash)
    if looks_hashed(password):
        raise ValueError("the password looks like a hash: put it into a column password_hash")
    return {"password": password}


def _aliases(row: Row) -> tuple[str, ...]:
    return tuple(str(Address.parse(word)) for word in _words(row.get("aliases", "")))


def _without_twins(found: Iterable[Entry | Fault]) -> Iterator[Entry | Fault]:
    """Yield all, and of those who stand there twice the first."""
    seen: dict[str, int] = {}
    for entry in found:
        if isinstance(entry, Fault):
            yield entry
            continue
        names = {entry.address.casefold(), (entry.login or entry.address).casefold()}
        twin = next((seen[name] for name in names if name in seen), 0)
        seen |= dict.fromkeys(names, entry.line)
        who = entry.address
        yield Fault(entry.line, who, f"stands on line {twin} already") if twin else entry


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;|]+", text) if word]


def _yes(text: str) -> bool:
    word = text.casefold()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


COLUMNS: Mapping[str, Callable[[str], object]] = {
    "login": str,
    "address": str,
    "password": str,
    "password_hash": str,
    "full_name": str,
    "may_relay": _yes,
    "administrator": _yes,
    "disabled": _yes,
    "send_as": _words,
    "quota": octets,
    "aliases": _words,
}
"""The columns of a CSV file, and what their cells mean."""

_OTHER_NAMES = {
    "user": "login",
    "username": "login",
    "email": "address",
    "mail": "address",
    "name": "full_name",
    "hash": "password_hash",
}
_APART = {"login", "address", "password", "password_hash", "aliases"}
_YES = {"yes", "y", "true", "t", "1", "on"}
_NO = {"no", "n", "false", "f", "0", "off"}
_READERS: Mapping[Style, Callable[[str], Iterator[tuple[int, Row | str]]]] = {
    "csv": _csv_rows,
    "passwd": _passwd_rows,
}
