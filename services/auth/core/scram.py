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
_KEY = 32  # octets
_ANY_SALT = bytes(_KEY)
NO_KEYS = ChallengeSecrets(bytes(_KEY), bytes(_KEY), bytes(_KEY))
"""Whom nobody can prove to be."""


class BadScramError(ValueError):
    """The client does not keep to the mechanism, or asks for what is not there."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was said so far; ``binding`` is our end of TLS, where the client was told of -PLUS."""

    mechanism: str
    nonce: str
    responses: tuple[bytes, ...] = field(repr=False)
    binding: bytes = b""


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
    _started(exchange, _ANY_SALT, names)
    return names[0]


def salted(exchange: Exchange, salt: bytes) -> bytes:
    """Return our first message, or raise `BadScramError`."""
    return str(_started(exchange, salt).get_server_first()).encode()


def proven(
    exchange: Exchange, salt: bytes, secrets: Iterable[ChallengeSecrets]
) -> tuple[int, bytes] | None:
    """Return which of ``secrets`` the client has shown to know, and our last message."""
    server = _started(exchange, salt)
    server.get_server_first()
    final = _text(exchange.responses[1])
    for place, secret in enumerate(secrets):
        attempt = copy(server)
        attempt.stored_key, attempt.server_key = secret.stored_key, secret.server_key
        try:
            attempt.set_client_final(final)
        except ScramException:
            continue
        return place, str(attempt.get_server_final()).encode()
    return None


def _started(exchange: Exchange, salt: bytes, names: list[str] | None = None) -> ScramServer:
    """Return a server that has read the client's first message."""

    def look_up(name: str) -> tuple[bytes, bytes, bytes, int]:
        if names is not None:
            names.append(name)
        return salt, NO_KEYS.stored_key, NO_KEYS.server_key, ITERATIONS

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
