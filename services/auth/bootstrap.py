"""The first start: a domain, an administrator, and listeners with their defaults."""

import secrets
import sys
from collections.abc import Sequence

import structlog
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from kernel.model.address import Address, parse_domain
from services.auth.adapters import aliases, domains, policies, users
from services.auth.adapters.aliases import Alias
from services.auth.adapters.database import Database
from services.auth.adapters.passwords import Passwords
from services.auth.adapters.users import UserRecord
from services.auth.core.directory import POSTMASTER, Domain, User
from services.auth.core.listener import DEFAULTS
from services.auth.core.secrets import Secrets
from services.auth.ports import TakenError

ADMIN = "admin"
ROLES = (POSTMASTER, "abuse")  # RFC 5321 §4.5.1, RFC 2142 §4
_log = structlog.get_logger("auth")


async def furnish(
    database: Database,
    passwords: Passwords,
    *,
    domain: str,
    lan: Sequence[str],
    password: SecretStr | None,
) -> None:
    """Make what a new server needs, unless there is a domain already.

    Of two processes that start at once, one finds that the other was faster.
    """
    async with database.reading() as db:
        if await domains.every(db):
            return
    given = password.get_secret_value() if password else ""
    chosen = given or secrets.token_urlsafe(12)
    stored = await passwords.made_for(ADMIN, chosen)
    try:
        async with database.writing() as db:
            await _furnish(db, parse_domain(domain), lan, stored)
    except TakenError:
        return
    _log.info("made at first start", domain=domain, administrator=ADMIN, lan=list(lan))
    if not given:
        sys.stdout.write(f"Administrator {ADMIN!r} of {domain}, password: {chosen}\n")
        sys.stdout.flush()


async def _furnish(db: AsyncConnection, domain: str, lan: Sequence[str], stored: Secrets) -> None:
    primary = Domain(domain, primary=True)
    known = {domain: primary}
    admin = User(ADMIN, Address(ADMIN, domain), administrator=True).with_secrets(stored)
    await domains.add(db, primary)
    await users.add(db, UserRecord(admin, "Administrator"), known)
    for role in ROLES:
        await aliases.add(db, Alias(Address(role, domain), (admin.address,)), known)
    for network in lan:
        await policies.add_network(db, network)
    for name, settings in DEFAULTS.items():
        await policies.add_listener(db, name, settings)
