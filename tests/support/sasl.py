"""Both ends of a login, made independently of ours: clients, and a judge who knows one secret."""

import hmac
from collections.abc import Generator
from hashlib import sha256

from scramp import ScramClient, ScramException, ScramMechanism

from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict

ENDPOINT = "tls-server-end-point"
SALT = b"salt of the tests"
REFUSED = LoginAnswer(LoginVerdict.REFUSED)

Client = Generator[bytes, bytes, None]
"""Yields responses, the initial one first, and is sent challenges."""


def plain(name: str, password: str) -> Client:
    yield f"\0{name}\0{password}".encode()


def cram_md5(name: str, password: str) -> Client:
    """There is no initial response: the first one is empty."""
    challenge = yield b""
    yield f"{name} {hmac.digest(password.encode(), challenge, 'md5').hex()}".encode()


def scram(name: str, password: str, certificate: bytes = b"") -> Client:
    """Bound to ``certificate`` (DER), if there is one. Raises if the server does not know us."""
    mechanism, binding = "SCRAM-SHA-256", None
    if certificate:
        mechanism, binding = f"{mechanism}-PLUS", (ENDPOINT, sha256(certificate).digest())
    client = ScramClient([mechanism], name, password, binding)
    client.set_server_first((yield client.get_client_first().encode()).decode())
    client.set_server_final((yield client.get_client_final().encode()).decode())
    yield b""


def client(mechanism: str, name: str, password: str, certificate: bytes) -> Client:
    """``certificate`` (DER) is the one that the server shows."""
    match mechanism:
        case "PLAIN":
            return plain(name, password)
        case "CRAM-MD5":
            return cram_md5(name, password)
        case "SCRAM-SHA-256":
            return scram(name, password)
        case _:
            return scram(name, password, certificate)


def judge(question: LoginQuestion, password: str) -> LoginAnswer:
    """Grant whoever has shown to know ``password``."""
    if question.mechanism in ("PLAIN", "LOGIN"):
        correct = question.password == password
        return _granted(question.login) if correct else REFUSED
    if question.mechanism == "CRAM-MD5":
        client = cram_md5(question.login, password)
        next(client)
        correct = question.responses == (client.send(question.challenge),)
        return _granted(question.login) if correct else REFUSED
    return _judge_scram(question, ScramMechanism(question.mechanism), password)


def _judge_scram(question: LoginQuestion, mechanism: ScramMechanism, password: str) -> LoginAnswer:
    names: list[str] = []

    def look_up(name: str) -> tuple[bytes, bytes, bytes, int]:
        names.append(name)
        return mechanism.make_auth_info(password, 4096, SALT)

    binding = (ENDPOINT, question.channel_binding) if question.channel_binding else None
    try:
        server = mechanism.make_server(look_up, binding, question.challenge.decode())
        server.set_client_first(question.responses[0].decode())
        first = server.get_server_first()
        if len(question.responses) == 1:
            return LoginAnswer(LoginVerdict.CONTINUE, message=first.encode())
        server.set_client_final(question.responses[1].decode())
    except (ScramException, UnicodeDecodeError):
        return REFUSED
    return _granted(names[0], server.get_server_final().encode())


def _granted(name: str, message: bytes = b"") -> LoginAnswer:
    return LoginAnswer(LoginVerdict.GRANTED, name.lower(), message=message)
