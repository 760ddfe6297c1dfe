"""Events and questions to bytes and back; the only module that knows the encoding.

An event is MessagePack: ``[name, body]``. Bodies are maps by field name, so a
reader ignores fields that it does not know yet and fills in defaults for those
that an older writer did not send. ``tests/contract/golden`` holds yesterday's
encodings; they must stay readable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec

from kernel.model.envelope import Envelope
from kernel.model.events import (
    DirectoryChanged,
    Event,
    Hop,
    Local,
    MailAccepted,
    MailDeferred,
    MailRouted,
    MailTraced,
    Nowhere,
    Remote,
    SiteResumed,
    SiteSuspended,
    Stage,
    WorkerSeen,
)
from kernel.model.reply import Reply

T = TypeVar("T")


class UnreadableEventError(ValueError):
    """The bytes are not an event that this version knows."""


def encode(event: Event) -> bytes:
    """Return ``event`` as bytes."""
    name, body = _WRITERS[type(event)](event)
    return _encoder.encode((name, body))


def decode(data: bytes | memoryview) -> Event:
    """Return the event that `encode` made ``data`` of, or raise `UnreadableEventError`."""
    try:
        name, body = _frame.decode(data)
        return _READERS[name](body)
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise UnreadableEventError(str(error)) from error


def pack(events: list[bytes]) -> bytes:
    """Return several encoded events as one message."""
    return _encoder.encode([msgspec.Raw(event) for event in events])


def unpack(data: bytes) -> list[bytes]:
    """Return the encoded events of a message made by `pack`."""
    try:
        return [bytes(raw) for raw in _pack.decode(data)]
    except msgspec.MsgspecError as error:
        raise UnreadableEventError(str(error)) from error


def to_json(value: object) -> bytes:
    """Return a question or an answer (`kernel.model.questions`) as JSON."""
    return _json.encode(value)


def from_json(data: bytes, kind: type[T]) -> T:
    """Return the value of type ``kind`` that ``data`` holds, or raise `ValueError`."""
    return msgspec.json.decode(data, type=kind)


@dataclass(frozen=True, slots=True)
class _Leg:
    """`MailRouted`, its hop spelt out: a union of dataclasses has no encoding of its own."""

    envelope: Envelope
    hop: str
    attempt: int = 1
    domain: str = ""
    reply: Reply | None = None
    forwarded: bool = False
    late: bool = False

    @classmethod
    def of(cls, leg: MailRouted) -> "_Leg":
        match leg.hop:
            case Local():
                return cls(leg.envelope, "local", leg.attempt, late=leg.late)
            case Remote(domain, forwarded):
                return cls(
                    leg.envelope,
                    "remote",
                    leg.attempt,
                    domain=domain,
                    forwarded=forwarded,
                    late=leg.late,
                )
            case Nowhere(reply):
                return cls(leg.envelope, "nowhere", leg.attempt, reply=reply, late=leg.late)

    def leg(self) -> MailRouted:
        return MailRouted(self.envelope, self._hop(), self.attempt, self.late)

    def _hop(self) -> Hop:
        if self.hop == "local":
            return Local()
        if self.hop == "remote":
            return Remote(self.domain, self.forwarded)
        if self.hop == "nowhere" and self.reply is not None:
            return Nowhere(self.reply)
        raise UnreadableEventError(f"unknown hop: {self.hop}")


@dataclass(frozen=True, slots=True)
class _Deferred:
    leg: _Leg
    due: datetime
    why: Reply
    unless: tuple[Stage, ...] = ()


def _write_deferred(event: MailDeferred) -> _Deferred:
    return _Deferred(_Leg.of(event.leg), event.due, event.why, event.unless)


def _read_deferred(body: msgspec.Raw) -> MailDeferred:
    read = _deferred.decode(body)
    return MailDeferred(read.leg.leg(), read.due, read.why, read.unless)


def _plain(kind: type[Event]) -> Callable[[msgspec.Raw], Event]:
    return cast("Callable[[msgspec.Raw], Event]", msgspec.msgpack.Decoder(kind).decode)


_encoder = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()
_frame = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])
_pack = msgspec.msgpack.Decoder(list[msgspec.Raw])
_leg = msgspec.msgpack.Decoder(_Leg)
_deferred = msgspec.msgpack.Decoder(_Deferred)

_WRITERS: dict[type[Event], Callable[[Any], tuple[str, object]]] = {
    MailAccepted: lambda event: ("MailAccepted", event),
    MailRouted: lambda event: ("MailRouted", _Leg.of(event)),
    MailDeferred: lambda event: ("MailDeferred", _write_deferred(event)),
    MailTraced: lambda event: ("MailTraced", event),
    DirectoryChanged: lambda event: ("DirectoryChanged", event),
    WorkerSeen: lambda event: ("WorkerSeen", event),
    SiteSuspended: lambda event: ("SiteSuspended", event),
    SiteResumed: lambda event: ("SiteResumed", event),
}

_READERS: dict[str, Callable[[msgspec.Raw], Event]] = {
    "MailAccepted": _plain(MailAccepted),
    "MailRouted": lambda body: _leg.decode(body).leg(),
    "MailDeferred": _read_deferred,
    "MailTraced": _plain(MailTraced),
    "DirectoryChanged": _plain(DirectoryChanged),
    "WorkerSeen": _plain(WorkerSeen),
    "SiteSuspended": _plain(SiteSuspended),
    "SiteResumed": _plain(SiteResumed),
}
