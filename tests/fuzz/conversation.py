"""Plays any conversation with a session core, and checks at every step what has to hold of it.

A script is a list of steps: octets from the client, or the answers, faults and wishes of the
shell around the core. What nobody can say at that moment is passed over.
"""

import itertools
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum

from kernel.model.envelope import Body
from kernel.model.questions import (
    AdmissionAnswer,
    BareLineEnds,
    Listener,
    LoginAnswer,
    LoginQuestion,
    LoginVerdict,
    PlaintextAuth,
    RelayAnswer,
    TlsMode,
)
from kernel.model.reply import Reply
from kernel.sasl import MECHANISMS, SHOWS_PASSWORD
from services.ingress.core import effects, replies
from services.ingress.core.doorway import Doorway
from services.ingress.core.session import Session
from tests.support.mail import NOON

REPLY = re.compile(
    rb"(?:([2-5][0-5][0-9])-[\t\x20-\x7e]*\r\n(?=\1))*[2-5][0-5][0-9] [\t\x20-\x7e]*\r\n"
)
"""RFC 5321 §4.2: one code on all lines of a reply, and after it text that is printed."""
MAX_REPLY_LINE = 512
"""RFC 5321 §4.5.3.1.5."""
MAX_MESSAGE, MAX_RECIPIENTS = 150_000, 20
MAX_HELD = 256 * 1024
"""What a session may hold, in octets: two reads of asyncio's, and a message that is kept inline."""
MAX_AHEAD = 65_536
"""How much the shell reads while the session waits, more or less."""

WAITS = (
    effects.Admit,
    effects.Pause,
    effects.Decide,
    effects.Login,
    effects.StartTls,
    effects.Take,
    effects.Seal,
    effects.Introduced,
)
NOTES = (effects.Limited, effects.Refused, effects.Rejected)
TLS = effects.Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", b"binding")
LOGIN = "ann@ours.test"


class Say(Enum):
    """What auth, the store and the network may answer to whatever the session waits for."""

    YES = "yes"
    NO = "no"
    LATER = "later"
    NOBODY_KNOWS = "nobody knows"
    GO_ON = "go on"


class Do(Enum):
    """What the shell may do at any time."""

    LEAVE = "leave"
    STUMBLE = "stumble"
    TIME_OUT = "time out"


Step = bytes | Say | Do

RELAY = {
    Say.YES: RelayAnswer(Reply(250, "2.1.5", "Recipient OK"), "local", stranger=True),
    Say.NO: RelayAnswer(Reply(550, "5.1.1", "No such user here"), "local", stranger=True),
    Say.LATER: RelayAnswer(Reply(451, "4.7.1", "Later"), "greylisted"),
}
ADMISSION = {
    Say.YES: AdmissionAnswer(admitted=True, in_lan=True),
    Say.GO_ON: AdmissionAnswer(admitted=True),
    Say.NO: AdmissionAnswer(admitted=False),
}
LOGINS = {
    Say.YES: LoginAnswer(LoginVerdict.GRANTED, LOGIN),
    Say.NO: LoginAnswer(LoginVerdict.REFUSED),
    Say.LATER: LoginAnswer(LoginVerdict.LOCKED),
    Say.GO_ON: LoginAnswer(LoginVerdict.CONTINUE, message=b"r=nonce,s=c2FsdA==,i=4096"),
}
STORED = {Say.YES: Reply(250, "2.0.0", "OK"), Say.NO: Reply(554, "5.7.1", "No")}


def make_listener(number: int) -> Listener:
    """Return one of all kinds of listener."""
    kinds = itertools.product(
        TlsMode, PlaintextAuth, BareLineEnds, ((), tuple(MECHANISMS)), (False, True), (0, 3)
    )
    known = tuple(kinds)
    tls, plaintext, ends, mechanisms, restricted, pause = known[number % len(known)]
    return Listener(
        "any",
        tls,
        mechanisms,
        plaintext,
        MAX_MESSAGE,
        MAX_RECIPIENTS,
        50,
        20,
        restricted=restricted,
        bare_line_ends=ends,
        greet_pause=pause,
    )


@dataclass
class _Mail:
    """What we know of a mail, by what was asked and answered."""

    accepted: set
    is_over: bool = False


