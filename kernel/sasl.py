"""SASL mechanisms (RFC 4422) from the server's side, each a dialogue without a socket.

A dialogue yields challenges, and what the client has shown so far as `Shown`; it is
sent the decoded responses, and auth's `LoginAnswer`, which it returns in the end. It
raises `ValueError` when the client does not keep to the mechanism.

Secrets are auth's alone: here nothing is compared. The nonce of a challenge comes from
outside, unpredictable and used once (`fresh_nonce`).
"""

import secrets
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kernel.model.questions import LoginAnswer, LoginVerdict

MAX_LINE = 12_288
"""Octets of a line in an exchange, without its CRLF (RFC 4954 §4)."""
_NONCE = 18
"""Octets that nobody can foresee."""
_CANCEL = b"*"
_EMPTY = b"="
_REFUSED = LoginAnswer(LoginVerdict.REFUSED)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client has shown to prove who it is: fields of a `LoginQuestion`."""

    login: str = ""
    password: str = field(default="", repr=False)
    challenge: bytes = b""
    responses: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this to the client, in base64 already, and give its next line to `Exchange.respond`."""

    text: str


class Fault(StrEnum):
    """Why an exchange is over before auth has had the last word."""

    CANCELLED = "cancelled"  # by the client, with *
    MALFORMED = "malformed"  # not base64, or not what the mechanism wants
    TOO_LONG = "too long"


Step = Challenge | Shown | LoginAnswer | Fault
"""What comes of a line or of an answer. `Shown` wants auth's answer in `Exchange.answered`."""

Dialogue = Generator[bytes | Shown, "bytes | LoginAnswer", LoginAnswer]
Mechanism = Callable[[bytes | None, str], Dialogue]


def fresh_nonce(hostname: str) -> str:
    """Return what RFC 2195 §2 wants of a challenge, and RFC 5802 §5.1 of a nonce."""
    return f"{secrets.token_urlsafe(_NONCE)}@{hostname}"


def _plain(initial: bytes | None, _: str) -> Dialogue:
    """PLAIN (RFC 4616). To act for somebody else is not possible."""
    response = (yield from _ask(b"")) if initial is None else initial
    authority, login, password = response.decode().split("\0")
    if authority not in ("", login):
        return _REFUSED
    return (yield from _show(Shown(login, password)))


def _login(initial: bytes | None, _: str) -> Dialogue:
    """LOGIN (draft-murchison-sasl-login): what some old clients speak."""
    name = (yield from _ask(b"Username:")) if initial is None else initial
    password = yield from _ask(b"Password:")
    return (yield from _show(Shown(name.decode(), password.decode())))


def _cram_md5(initial: bytes | None, nonce: str) -> Dialogue:
    """CRAM-MD5 (RFC 2195). The server speaks first: there is no initial response."""
    if initial is not None:
        raise ValueError("CRAM-MD5 has no initial response")
    challenge = f"<{nonce}>".encode()
    response = yield from _ask(challenge)
    login, space, _ = response.decode().rpartition(" ")
    if not space:
        raise ValueError("CRAM-MD5 wants a name and a digest")
    return (yield from _show(Shown(login, challenge=challenge, responses=(response,))))


def _scram(initial: bytes | None, nonce: str) -> Dialogue:
    """SCRAM (RFC 5802, 7677). Auth writes both of the server's messages.

    The last goes as one more challenge, since a reply that grants carries none (RFC 4954 §4).
    """
    first = (yield from _ask(b"")) if initial is None else initial
    salted = yield from _show(Shown(challenge=nonce.encode(), responses=(first,)))
    if salted.verdict is not LoginVerdict.CONTINUE:
        return salted
    final = yield from _ask(salted.message)
    answer = yield from _show(Shown(challenge=nonce.encode(), responses=(first, final)))
    if answer.verdict is LoginVerdict.GRANTED:
        yield from _ask(answer.message)
    return answer


MECHANISMS: Mapping[str, Mechanism] = {
    "SCRAM-SHA-256-PLUS": _scram,
    "SCRAM-SHA-256": _scram,
    "CRAM-MD5": _cram_md5,
    "PLAIN": _plain,
    "LOGIN": _login,
}
"""By name, the strongest first."""
SHOWS_PASSWORD = frozenset({"PLAIN", "LOGIN"})
"""Mechanisms in which the password itself crosses the wire."""
BINDS_CHANNEL = frozenset({"SCRAM-SHA-256-PLUS"})
"""Mechanisms for TLS alone: they prove that both ends see the same (RFC 5929)."""
OFFERED = tuple(name for name in MECHANISMS if name not in BINDS_CHANNEL)
"""What is offered unless somebody asks for more. A client that binds otherwise than we can, as by
tls-exporter, takes -PLUS once it sees it, and fails; without it, it logs in."""


def withheld(*, passwords: bool, binding: bool) -> frozenset[str]:
    """Return the mechanisms for which a connection is not good enough.

    ``passwords`` says whether one may cross it, ``binding`` whether a login can be bound to it.
    """
    unbound = frozenset() if binding else BINDS_CHANNEL
    return unbound if passwords else unbound | SHOWS_PASSWORD


class Exchange:
    """One AUTH command and the lines that follow it (RFC 4954 §4, RFC 5034 §4)."""

    def __init__(self, mechanism: str, nonce: str) -> None:
        self.mechanism = mechanism
        self._nonce = nonce
        self._dialogue: Dialogue

    def begin(self, initial: bytes) -> Step:
        """Start with the initial response as it stands in the command; empty if there is none."""
        if len(initial) > MAX_LINE:
            return Fault.TOO_LONG
        try:
            response = None if not initial else b"" if initial == _EMPTY else _decode(initial)
        except ValueError:
            return Fault.MALFORMED
        self._dialogue = MECHANISMS[self.mechanism](response, self._nonce)
        return self._step(lambda: next(self._dialogue))

    def respond(self, line: bytes) -> Step:
        """Go on with the client's next line, without its line end."""
        if line == _CANCEL:
            return Fault.CANCELLED
        if len(line) > MAX_LINE:
            return Fault.TOO_LONG
        return self._step(lambda: self._dialogue.send(_decode(line)))

    def answered(self, answer: LoginAnswer) -> Step:
        """Go on with what auth says of what the client has shown."""
        return self._step(lambda: self._dialogue.send(answer))

    @staticmethod
    def _step(step: Callable[[], bytes | Shown]) -> Step:
        try:
            said = step()
        except StopIteration as end:
            return end.value if isinstance(end.value, LoginAnswer) else _REFUSED
        except ValueError:
            return Fault.MALFORMED
        if isinstance(said, Shown):
            return said
        return Challenge(b2a_base64(said, newline=False).decode())


def _ask(challenge: bytes) -> Generator[bytes | Shown, bytes | LoginAnswer, bytes]:
    response = yield challenge
    return response if isinstance(response, bytes) else b""


def _show(shown: Shown) -> Generator[bytes | Shown, bytes | LoginAnswer, LoginAnswer]:
    answer = yield shown
    return answer if isinstance(answer, LoginAnswer) else _REFUSED


def _decode(response: bytes) -> bytes:
    return a2b_base64(response, strict_mode=True)
