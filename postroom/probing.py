"""Probing: says the envelopes of strangers to a listener over SMTP, and never DATA."""

import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from kernel.model.reply import Reply
from kernel.settings import host_and_port
from postroom.errors import UnreachableError
from services.ingress.core.probes import HELO, Probe
from services.ingress.core.selftest import reply_of

PATIENCE = 20.0
A_FEW = 8
"""Probes in one connection: servers lose their patience with who is always refused."""

_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_OTHERS = ("192.0.2.1", "2001:db8::1")  # RFC 5737, RFC 3849: nothing is sent there
_LOOPBACK = ("127.0.0.1", "localhost")
_ANOTHER_LOOPBACK = "127.0.0.2"
_CUT_OFF = Reply(421, "4.4.2", "The connection was lost")


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach a listener, and from which address of ours; empty: the system's choice."""

    host: str
    port: int
    source: str = ""
    implicit_tls: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Meeting:
    """What a first visit tells: from which address we come, and the server's name."""

    source: str
    name: str


def ways_to(listen: str, source: str = "", *, implicit_tls: bool) -> tuple[Way, ...]:
    """Return the ways to what listens on ``listen``, those that strangers could take first.

    Who listens everywhere is called at our address in the network, and from it: coming
    from loopback, which is on most LANs, we would be no strangers.
    """
    host, port = host_and_port(listen)
    own = own_addresses()
    if source:
        ends = [(_LOOPBACK[0] if host in _EVERYWHERE else host, source)]
    elif host in _EVERYWHERE:
        ends = [*((address, address) for address in own), *_over_loopback(_LOOPBACK[0])]
    elif host in _LOOPBACK:
        ends = _over_loopback(host)
    else:
        ends = [(host, host if host in own else "")]
    return tuple(Way(host, port, source, implicit_tls) for host, source in ends)


def own_addresses() -> tuple[str, ...]:
    """Return the addresses that others see when we call them."""
    return tuple(filter(None, map(_address_towards, _OTHERS)))


def meet(way: Way) -> Meeting:
    """Visit a listener. Raises `UnreachableError`; who is not let in has met nobody by name."""
    try:
        with _session(way) as smtp:
            name = (smtp.ehlo_resp or b"").decode("ascii", "replace").split()
            return Meeting(_source_of(smtp), name[0] if name else "")
    except smtplib.SMTPConnectError:
        return Meeting(way.source, "")


def replies_to(way: Way, probes: Sequence[Probe]) -> list[Reply]:
    """Return the last word on each probe. Raises `UnreachableError`."""
    starts = range(0, len(probes), A_FEW)
    return [reply for at in starts for reply in _replies_to_few(way, probes[at : at + A_FEW])]


def _replies_to_few(way: Way, probes: Sequence[Probe]) -> list[Reply]:
    try:
        with _session(way) as smtp:
            return [_reply_to(smtp, probe) for probe in probes]
    except smtplib.SMTPConnectError as refusal:
        return [_reply(refusal.smtp_code, refusal.smtp_error)] * len(probes)


def _reply_to(smtp: smtplib.SMTP, probe: Probe) -> Reply:
    try:
        for command in probe.commands:
            reply = _reply(*smtp.docmd(command))
            if not reply.is_positive:
                break
        smtp.docmd("RSET")
    except smtplib.SMTPServerDisconnected:
        return _CUT_OFF
    return reply


@contextmanager
def _session(way: Way) -> Iterator[smtplib.SMTP]:
    begin = partial(smtplib.SMTP_SSL, context=_trusting()) if way.implicit_tls else smtplib.SMTP
    source = (way.source, 0) if way.source else None
    try:
        with begin(way.host, way.port, HELO, timeout=PATIENCE, source_address=source) as smtp:
            smtp.ehlo()
            if smtp.has_extn("starttls"):
                smtp.starttls(context=_trusting())
                smtp.ehlo()
            yield smtp
    except smtplib.SMTPConnectError:
        raise
    except (smtplib.SMTPException, OSError) as error:
        raise UnreachableError(f"no answer from {way} ({error})") from error


def _source_of(smtp: smtplib.SMTP) -> str:
    return str(smtp.sock.getsockname()[0]) if smtp.sock else ""


def _reply(code: int, text: bytes | str) -> Reply:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    last = words.splitlines()[-1] if words else ""
    return reply_of(f"{code} {last}")


def _over_loopback(host: str) -> list[tuple[str, str]]:
    other = [(host, _ANOTHER_LOOPBACK)] if _is_ours(_ANOTHER_LOOPBACK) else []
    return [*other, (host, "")]


def _is_ours(address: str) -> bool:
    """Whether we may call from ``address``: all of 127.0.0.0/8 is ours on Linux, not on others."""
    with socket.socket() as trial:
        try:
            trial.bind((address, 0))
        except OSError:
            return False
    return True


def _address_towards(other: str) -> str:
    """Return our address on the way to ``other``; to connect by UDP sends nothing."""
    family = socket.AF_INET6 if ":" in other else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((other, 25))
        except OSError:
            return ""
        return str(trial.getsockname()[0])


def _trusting() -> ssl.SSLContext:
    """Who we are talking to does not matter: nothing of ours is said."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
