"""Logins: finds the user, judges what is shown, counts what failed, and gives the verdict."""

from collections.abc import Collection

import structlog
from prometheus_client import Counter

from kernel.model.address import Address, BadAddressError
from kernel.model.events import DirectoryChanged
from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from kernel.model.reply import printable
from services.auth.adapters.passwords import Passwords
from services.auth.core.directory import Domains, User, key_of
from services.auth.core.login import Suspect, judge
from services.auth.directory import Directory
from services.auth.lockouts import Lockouts, suspects_of
from services.auth.proofs import NOTHING, SHOW_PASSWORD, Proof, Proofs, name_in
from services.auth.upkeep import Upkeep

LONGEST_LOGIN = 512  # characters, as in the table
_log = structlog.get_logger("auth")

LOGINS = Counter("postroom_auth_logins_total", "Logins, by verdict.", ["verdict"])
_COUNTED = {verdict: LOGINS.labels(verdict) for verdict in LoginVerdict}


class Logins:
    """Judges who asks to be let in."""

    def __init__(
        self,
        directory: Directory,
        passwords: Passwords,
        lockouts: Lockouts,
        upkeep: Upkeep,
        *,
        key: bytes,
    ) -> None:
        self._directory = directory
        self._lockouts = lockouts
        self._upkeep = upkeep
        self._proofs = Proofs(passwords, key)

    async def attempt(self, question: LoginQuestion) -> LoginAnswer:
        """Return the verdict. Raises `DirectoryUnavailableError` or `PasswordsBusyError`.

        Whether there is such a user shows neither in the answer nor in its time. The
        lockout is looked at again after the password: many tries at once get no
        more answers than as many in turn.
        """
        name = name_in(question)
        user, known_as = await self._known(name or "")
        suspects = suspects_of(known_as, question.client)

        if await self._lockouts.forbid(suspects):
            return _answer(question, name, LoginVerdict.LOCKED)
        proof = await self._proofs.judge(question, known_as, user) if name else NOTHING
        if proof.continues:
            return _answer(question, name, LoginVerdict.CONTINUE, message=proof.message)
        verdict = await self._verdict(user, proof, suspects)

        if user is None or verdict is not LoginVerdict.GRANTED:
            return _answer(question, name, verdict)
        await self._lockouts.forgive(suspects)
        if proof.app is not None:
            self._upkeep.note_use(proof.app)
        elif question.mechanism in SHOW_PASSWORD:
            self._upkeep.renew(user, question.password)
        return _answer(question, name, verdict, user, proof.message)

    async def find(self, name: str) -> User | None:
        """Return the user with this login name, or whose address it is.

        A name without a domain is an address in the primary one.
        """
        return (await self._known(name))[0]

    async def is_locked_out(self, client: str) -> bool:
        """Whether who comes from there has to wait."""
        return await self._lockouts.forbid(suspects_of("", client))

    async def note_failure(self, client: str) -> None:
        """Count a failure from there."""
        await self._lockouts.count(suspects_of("", client))

    def heed(self, notice: DirectoryChanged) -> None:
        """Forget what ``notice`` is about."""
        self._lockouts.drop(notice)

    async def _known(self, name: str) -> tuple[User | None, str]:
        """Return the user of that name, and how this login counts, user or not.

        One who does not exist goes by one name too, however an address is spelled, and
        is looked up as often.
        """
        if not name.isprintable() or len(name) > LONGEST_LOGIN:
            return None, ""  # no such name was ever given out: it is not worth remembering
        login = name.casefold()
        domains = (await self._directory.policies()).domains
        address = _address(name, domains)
        key = key_of(address, domains) if address else None
        found = (await self._directory.users((login,)))[login]
        entry = (await self._directory.entries((key,)))[key] if key else None
        owner = entry.login if entry and entry.login else login
        user = found or (await self._directory.users((owner,)))[owner]
        if user is not None:
            return user, user.login
        stranger = f"{key[1]}@{key[0] or _primary(domains)}" if key else login
        return None, stranger[:LONGEST_LOGIN]

    async def _verdict(
        self, user: User | None, proof: Proof, suspects: Collection[Suspect]
    ) -> LoginVerdict:
        look_again = proof.correct and proof.fresh
        locked = look_again and await self._lockouts.forbid(suspects, afresh=True)
        verdict = judge(user, correct=proof.correct, locked=locked)
        if verdict is LoginVerdict.REFUSED and not await self._lockouts.count(suspects):
            return LoginVerdict.LOCKED
        return verdict


def _address(name: str, domains: Domains) -> Address | None:
    text = name if "@" in name else f"{name}@{_primary(domains)}"
    try:
        return Address.parse(text)
    except BadAddressError:
        return None


def _primary(domains: Domains) -> str:
    return next((domain.name for domain in domains.values() if domain.primary), "")


def _answer(
    question: LoginQuestion,
    name: str | None,
    verdict: LoginVerdict,
    user: User | None = None,
    message: bytes = b"",
) -> LoginAnswer:
    _note(question, name or "", verdict)
    if user is None:
        return LoginAnswer(verdict, message=message)
    return LoginAnswer(verdict, user.login, user.administrator, user.address, message)


def _note(question: LoginQuestion, name: str, verdict: LoginVerdict) -> None:
    _COUNTED[verdict].inc()
    fine = verdict in {LoginVerdict.GRANTED, LoginVerdict.CONTINUE}
    log = _log.debug if fine else _log.warning
    log(
        "login",
        verdict=verdict.value,
        login=printable(name[:LONGEST_LOGIN]),
        service=question.service,
        listener=question.listener,
        client=question.client,
        mechanism=question.mechanism,
    )
