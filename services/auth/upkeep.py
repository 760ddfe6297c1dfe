"""Upkeep: what a login leaves to be done, while its client has its answer already."""

from datetime import datetime, timedelta

import structlog

from kernel.clock import Clock
from kernel.model.events import DirectoryChanged
from services.auth.adapters import app_passwords, users
from services.auth.adapters.database import Database
from services.auth.adapters.passwords import Passwords
from services.auth.core.directory import AppPassword, User
from services.auth.directory import Directory
from services.auth.errands import Errands

NOTE_EVERY = timedelta(hours=1)
"""How often the use of an app password is written down."""
MOST_NOTED = 10_000
_log = structlog.get_logger("auth")


class Upkeep:
    """Renews what is stored of passwords, and notes when app passwords are used."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        passwords: Passwords,
        errands: Errands,
        clock: Clock,
    ) -> None:
        self._database = database
        self._directory = directory
        self._passwords = passwords
        self._errands = errands
        self._clock = clock
        self._renewing: set[str] = set()
        self._noted: dict[str, datetime] = {}

    def renew(self, user: User, password: str) -> None:
        """Have what is made today of the user's password, if something else is stored.

        What fails now is tried again at the next login.
        """
        if user.login not in self._renewing and not self._passwords.are_up_to_date(user):
            self._renewing.add(user.login)
            self._errands.run(self._renew(user, password), "renewing a password")

    def note_use(self, app: AppPassword) -> None:
        """Note that an app password was used, unless that was noted lately."""
        now = self._clock()
        last = self._noted.get(app.digest) or app.used_at
        if last is not None and now - last < NOTE_EVERY:
            return
        if len(self._noted) >= MOST_NOTED:
            self._noted.clear()
        self._noted[app.digest] = now
        self._errands.run(self._note_use(app.digest, now), "noting the use of an app password")

    async def _renew(self, user: User, password: str) -> None:
        try:
            secrets = await self._passwords.made_for(user.login, password, user.salt)
            async with self._database.writing(alone=True) as db:
                renewed = await users.replace_secrets(db, user, secrets)
            self._directory.drop(DirectoryChanged("app-passwords", user.login))
        finally:
            self._renewing.discard(user.login)
        _log.info("what is stored of a password", login=user.login, renewed=renewed)

    async def _note_use(self, digest: str, now: datetime) -> None:
        async with self._database.writing() as db:
            await app_passwords.note_use(db, digest, now, NOTE_EVERY)
