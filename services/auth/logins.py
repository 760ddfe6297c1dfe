"""Logins: finds the user, checks the password, counts what failed, and gives the verdict."""

from collections.abc import Hashable
from datetime import datetime

import structlog
from prometheus_client import Counter

from kernel.clock import Clock
from kernel.model.address import Address, BadAddressError
from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from kernel.model.reply import printable
from services.auth.adapters.passwords import Passwords
from services.auth.core.directory import User, key_of
from services.auth.core.lan import neighbourhood
from services.auth.core.login import (
    WITH_A_USER,
    WITH_AN_ADDRESS,
    Failures,
    Patience,
    is_locked,
    judge,
    one_more,
)
from services.auth.directory import Directory

MOST_COUNTED = 10_000
LONGEST_PASSWORD = 1024
LONGEST_LOGIN = 512  # characters, as in the table
_log = structlog.get_logger("auth")

LOGINS = Counter("postroom_auth_logins_total", "Logins, by verdict.", ["verdict"])
_COUNTED = {verdict: LOGINS.labels(verdict) for verdict in LoginVerdict}


class FailureBook:
    """Remembers failures by name or address, the latest of them; each process has its own."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures: dict[Hashable, Failures] = {}

    def is_locked(self, who: Hashable, now: datetime) -> bool:
        """Whether ``who`` has to wait before another try."""
        return is_locked(self._failures.get(who), self._patience, now)

    def add(self, who: Hashable, now: datetime) -> None:
        """Count a failure of ``who``."""
        failures = one_more(self._failures.pop(who, None), self._patience, now)
        if len(self._failures) >= MOST_COUNTED:
            del self._failures[next(iter(self._failures))]
        self._failures[who] = failures

    def clear(self, who: Hashable) -> None:
        """Forget what ``who`` got wrong."""
        self._failures.pop(who, None)


class Logins:
    """Judges who asks to be let in."""

    def __init__(self, directory: Directory, passwords: Passwords, clock: Clock) -> None:
        self._directory = directory
        self._passwords = passwords
        self._clock = clock
        self._names = FailureBook(WITH_A_USER)
        self._clients = FailureBook(WITH_AN_ADDRESS)

    async def attempt(self, question: LoginQuestion) -> LoginAnswer:
        """Return the verdict. Raises `DirectoryUnavailableError` or `PasswordsBusyError`.

        Whether there is such a user shows neither in the answer nor in its time. The
        lockout is looked at again after the password: many tries at once get no
        more answers than as many in turn.
        """
        user = await self.find(question.login)
        name = user.login if user else question.login[:LONGEST_LOGIN].casefold()
        client = neighbourhood(question.client)

        locked = self._locked(name, client)
        correct = not locked and await self._verify(user, question.password)
        verdict = judge(user, correct=correct, locked=locked or self._locked(name, client))

        self._count(verdict, name, client)
        _note(verdict, question)
        if verdict is not LoginVerdict.GRANTED or user is None:
            return LoginAnswer(verdict)
        return LoginAnswer(verdict, user.login, user.administrator)

    async def is_locked_out(self, client: str) -> bool:
        """Whether so much came from this client's neighbourhood that it has to wait."""
        return self._clients.is_locked(neighbourhood(client), self._clock())

    async def note_failure(self, client: str) -> None:
        """Count a credential without a login name that was wrong: an API key."""
        self._clients.add(neighbourhood(client), self._clock())

    async def find(self, name: str) -> User | None:
        """Return the user with this login name, or whose address it is."""
        if not name.isprintable() or len(name) > LONGEST_LOGIN:
            return None  # no such name was ever given out: it is not worth remembering
        login = name.casefold()
        user = (await self._directory.users((login,)))[login]
        if user is None and (owner := await self._owner(name)):
            user = (await self._directory.users((owner,)))[owner]
        return user

    async def _owner(self, text: str) -> str:
        try:
            address = Address.parse(text)
        except BadAddressError:
            return ""
        key = key_of(address, (await self._directory.policies()).domains)
        entry = (await self._directory.entries((key,)))[key] if key else None
        return entry.login if entry else ""

    async def _verify(self, user: User | None, password: str) -> bool:
        known = user is not None and len(password) <= LONGEST_PASSWORD
        stored = user.password if user and known else None
        return await self._passwords.verify(stored, password[:LONGEST_PASSWORD])

    def _locked(self, name: str, client: Hashable) -> bool:
        now = self._clock()
        return self._names.is_locked(name, now) or self._clients.is_locked(client, now)

    def _count(self, verdict: LoginVerdict, name: str, client: Hashable) -> None:
        if verdict is LoginVerdict.GRANTED:
            self._names.clear(name)
        elif verdict is LoginVerdict.REFUSED:
            self._names.add(name, self._clock())
            self._clients.add(client, self._clock())


def _note(verdict: LoginVerdict, question: LoginQuestion) -> None:
    _COUNTED[verdict].inc()
    log = _log.debug if verdict is LoginVerdict.GRANTED else _log.warning
    log(
        "login",
        verdict=verdict.value,
        login=printable(question.login[:LONGEST_LOGIN]),
        service=question.service,
        listener=question.listener,
        client=question.client,
        mechanism=question.mechanism,
    )
