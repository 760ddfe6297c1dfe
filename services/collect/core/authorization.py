"""Authorization: who the client is, by USER and PASS or by SASL (RFC 1939 §4, 5034), and TLS."""

from dataclasses import replace

from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from kernel.sasl import BINDS_CHANNEL, MAX_LINE, Challenge, Exchange, Fault, Shown, Step
from services.collect.core import replies
from services.collect.core.doorway import Doorway
from services.collect.core.effects import Claim, Login, StartTls
from services.collect.core.lines import Lines
from services.collect.core.speech import Speech

USER = "USER"
"""What auth is told the mechanism of USER and PASS is."""


class Authorization(Speech):
    """What a session knows of its client, and the commands that tell it."""

    def __init__(self, doorway: Doorway, client: str, *, secured: bool) -> None:
        super().__init__(doorway.max_errors)
        self._doorway = doorway
        self._client = client
        self._is_secured = secured
        self._lines = Lines(MAX_LINE)
        self._user = ""
        self._exchange: Exchange | None = None

    @property
    def _takes_passwords(self) -> bool:
        return self._doorway.takes_passwords(self._client, secured=self._is_secured)

    @property
    def _mechanisms(self) -> tuple[str, ...]:
        return self._doorway.offers(self._client, secured=self._is_secured)

    def on_stls(self, argument: str) -> None:
        """STLS (RFC 2595 §4)."""
        if argument:
            self._complain(replies.BAD_ARGUMENT)
        elif self._is_secured:
            self._complain(replies.TLS_ALREADY)
        else:
            self._say(replies.READY_FOR_TLS)
            self._lines.clear()  # it did not come under TLS, whoever sent it: CVE-2011-0411
            self._wait_for(StartTls())

    def _secure(self, binding: bytes) -> None:
        """Begin anew, knowing nothing (RFC 2595 §4)."""
        self._doorway = replace(self._doorway, binding=binding)
        self._is_secured = True
        self._user = ""

    def on_user(self, argument: str) -> None:
        """USER (RFC 1939 §7): the answer is the same whoever it is."""
        if not self._takes_passwords:
            self._complain(replies.TLS_FIRST)
        elif not argument:
            self._complain(replies.BAD_ARGUMENT)
        else:
            self._user = argument
            self._say(replies.SEND_PASSWORD)

    def on_pass(self, argument: str) -> None:
        """PASS (RFC 1939 §7): all that follows the space is the password."""
        user, self._user = self._user, ""
        if not user:
            self._complain(replies.USER_FIRST)
        else:
            self._ask(USER, Shown(user, argument))

    def on_auth(self, argument: str) -> None:
        """AUTH (RFC 5034 §4)."""
        word, _, initial = argument.partition(" ")
        mechanism = word.upper()
        if mechanism in self._mechanisms:
            self._exchange = Exchange(mechanism, self._doorway.new_nonce())
            self._advance(self._exchange, self._exchange.begin(initial.strip(" ").encode()))
        elif mechanism in self._doorway.offers(self._client, secured=True):
            self._complain(replies.TLS_FIRST)
        else:
            self._complain(replies.UNKNOWN_MECHANISM)

    def _advance(self, exchange: Exchange, step: Step) -> None:
        match step:
            case Challenge(text):
                self._say(f"+ {text}")
            case Shown():
                self._ask(exchange.mechanism, step)
            case LoginAnswer():
                self._exchange = None
                self._judge(step)
            case Fault():
                self._exchange = None
                self._complain(replies.FAULTS[step])

    def _ask(self, mechanism: str, shown: Shown) -> None:
        question = LoginQuestion(
            service="pop3",
            listener=self._doorway.listener,
            client=self._client,
            mechanism=mechanism,
            login=shown.login,
            password=shown.password,
            tls=self._is_secured,
            challenge=shown.challenge,
            responses=shown.responses,
            channel_binding=self._binding,
        )
        self._wait_for(Login(question))

    @property
    def _binding(self) -> bytes:
        """What a login can be bound to, where we offer that.

        Where we do not, a client that could must not be taken for one that was kept from it
        by somebody in between (RFC 5802 §6).
        """
        return b"" if BINDS_CHANNEL.isdisjoint(self._mechanisms) else self._doorway.binding

    def _answered(self, answer: LoginAnswer | None) -> None:
        """Go on with what auth says; None if nobody could tell."""
        exchange = self._exchange
        if answer is None:
            self._exchange = None
            self._say(replies.TRY_LATER)
        elif exchange is not None:
            self._advance(exchange, exchange.answered(answer))
        else:
            self._judge(answer)

    def _judge(self, answer: LoginAnswer) -> None:
        match answer.verdict:
            case LoginVerdict.GRANTED if answer.mailbox is not None:
                self._wait_for(Claim(answer.mailbox, answer.login))
            case LoginVerdict.GRANTED:
                self._complain(replies.NO_MAILBOX)
            case LoginVerdict.REFUSED:
                self._complain(replies.REFUSED)
            case LoginVerdict.LOCKED | LoginVerdict.CONTINUE:
                self._complain(replies.TRY_LATER)
