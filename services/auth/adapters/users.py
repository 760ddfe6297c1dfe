"""Users in SQL."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.address import Address
from services.auth.adapters import tables as t
from services.auth.adapters.records import user_of
from services.auth.core.directory import Domains, Key, User, key_of
from services.auth.core.secrets import Secrets
from services.auth.ports import TakenError

_SECRETS = {"password", "salt", "sealed"}


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user, and what no decision asks for."""

    user: User
    full_name: str = ""
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class UserSearch:
    """Which users are wanted; what is empty does not matter."""

    q: str = ""
    domain: str = ""
    administrator: bool | None = None
    disabled: bool | None = None
    may_relay: bool | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what must hold of a row."""
        if self.q:
            texts = (t.users.c.login, t.users.c.address, t.users.c.full_name)
            yield or_(*(text.icontains(self.q, autoescape=True) for text in texts))
        if self.domain:
            yield t.users.c.address.iendswith(f"@{self.domain}", autoescape=True)
        for column in (t.users.c.administrator, t.users.c.disabled, t.users.c.may_relay):
            if (wanted := getattr(self, column.name)) is not None:
                yield column.is_(wanted)


async def page(
    db: AsyncConnection, search: UserSearch, limit: int, after: str
) -> Sequence[UserRecord]:
    """Return up to ``limit`` of the users wanted whose logins come after ``after``."""
    query = select(t.users).where(t.users.c.login > after, *search.conditions())
    query = query.order_by(t.users.c.login)
    return await _records(db, (await db.execute(query.limit(limit))).all())


async def find(db: AsyncConnection, name: str, key: Key | None) -> UserRecord | None:
    """Return the user whose login name is ``name``, or whose address stands under ``key``."""
    rows = (await db.execute(select(t.users).where(t.users.c.login == name.casefold()))).all()
    if not rows and key is not None:
        realm, local = key
        theirs = (t.addresses.c.realm == realm) & (t.addresses.c.local == local)
        rows = (await db.execute(select(t.users).join(t.addresses).where(theirs))).all()
    return (await _records(db, rows))[0] if rows else None


async def add(db: AsyncConnection, record: UserRecord, domains: Domains) -> None:
    """Add a user and the user's address; `TakenError` if the login or the address is taken."""
    values = {"login": record.user.login, "address": str(record.user.address)}
    row = await db.execute(insert(t.users).values(**values, **_columns(record)))
    (user_id,) = row.inserted_primary_key or (None,)
    await add_address(db, record.user.address, domains, user_id=user_id)


async def change(db: AsyncConnection, before: UserRecord, after: UserRecord) -> None:
    """Store what has changed about a user, except login and addresses.

    Raises `TakenError` if somebody else has given the user another salt meanwhile, with which
    app passwords were made, and ``after`` has secrets that were made with its own.
    """
    old, new = _columns(before), _columns(after)
    changes = {name: value for name, value in new.items() if value != old[name]}
    if not changes:
        return
    mine = t.users.c.login == after.user.login
    if _SECRETS & changes.keys():
        mine &= t.users.c.salt == before.user.salt
    if (await db.execute(update(t.users).where(mine).values(**changes))).rowcount == 0:
        raise TakenError(f"{after.user.login} was changed meanwhile")


async def replace_secrets(db: AsyncConnection, user: User, secrets: Secrets) -> bool:
    """Store other secrets of the same password; not if somebody has changed it meanwhile."""
    same = (t.users.c.login == user.login) & (t.users.c.password == user.password)
    values = {"password": secrets.hash, "salt": secrets.salt, "sealed": secrets.sealed}
    unchanged = same & (t.users.c.salt == user.salt) & (t.users.c.sealed == user.sealed)
    return (await db.execute(update(t.users).where(unchanged).values(**values))).rowcount > 0


async def remove(db: AsyncConnection, login: str) -> None:
    """Remove a user and the user's addresses."""
    await db.execute(delete(t.users).where(t.users.c.login == login))


async def end_grants(db: AsyncConnection, login: str) -> list[str]:
    """Remove what the user's logins have granted; return to which clients."""
    mine = select(t.users.c.id).where(t.users.c.login == login).scalar_subquery()
    theirs = t.grants.c.user_id == mine
    clients = (await db.execute(select(t.grants.c.client).where(theirs))).scalars().all()
    await db.execute(delete(t.grants).where(theirs))
    return sorted(clients)


async def administrators(db: AsyncConnection) -> set[str]:
    """Return the logins of all administrators who can log in; they cannot change meanwhile."""
    able = t.users.c.administrator & ~t.users.c.disabled
    query = select(t.users.c.login).where(able).order_by(t.users.c.id).with_for_update()
    return set((await db.execute(query)).scalars())


async def add_address(
    db: AsyncConnection,
    address: Address,
    domains: Domains,
    *,
    user_id: int | None = None,
    targets: Iterable[Address] = (),
) -> None:
    """Add an address of ours, for a user or as an alias; `TakenError` if there is one."""
    key = key_of(address, domains)
    if key is None:
        raise ValueError(f"{address} is in no domain of ours")
    await db.execute(
        insert(t.addresses).values(
            realm=key[0],
            local=key[1],
            address=str(address),
            domain=address.domain,
            user_id=user_id,
            targets=[str(target) for target in targets],
        )
    )


def _columns(record: UserRecord) -> dict[str, object]:
    user = record.user
    return {
        "full_name": record.full_name,
        "password": user.password,
        "may_relay": user.may_relay,
        "administrator": user.administrator,
        "disabled": user.disabled,
        "send_as": list(user.send_as),
        "quota": user.quota,
        "salt": user.salt,
        "sealed": user.sealed,
    }


async def _records(db: AsyncConnection, rows: Sequence[Row[Any]]) -> Sequence[UserRecord]:
    theirs = t.addresses.c.user_id.in_([row.id for row in rows])
    query = select(t.addresses.c.user_id, t.addresses.c.address).where(theirs)
    addresses: defaultdict[int, tuple[Address, ...]] = defaultdict(tuple)
    for row in await db.execute(query.order_by(t.addresses.c.address)):
        addresses[row.user_id] += (Address.parse(row.address),)
    return [UserRecord(user_of(row), row.full_name, addresses[row.id]) for row in rows]
