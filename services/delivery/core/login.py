"""Login: how we show a smart host who we are (RFC 4954), without the socket.

Each mechanism is a dialogue: it yields responses, the initial one first (`None` where the
server speaks first), and is sent the server's challenges; `None` when the server says that
we are in. It raises `BadChallengeError` when the server does not keep to the mechanism.
"""

import stringprep
import unicodedata
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import pbkdf2_hmac, sha256
from hmac import compare_digest
from hmac import digest as hmac
from ipaddress import ip_address

from kernel.model.reply import Reply
from kernel.model.sending import Route, TlsPolicy

NO_LOGIN = Reply(454, "4.7.0", "The smart host offers no login that we can use on this connection")
NOT_PROVEN = Reply(454, "4.7.0", "The smart host did not keep to the login's mechanism")
ITERATIONS = range(4_096, 200_001)
"""What SCRAM may ask of us: fewer are too easily guessed (RFC 7677 §4), more stop our loop."""
_MAX_COMMAND = 512  # with CRLF: a longer initial response waits for a challenge (RFC 4954 §4)
_MAX_WORDS = 300

Dialogue = Generator[bytes | None, bytes | None, None]


class BadChallengeError(ValueError):
    """The server does not keep to the mechanism, or does not know our password."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a smart host. For XOAUTH2 the password is the token.

    ``mechanism`` is the only one to use; if it is empty, the best one offered. ``nonce`` is
    unpredictable and used once. A password goes out ``in_the_clear`` only if that is said here.
    """

    login: str
    password: str = field(repr=False)
    mechanism: str = ""
    nonce: str = field(default="", repr=False)
    in_the_clear: bool = False


def credentials_for(route: Route | None, address: str, nonce: str) -> Credentials | None:
    """Return how to log in at ``address``, if the route there says so.

    Without TLS a password only goes to this machine itself, or where an administrator has
    ruled out TLS.
    """
    if route is None or not route.login:
        return None
    in_the_clear = route.tls is TlsPolicy.NONE or _is_loopback(address)
    return Credentials(route.login, route.password, route.mechanism.upper(), nonce, in_the_clear)


def choose(credentials: Credentials, offered: str, *, secure: bool) -> str | None:
    """Return the mechanism to use of those ``offered``, the strongest first; None if none will do.

    A token is no password: XOAUTH2 is used only where it is asked for.
    """
    wanted = (credentials.mechanism,) if credentials.mechanism else _BY_STRENGTH
    fit = wanted if secure or credentials.in_the_clear else set(wanted) - _SHOWS_PASSWORD
    there = offered.upper().split()
    return next((name for name in wanted if name in there and name in fit), None)


