"""Talks to a session core: answers its questions by simple rules, and writes all down."""

from dataclasses import dataclass, field, replace

from kernel.model.questions import LoginVerdict
from services.collect.core import effects
from services.collect.core.doorway import Doorway
from services.collect.core.maildrop import Message
from services.collect.core.pop3 import Obstacle, Session
from tests.support import sasl
from tests.support.mail import ANN

LOGIN = b"USER ann\r\nPASS secret\r\n"
MESSAGES = {
    "first": b"Subject: one\r\n\r\nhello\r\n",
    "second": b"Subject: two\r\n\r\n.dots\r\n..\r\n.\r\nlast\r\n",
    "third": b"Subject: three\r\n\r\n" + b"a line\r\n" * 20,
}
LOOPBACK, ELSEWHERE = "127.0.0.1", "192.0.2.1"


@dataclass
class Talk:
    """One conversation. ``said`` is what the client hears after the greeting."""

    core: Session
    box: dict[str, bytes]
    part: int = 7
    said: bytes = b""
    longest: int = 0
    asked: list = field(default_factory=list)
    updates: list = field(default_factory=list)
    closed: bool = False
    answer: object = "judge"
    claim: Obstacle | None = None
    trouble: Obstacle | None = None
    update_works: bool = True
    tls: int = 0

    @property
    def lines(self):
        return self.said.decode().split("\r\n")[:-1]

    def send(self, *pieces):
        for piece in pieces:
            self.act(self.core.receive(piece))
        return self

    def hear(self, *pieces):
        """Send, and return what was said to that."""
        before = len(self.said)
        self.send(*pieces)
        return self.said[before:]

    def act(self, wanted):
        for effect in wanted:
            self.act(self.do(effect))

    def do(self, effect):
        match effect:
            case effects.Say(octets):
                assert not self.closed
                self.said += octets
                self.longest = max(self.longest, len(octets))
            case effects.Close():
                self.closed = True
            case effects.Login(question):
                self.asked.append(question)
                return self.core.logged_in(self.judge(question))
            case effects.Claim():
                found = [Message(key, len(data)) for key, data in self.box.items()]
                return self.core.claimed(self.claim or found)
            case effects.StartTls():
                self.tls += 1
                return self.core.secured(b"hash of our certificate")
            case effects.Fetch(key):
                return self.fetch(key)
            case effects.Update(keys):
                self.updates.append(keys)
                return self.core.updated(everything=self.update_works)
        return self.core.said()

    def judge(self, question):
        if self.answer != "judge":
            return self.answer
        plain = question.mechanism == "USER"
        answer = sasl.judge(replace(question, mechanism="PLAIN") if plain else question, "secret")
        is_granted = answer.verdict is LoginVerdict.GRANTED
        return replace(answer, mailbox=ANN) if is_granted else answer

    def fetch(self, key):
        data, at = self.box[key], 0
        while at < len(data) and self.trouble is None:
            self.act(self.core.fetched(data[at : at + self.part]))
            if self.core.has_fetched_enough:
                break
            at += self.part
        if self.trouble is not None:
            return self.core.not_fetched(self.trouble)
        return self.core.fetched_all()


def talk(*pieces, client=LOOPBACK, secured=False, box=MESSAGES, **changes):
    """Return a conversation after the greeting and ``pieces``."""
    known = ("plaintext", "binding", "max_errors", "mechanisms")
    settings = {name: changes.pop(name) for name in known if name in changes}
    doorway = Doorway("pop3", new_nonce=lambda: "nonce@mx.ours.test", **settings)
    core = Session(doorway, client, secured=secured)
    core.greet()
    return Talk(core, dict(box), **changes).send(*pieces)
