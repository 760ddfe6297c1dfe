"""Talks to a session core: answers its questions by simple rules, and writes all down."""

import itertools
from dataclasses import dataclass, field

from kernel.model.questions import (
    AdmissionAnswer,
    Listener,
    PlaintextAuth,
    RelayAnswer,
    TlsMode,
)
from kernel.model.reply import Reply
from services.ingress.core import effects
from services.ingress.core.doorway import Doorway
from services.ingress.core.effects import Tls
from services.ingress.core.pressure import REFUSED
from services.ingress.core.session import Session
from tests.support import sasl
from tests.support.mail import NOON

TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", b"hash of our certificate")
LIMITS = (PlaintextAuth.NEVER, 100_000, 3, 50, 20)
LISTENER = Listener("mx", TlsMode.STARTTLS, ("PLAIN", "LOGIN"), *LIMITS)
TAKEN = Reply(250, "2.1.5", "Recipient OK")
UNKNOWN = Reply(550, "5.1.1", "No such user here")
STORED = Reply(250, "2.0.0", "OK queued")
GREETING = b"220 mx.ours.test ESMTP Postroom\r\n"
HELLO = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<bob@elsewhere.test>\r\nRCPT TO:<ann@ours.test>\r\n"


def make_doorway(listener=LISTENER, *, blocked=False, at_data=lambda: None, **limits):
    ids, nonces = itertools.count(1), itertools.count(1)
    return Doorway(
        listener,
        hostname="mx.ours.test",
        domain="ours.test",
        now=lambda: NOON,
        new_id=lambda: f"mail-{next(ids)}",
        new_nonce=lambda: f"nonce-{next(nonces)}",
        at_door=lambda: None,
        at_mail=lambda: REFUSED if blocked else None,
        at_data=at_data,
        **limits,
    )


@dataclass
class Talk:
    """One conversation. ``said`` is what the client hears after the greeting."""

    core: Session
    said: bytes = b""
    asked: list = field(default_factory=list)
    batches: list = field(default_factory=list)
    mails: list = field(default_factory=list)
    spilled: int = 0
    others: list = field(default_factory=list)
    pauses: list = field(default_factory=list)
    answering: bool = True
    open: list = field(default_factory=list)

    @property
    def codes(self):
        return [line[:3] for line in self.said.decode().splitlines() if line[3:4] == " "]

    def send(self, *pieces):
        for piece in pieces:
            self.act(self.core.receive(piece))
        return self

    def act(self, wanted):
        for effect in wanted:
            self.do(effect)

    def do(self, effect):
        match effect:
            case effects.Say(octets):
                self.said += octets
            case effects.Decide(questions):
                self.asked += questions
                self.batches.append(len(questions))
                self.answer(lambda: self.core.decided([decide(q) for q in questions]))
            case effects.Introduced():
                self.others.append(effect)
                self.answer(lambda: self.core.introduced(None))
            case effects.Pause(seconds):
                self.pauses.append(seconds)
                self.answer(self.core.resumed)
            case effects.Admit() | effects.Login() | effects.StartTls():
                self.others.append(effect)
                self.answer(lambda: self.know(effect))
            case other:
                self.keep(other)

    def know(self, effect):
        """Tell the session who its client is."""
        match effect:
            case effects.Admit():
                return self.core.admitted(AdmissionAnswer(admitted=True))
            case effects.Login(question):
                return self.core.logged_in(sasl.judge(question, "secret"))
            case effects.StartTls():
                return self.core.secured(TLS)

    def keep(self, effect):
        match effect:
            case effects.Take(offer, content):
                self.mails.append((offer, content))
                self.answer(lambda: self.core.stored(STORED))
            case effects.Open(offer, head):
                self.open = [offer, head]
            case effects.Pour(octets):
                self.open[1] += octets
            case effects.Seal():
                self.mails.append(tuple(self.open))
                self.answer(lambda: self.core.stored(STORED))
            case effects.Spill():
                self.spilled += 1
            case other:
                self.others.append(other)

    def answer(self, give):
        if self.answering:
            self.act(give())


def decide(question):
    known = question.recipient.local != "nobody"
    return RelayAnswer(TAKEN if known else UNKNOWN, "local", question.login)


def talk(*pieces, listener=LISTENER, tls=None, blocked=False, answering=True, **limits):
    """Return a conversation after the greeting and ``pieces``."""
    core = Session(make_doorway(listener, blocked=blocked, **limits), "192.0.2.1", tls)
    one = Talk(core, answering=answering)
    one.act(core.greet())
    one.said = one.said.removeprefix(GREETING)
    return one.send(*pieces)
