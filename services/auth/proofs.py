"""Proofs: judges what a client has shown, by whichever mechanism.

Whether there is such a user shows neither in what is said nor in the work that is done:
a wrong password costs one Argon2id, a wrong proof is tried against as many secrets.
"""

import hashlib
import secrets
from base64 import b64decode
from dataclasses import dataclass

from kernel.model.questions import LoginQuestion
from services.auth.adapters.app_passwords import MOST
from services.auth.adapters.passwords import SALT, Passwords
from services.auth.core import app_passwords, cram, scram
from services.auth.core.directory import AppPassword, User
from services.auth.core.scram import BadScramError
from services.auth.core.secrets import ChallengeSecrets

SHOW_PASSWORD = frozenset({"PLAIN", "LOGIN", "USER", "BASIC"})
"""Mechanisms in which we see the password: SASL's, POP3's own (RFC 1939 §7), and HTTP's."""
CRAM_MD5 = "CRAM-MD5"
LONGEST_PASSWORD = 1024


@dataclass(frozen=True, slots=True)
class Proof:
    """What was shown. ``app`` is the app password that was, ``message`` what to answer.

    ``fresh`` says that it was looked at in full, not remembered; ``continues``, that the
    client has to show more before anything is proven.
    """

    correct: bool = False
    app: AppPassword | None = None
    message: bytes = b""
    fresh: bool = True
    continues: bool = False


NOTHING = Proof()


class Proofs:
    """Judges proofs. ``key`` makes up the salts of users who do not exist."""

    def __init__(self, passwords: Passwords, key: bytes) -> None:
        self._passwords = passwords
        self._key = hashlib.blake2b(key, digest_size=32, person=b"no such user").digest()
        self._nobody = ChallengeSecrets(*(secrets.token_bytes(32) for _ in range(3)))

    async def judge(self, question: LoginQuestion, name: str, user: User | None) -> Proof:
        """Return what ``question`` shows of ``user``; raises `PasswordsBusyError`.

        ``name`` is whom the client says to be, whether there is such a user or not.
        """
        if question.mechanism in SHOW_PASSWORD:
            return await self._password(question, user)
        if question.mechanism == CRAM_MD5:
            return self._cram(question, user)
        if question.mechanism in scram.MECHANISMS:
            return self._scram(question, name, user)
        return NOTHING

    async def _password(self, question: LoginQuestion, user: User | None) -> Proof:
        password = question.password[:LONGEST_PASSWORD]
        fits = user is not None and password == question.password
        stored = user.password if user and fits else None
        if stored and self._passwords.remembers(stored, password):
            return Proof(correct=True, fresh=False)
        if app := app_passwords.shown(_theirs(user, question), password):
            return Proof(correct=True, app=app)
        return Proof(correct=await self._passwords.verify(stored, password))

    def _cram(self, question: LoginQuestion, user: User | None) -> Proof:
        if len(question.responses) != 1:
            return NOTHING
        known, tried = self._secrets(question, user)
        response, challenge = question.responses[0], question.challenge
        fits = [cram.fits(response, secret.cram, challenge) for secret in tried]
        place = fits.index(True) if True in fits else len(known)
        return Proof(correct=True, app=known[place]) if place < len(known) else NOTHING

    def _scram(self, question: LoginQuestion, name: str, user: User | None) -> Proof:
        salt = b64decode(user.salt) if user and user.salt else self._made_up(name)
        exchange = exchange_of(question)
        if not exchange.is_complete:
            return Proof(message=scram.salted(exchange, salt), continues=True)
        known, tried = self._secrets(question, user)
        place, message = scram.proven(exchange, salt, tried)
        if place is None or place >= len(known):
            return NOTHING
        return Proof(correct=True, app=known[place], message=message)

    def _secrets(
        self, question: LoginQuestion, user: User | None
    ) -> tuple[list[AppPassword | None], list[ChallengeSecrets]]:
        """Return whose the first secrets are, and all to try: always as many.

        The main password's is ``None``'s; the rest are nobody's.
        """
        apps = (None, *_theirs(user, question)) if user else ()
        opened = {app: self._passwords.opened(user, app) for app in apps} if user else {}
        known = {app: secret for app, secret in opened.items() if secret is not None}
        nobodys = [self._nobody] * (1 + MOST - len(known))
        return list(known), [*known.values(), *nobodys]

    def _made_up(self, name: str) -> bytes:
        return hashlib.blake2b(name.encode(), key=self._key, digest_size=SALT).digest()


def name_in(question: LoginQuestion) -> str | None:
    """Return whom the client says to be; ``None`` if what it says cannot be read."""
    if question.mechanism not in scram.MECHANISMS:
        return question.login
    try:
        return scram.name_of(exchange_of(question))
    except BadScramError:
        return None


def exchange_of(question: LoginQuestion) -> scram.Exchange:
    """Return what was said so far by SCRAM."""
    return scram.Exchange(
        question.mechanism,
        question.challenge.decode("ascii", "replace"),
        question.responses,
        question.channel_binding,
    )


def _theirs(user: User | None, question: LoginQuestion) -> tuple[AppPassword, ...]:
    return app_passwords.fitting(user.app_passwords, question.service) if user else ()