class Conversation:
    """One session, everything that it has done, and what it waits for."""

    def __init__(self, listener: Listener) -> None:
        ids, nonces = itertools.count(1), itertools.count(1)
        self.listener = listener
        self.core = Session(
            Doorway(
                listener,
                "mx.ours.test",
                "ours.test",
                new_id=lambda: f"mail-{next(ids)}",
                new_nonce=lambda: f"nonce{next(nonces)}",
                now=lambda: NOON,
                at_door=lambda: None,
                at_mail=lambda: None,
                at_data=lambda: None,
                trusts=lambda _: listener.greet_pause == 0,
                max_hold=timedelta(days=1),
            ),
            "192.0.2.1",
        )
        self.waits_for: effects.Effect | None = None
        self.tls: effects.Tls | None = None
        self.in_lan = False
        self.is_granted = False
        self.said = b""
        self.is_closed = False
        self.mails: dict[str, _Mail] = {}
        self.open: effects.Offer | None = None
        self.content: list[bytes] = []
        self.ahead = 0
        self.most_held = 0
        self.check(self.core.greet())

    def play(self, steps: Iterable[Step]) -> "Conversation":
        for step in steps:
            self.take(step)
            self.check_held()
        return self

    def take(self, step: Step) -> None:
        match step:
            case bytes():
                self.send(step)
            case Say() if self.waits_for is not None:
                self.answer(step)
            case Do.LEAVE:
                self.check(self.core.leave())
            case Do.TIME_OUT if not self.is_closed:
                self.check(self.core.end(replies.IDLE))
            case Do.STUMBLE if self.waits_for is None and not self.is_closed:
                self.check(self.core.stumble())

    def send(self, octets: bytes) -> None:
        """Send what the shell would read: while the session waits, that is little."""
        if isinstance(self.waits_for, effects.StartTls):
            return
        if self.core.is_waiting:
            octets = octets[: MAX_AHEAD - self.ahead]
            self.ahead += len(octets)
        was_closed, was_waiting = self.is_closed, self.core.is_waiting
        wanted = self.core.receive(octets)
        assert not (was_closed and wanted)
        if was_waiting:  # who talks before the greeting may be sent away
            assert all(isinstance(w, (effects.Limited, effects.Say, effects.Close)) for w in wanted)
        self.check(wanted)

    def answer(self, how: Say) -> None:
        question, self.waits_for, self.ahead = self.waits_for, None, 0
        match question:
            case effects.Admit():
                answer = ADMISSION.get(how)
                self.in_lan = answer is not None and answer.in_lan
                self.check(self.core.admitted(answer))
            case effects.Pause():
                self.check(self.core.resumed())
            case effects.Introduced():
                full = how is Say.LATER
                self.check(self.core.introduced(replies.TOO_MANY_CONNECTIONS if full else None))
            case effects.Decide():
                self.decide(question, how)
            case effects.Login():
                self.log_in(how)
            case effects.StartTls():
                self.tls, self.is_granted = TLS, False
                self.check(self.core.secured(TLS))
            case effects.Take() | effects.Seal():
                self.check(self.core.stored(STORED.get(how, replies.TRY_LATER)))

    def decide(self, question: effects.Decide, how: Say) -> None:
        """Answer for each recipient by itself, but for the first as told."""
        if how is Say.NOBODY_KNOWS:
            self.check(self.core.decided(None))
            return
        others = itertools.cycle(RELAY.values())
        answers = [RELAY.get(how, RELAY[Say.YES])]
        answers += itertools.islice(others, len(question.questions) - 1)
        for asked, answer in zip(question.questions, answers, strict=True):
            if answer.reply.is_positive:
                self.mails[question.mail].accepted.add(asked.recipient)
        self.check(self.core.decided(answers))

    def log_in(self, how: Say) -> None:
        if how is Say.YES:
            self.is_granted = True
        self.check(self.core.logged_in(LOGINS.get(how)))

    @property
    def login(self) -> str:
        """Return as whom the session has let its client in: nobody whom auth has not granted.

        Later than auth, where the client has the last word of the exchange.
        """
        login = self.core._login
        assert login in (("", LOGIN) if self.is_granted else ("",)), login
        return login

    # What has to hold.

    def check(self, wanted: list[effects.Effect]) -> None:
        for effect in wanted:
            assert not self.is_closed or isinstance(effect, (*NOTES, effects.Spill)), effect
            assert self.waits_for is None or isinstance(
                effect, (*NOTES, effects.Say, effects.Close)
            )
            if isinstance(effect, WAITS):
                self.waits_for = effect
            if isinstance(effect, effects.Introduced):
                self.is_granted, self.in_lan = False, False
            self.check_one(effect)
        if not self.is_closed:
            assert self.core.is_waiting == (self.waits_for is not None)
        assert self.core.is_closed == self.is_closed

    def check_one(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Say(octets):
                check_replies(octets)
                self.said += octets
            case effects.Close():
                self.is_closed, self.open = True, None
            case effects.Login(question):
                self.check_login(question)
            case effects.Decide():
                self.check_decide(effect)
            case effects.Take(offer, content):
                self.check_offer(offer)
                check_content(offer, content)
            case effects.Open(offer, head):
                self.check_offer(offer)
                assert self.open is None
                self.open, self.content = offer, [head]
            case effects.Pour(octets):
                assert self.open is not None
                self.content.append(octets)
            case effects.Seal():
                assert self.open is not None
                check_content(self.open, b"".join(self.content))
                self.open = None
            case effects.Spill():
                assert self.open is not None or self.is_closed
                self.open = None

    def check_login(self, question: LoginQuestion) -> None:
        """No password and no proof of one is taken where the listener forbids it."""
        assert not self.login
        assert question.tls == (self.tls is not None)
        assert question.mechanism in self.listener.mechanisms
        if self.tls is None:
            assert not self.needs_tls()
            assert question.mechanism not in SHOWS_PASSWORD or self.shows_password()

    def needs_tls(self) -> bool:
        return self.listener.tls in (TlsMode.STARTTLS_REQUIRED, TlsMode.IMPLICIT)

    def shows_password(self) -> bool:
        allowed = self.listener.plaintext_auth
        return allowed is PlaintextAuth.ALWAYS or (allowed is PlaintextAuth.LAN and self.in_lan)

    def check_decide(self, effect: effects.Decide) -> None:
        """Only of a mail that goes on is anybody asked, and as whom the client is."""
        mail = self.mails.setdefault(effect.mail, _Mail(set()))
        assert effect.questions
        assert not mail.is_over
        assert all(question.login == self.login for question in effect.questions)
        assert self.tls is not None or not self.needs_tls()

    def check_offer(self, offer: effects.Offer) -> None:
        """Nothing is taken without MAIL and an accepted RCPT, and nothing twice."""
        mail = self.mails[offer.id]
        taken = {recipient.address for recipient in offer.recipients}
        assert taken
        assert taken == mail.accepted
        assert len(offer.recipients) <= MAX_RECIPIENTS
        assert offer.tls == self.tls
        assert ("A" in offer.protocol) == bool(self.login)
        assert not mail.is_over
        mail.is_over = True

    def check_held(self) -> None:
        held = size_of(self.core)
        self.most_held = max(self.most_held, held)
        assert held <= MAX_HELD, held


def check_replies(octets: bytes) -> None:
    """A write is made of whole replies."""
    at = 0
    while at < len(octets):
        reply = REPLY.match(octets, at)
        assert reply is not None, octets[at:]
        at = reply.end()
        lines = reply[0].splitlines(keepends=True)
        assert max(map(len, lines)) <= MAX_REPLY_LINE, reply[0]


def check_content(offer: effects.Offer, content: bytes) -> None:
    """Line ends are CRLF, unless it is binary, and it is not too much."""
    is_binary = offer.body is Body.BINARY
    assert is_binary or content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert len(content) <= MAX_MESSAGE


def size_of(session: Session) -> int:
    """Return the octets that a session holds, without what all sessions share."""
    seen: set[int] = set()
    left: list[object] = [value for name, value in vars(session).items() if name != "_doorway"]
    total = 0
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, (type, Enum, Listener, Reply)):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        left += _parts(one)
    return total


def _parts(one: object) -> Iterable[object]:
    if isinstance(one, dict):
        return [*one.keys(), *one.values()]
    if isinstance(one, (list, tuple, set, frozenset)):
        return list(one)
    if is_dataclass(one):
        return [getattr(one, field.name) for field in fields(one)]
    return list(getattr(one, "__dict__", {}).values())
