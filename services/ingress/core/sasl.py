"""SASL mechanisms (RFC 4422), each a dialogue: it yields challenges and returns credentials.

A dialogue gets the client's initial response, or None, and is sent the decoded
responses. It raises `ValueError` when the client does not keep to the mechanism, and
`PermissionError` when it asks for what nobody gets.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

from kernel.model.reply import Reply
from services.ingress.core import replies

CHALLENGE = 334
_CANCEL = b"*"  # RFC 4954 §4
_EMPTY = b"="


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows to prove who it is."""

    login: str
    password: str = field(repr=False)


Dialogue = Generator[bytes, bytes, Credentials]
Mechanism = Callable[[bytes | None], Dialogue]


def plain(initial: bytes | None) -> Dialogue:
    """PLAIN (RFC 4616). To act for somebody else is not possible."""
    response = (yield b"") if initial is None else initial
    authority, login, password = response.decode().split("\0")
    if authority not in ("", login):
        raise PermissionError("nobody acts for somebody else")
    return Credentials(login, password)


def login(initial: bytes | None) -> Dialogue:
    """LOGIN (draft-murchison-sasl-login): what some old clients speak."""
    name = (yield b"Username:") if initial is None else initial
    password = yield b"Password:"
    return Credentials(name.decode(), password.decode())


MECHANISMS: Mapping[str, Mechanism] = {"PLAIN": plain, "LOGIN": login}
NEEDS_TLS = frozenset({"PLAIN", "LOGIN"})
"""Mechanisms in which the password itself crosses the wire."""

Step = Reply | Credentials
"""What comes of a line: a challenge (334), a refusal (5yz), or credentials to be judged."""


class Exchange:
    """One AUTH command and the lines that follow it (RFC 4954 §4)."""

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self._dialogue: Dialogue

    def begin(self, initial: bytes) -> Step:
        """Start with the initial response as it stands in the command; empty if there is none."""
        try:
            response = None if not initial else b"" if initial == _EMPTY else _decode(initial)
        except ValueError:
            return replies.AUTH_BAD_BASE64
        self._dialogue = MECHANISMS[self.mechanism](response)
        return self._step(lambda: next(self._dialogue))

    def respond(self, line: bytes) -> Step:
        """Go on with the client's next line."""
        if line == _CANCEL:
            return replies.AUTH_CANCELLED
        return self._step(lambda: self._dialogue.send(_decode(line)))

    @staticmethod
    def _step(step: Callable[[], bytes]) -> Step:
        try:
            return Reply(CHALLENGE, "", b2a_base64(step(), newline=False).decode())
        except StopIteration as end:
            return end.value if isinstance(end.value, Credentials) else replies.AUTH_REFUSED
        except PermissionError:
            return replies.AUTH_REFUSED
        except ValueError:
            return replies.AUTH_BAD_BASE64


def _decode(response: bytes) -> bytes:
    return a2b_base64(response, strict_mode=True)