class Login:
    """One AUTH command and the lines that follow it. Lines come and go without CRLF."""

    def __init__(self, credentials: Credentials, mechanism: str) -> None:
        self._mechanism = mechanism
        self._dialogue = _MECHANISMS[mechanism](credentials)
        self._secrets = [credentials.password]
        self._waiting: bytes | None = None

    def begin(self) -> bytes:
        """Return the AUTH command, with the initial response if it has room for it."""
        command = f"AUTH {self._mechanism}".encode()
        initial = next(self._dialogue)
        if initial is None:
            return command
        line = b"%b %b" % (command, self._encode(initial) or b"=")
        if len(line) + 2 <= _MAX_COMMAND:
            return line
        self._waiting = initial
        return command

    def respond(self, challenge: str) -> bytes:
        """Return the answer to ``challenge``, or raise `BadChallengeError`."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            return self._encode(waiting)
        try:
            response = self._dialogue.send(a2b_base64(challenge.encode(), strict_mode=True))
        except StopIteration:
            raise BadChallengeError("the server asks for more than there is") from None
        except BadChallengeError:
            raise
        except ValueError as error:
            raise BadChallengeError(str(error)) from None
        return self._encode(response or b"")

    def granted(self) -> None:
        """Raise `BadChallengeError` if the server has not shown what the mechanism wants."""
        try:
            self._dialogue.send(None)
        except StopIteration:
            return

    def refusal(self, answer: Reply) -> Reply:
        """Return what a refused login means for mail: it waits, as it is not the mail's fault.

        Words in which the server repeats a secret are left out.
        """
        words = "".join(answer.text.split())
        leaks = any(secret and "".join(secret.split()) in words for secret in self._secrets)
        said = f"{answer.code} {answer.status}" if leaks else str(answer)
        return Reply(454, "4.7.0", f"The smart host refuses our login: {said[:_MAX_WORDS]}")

    def _encode(self, response: bytes) -> bytes:
        line = b2a_base64(response, newline=False)
        self._secrets.append(line.decode())
        return line


def _plain(credentials: Credentials) -> Dialogue:
    """PLAIN (RFC 4616)."""
    yield f"\0{credentials.login}\0{credentials.password}".encode()


def _login(credentials: Credentials) -> Dialogue:
    """LOGIN (draft-murchison-sasl-login); not every server takes an initial response."""
    yield None
    yield credentials.login.encode()
    yield credentials.password.encode()


def _cram_md5(credentials: Credentials) -> Dialogue:
    """CRAM-MD5 (RFC 2195)."""
    challenge = _demand((yield None))
    proof = hmac(credentials.password.encode(), challenge, "md5").hex()
    yield f"{credentials.login} {proof}".encode()


def _xoauth2(credentials: Credentials) -> Dialogue:
    """XOAUTH2, of Google. A refusal comes as a challenge, which wants an empty answer."""
    yield f"user={credentials.login}\1auth=Bearer {credentials.password}\1\1".encode()
    yield b""


def _scram(credentials: Credentials) -> Dialogue:
    """SCRAM-SHA-256 (RFC 5802, 7677), without channel binding: the server proves itself too."""
    name = _prepared(credentials.login).replace("=", "=3D").replace(",", "=2C")
    first = f"n={name},r={credentials.nonce}"
    server_first = _demand((yield f"n,,{first}".encode())).decode()
    nonce, salt, iterations = _read_first(server_first, credentials.nonce)
    final = f"c=biws,r={nonce}"
    told = f"{first},{server_first},{final}".encode()
    salted = _salted(_prepared(credentials.password), salt, iterations)
    key = hmac(salted, b"Client Key", "sha256")
    signature = hmac(sha256(key).digest(), told, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    server_final = _demand(
        (yield f"{final},p={b2a_base64(proof, newline=False).decode()}".encode())
    )
    expected = hmac(hmac(salted, b"Server Key", "sha256"), told, "sha256")
    if not compare_digest(server_final, b"v=" + b2a_base64(expected, newline=False)):
        raise BadChallengeError("the server does not know our password")
    yield b""


_MECHANISMS: Mapping[str, Callable[[Credentials], Dialogue]] = {
    "SCRAM-SHA-256": _scram,
    "CRAM-MD5": _cram_md5,
    "PLAIN": _plain,
    "LOGIN": _login,
    "XOAUTH2": _xoauth2,
}
_BY_STRENGTH = tuple(name for name in _MECHANISMS if name != "XOAUTH2")
_SHOWS_PASSWORD = frozenset({"PLAIN", "LOGIN", "XOAUTH2"})


def _demand(challenge: bytes | None) -> bytes:
    if challenge is None:
        raise BadChallengeError("the server lets us in without proof")
    return challenge


def _read_first(message: str, nonce: str) -> tuple[str, bytes, int]:
    """Return nonce, salt and iterations of SCRAM's first message of the server."""
    attributes = [attribute.partition("=") for attribute in message.split(",")[:3]]
    if [name for name, _, _ in attributes] != ["r", "s", "i"]:
        raise BadChallengeError("no SCRAM")
    joint, salt, iterations = (value for _, _, value in attributes)
    if not joint.startswith(nonce) or joint == nonce:
        raise BadChallengeError("not an answer to us")
    if not iterations.isdecimal() or int(iterations[:9]) not in ITERATIONS:
        raise BadChallengeError("an unfit number of iterations")
    return joint, a2b_base64(salt.encode(), strict_mode=True), int(iterations)


@lru_cache(maxsize=16)
def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    """Return the salted password: some milliseconds of work, the same for each connection."""
    return pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def _prepared(text: str) -> str:
    """Return ``text`` as both ends spell it (RFC 4013 §2.1, §2.2); what is forbidden stays."""
    mapped = (
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    return unicodedata.normalize("NFKC", "".join(mapped))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
