"""SCRAM-SHA-256 (RFC 5802, RFC 7677), with and without channel binding: the server's part.

`scramp` knows the messages. An exchange is judged from all that has been said so far:
nothing is kept between two questions.
"""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field

from scramp import ScramException, ScramMechanism
from scramp.core import ScramServer

from services.auth.core.secrets import ChallengeSecrets

ITERATIONS = 10_000
"""Part of every key that is stored: keys made with another number fit no more."""
MECHANISMS = frozenset({"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"})
BINDING = "tls-server-end-point"  # RFC 5929 §4
_HASH = ScramMechanism("SCRAM-SHA-256")
_ANYTHING = bytes(32)  # in place of a salt or a key that says nothing yet
_MESSAGES = 2  # of the client
_LONGEST_FIRST = 1536  # octets; preparing a longer name costs more than a check of its password


class BadScramError(ValueError):
    """The client does not keep to the mechanism, or asks for what is not there."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was said so far; ``binding`` is our end of TLS, where the client was told of -PLUS."""

    mechanism: str
    nonce: str
    responses: tuple[bytes, ...] = field(repr=False)
    binding: bytes = b""

    @property
    def is_complete(self) -> bool:
        """Whether the client has said all that it has to say."""
        return len(self.responses) == _MESSAGES


def keys_of(password: str, salt: bytes) -> tuple[bytes, bytes]:
    """Return stored key and server key; empty if ``password`` cannot be prepared (RFC 4013)."""
    try:
        _, stored_key, server_key, _ = _HASH.make_auth_info(password, ITERATIONS, salt)
    except (ScramException, UnicodeEncodeError):
        return b"", b""
    return stored_key, server_key


def name_of(exchange: Exchange) -> str:
    """Return whom the client says to be, or raise `BadScramError`."""
    names: list[str] = []
    _started(exchange, _ANYTHING, names)
    return names[0]


def salted(exchange: Exchange, salt: bytes) -> bytes:
    """Return our first message, or raise `BadScramError`."""
    return str(_started(exchange, salt).get_server_first()).encode()


def proven(
    exchange: Exchange, salt: bytes, secrets: Iterable[ChallengeSecrets]
) -> tuple[int | None, bytes]:
    """Return which of ``secrets`` the client has shown to know, if any, and our last message."""
    server = _started(exchange, salt)
    server.get_server_first()
    for place, secret in enumerate(secrets):
        attempt = copy(server)
        attempt.stored_key, attempt.server_key = secret.stored_key, secret.server_key
        try:
            attempt.set_client_final(_text(exchange.responses[1]))
        except (ScramException, BadScramError):
            continue
        return place, str(attempt.get_server_final()).encode()
    return None, b""


def _started(exchange: Exchange, salt: bytes, names: list[str] | None = None) -> ScramServer:
    """Return a server that has read the client's first message."""
    if not 1 <= len(exchange.responses) <= _MESSAGES:
        raise BadScramError("nobody says so little or so much")
    if len(exchange.responses[0]) > _LONGEST_FIRST:
        raise BadScramError("no name is so long")

    def look_up(name: str) -> tuple[bytes, bytes, bytes, int]:
        if names is not None:
            names.append(name)
        return salt, _ANYTHING, _ANYTHING, ITERATIONS

    binding = (BINDING, exchange.binding) if exchange.binding else None
    try:
        mechanism = ScramMechanism(exchange.mechanism)
        server = mechanism.make_server(look_up, binding, exchange.nonce)
        server.set_client_first(_text(exchange.responses[0]))
    except ScramException as error:
        raise BadScramError(str(error)) from None
    return server


def _text(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError as error:
        raise BadScramError(str(error)) from None
