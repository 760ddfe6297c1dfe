"""Identity: who the client is, by its greeting, its TLS and its login (RFC 5321, 3207, 4954)."""

from collections.abc import Mapping

from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from kernel.model.reply import Reply
from kernel.sasl import BINDS_CHANNEL, Challenge, Exchange, Fault, Shown, Step
from services.ingress.core import replies
from services.ingress.core.doorway import Doorway
from services.ingress.core.effects import Login, StartTls, Tls
from services.ingress.core.grammar import parse_helo
from services.ingress.core.lines import Lines
from services.ingress.core.speech import Speech

_FAULTS: Mapping[Fault, Reply] = {
    Fault.CANCELLED: replies.AUTH_CANCELLED,
    Fault.MALFORMED: replies.AUTH_MALFORMED,
    Fault.TOO_LONG: replies.AUTH_LINE_TOO_LONG,
}


class Identity(Speech):
    """What a session knows of its client, and the commands that tell it."""

    def __init__(self, doorway: Doorway, client: str, tls: Tls | None) -> None:
        super().__init__(doorway.max_errors)
        self._doorway = doorway
        self._client = client
        self._is_trusted = doorway.trusts(client)
        self._tls = tls
        self._requires_tls = doorway.requires_tls
        self._in_lan = False
        self._lines = Lines()
        self._helo_name = ""
        self._is_extended = False
        self._login = ""
        self._exchange: Exchange | None = None

    def _reset(self) -> None:
        """Forget the mail transaction, if there is one."""

    def on_ehlo(self, argument: str) -> None:
        """EHLO (RFC 5321 §4.1.1.1)."""
        if self._hello(argument, extended=True):
            extensions = self._doorway.extensions(
                self._tls, in_lan=self._in_lan, is_trusted=self._is_trusted
            )
            self._say(Reply(250, "", extensions))

    def on_helo(self, argument: str) -> None:
        """HELO (RFC 5321 §4.1.1.1)."""
        if self._hello(argument, extended=False):
            self._say(Reply(250, "", self._doorway.hostname))

    def _hello(self, argument: str, *, extended: bool) -> bool:
        name = parse_helo(argument)
        if name is None:
            self._complain(replies.BAD_HELO)
            return False
        self._helo_name, self._is_extended = name, extended
        self._reset()
        return True

    def on_starttls(self, argument: str) -> None:
        """STARTTLS (RFC 3207)."""
        if argument:
            self._complain(replies.NO_ARGUMENT)
        elif self._tls is not None:
            self._complain(replies.TLS_ALREADY)
        elif not self._doorway.offers_tls:
            self._complain(replies.TLS_UNAVAILABLE)
        else:
            self._say(replies.READY_FOR_TLS)
            self._say_now()
            self._lines.clear()  # it did not come under TLS, whoever sent it: CVE-2011-0411
            self._wait_for(StartTls(self._doorway.listener.client_certificates))

    def _secure(self, tls: Tls) -> None:
        """Begin anew, knowing nothing (RFC 3207 §4.2)."""
        self._tls = tls
        self._helo_name, self._is_extended, self._login = "", False, ""
        self._reset()

    def on_auth(self, argument: str) -> None:
        """AUTH (RFC 4954)."""
        word, _, initial = argument.partition(" ")
        mechanism = word.upper()
        refusal = self._refuse_auth(mechanism)
        if refusal is not None:
            self._complain(refusal)
        else:
            exchange = Exchange(mechanism, self._doorway.new_nonce())
            self._advance(exchange, exchange.begin(initial.strip(" ").encode()))

    def _refuse_auth(self, mechanism: str) -> Reply | None:
        if not self._is_extended:
            return replies.HELO_FIRST
        if self._login:
            return replies.AUTH_ALREADY
        if not mechanism:
            return replies.BAD_ARGUMENT
        return self._doorway.refuse_mechanism(mechanism, self._tls, in_lan=self._in_lan)

    def _respond(self, exchange: Exchange, line: bytes) -> None:
        self._advance(exchange, exchange.respond(line))

    def _advance(self, exchange: Exchange, step: Step) -> None:
        self._exchange = exchange
        match step:
            case Challenge(text):
                self._say(Reply(334, "", text))
            case Shown():
                self._wait_for(Login(self._login_question(exchange.mechanism, step)))
            case Fault():
                self._exchange = None
                self._complain(_FAULTS[step])
            case LoginAnswer():
                self._exchange = None
                self._judge_login(step)

    def _login_question(self, mechanism: str, shown: Shown) -> LoginQuestion:
        return LoginQuestion(
            service="smtp",
            listener=self._doorway.listener.name,
            client=self._client,
            mechanism=mechanism,
            login=shown.login,
            password=shown.password,
            tls=self._tls is not None,
            challenge=shown.challenge,
            responses=shown.responses,
            channel_binding=self._channel_binding(),
        )

    def _channel_binding(self) -> bytes:
        """Return what a login can be bound to, where we offer that.

        Where we do not, a client that could must not be taken for one that was kept
        from it by somebody in between (RFC 5802 §6).
        """
        offered = self._doorway.mechanisms(self._tls, in_lan=self._in_lan)
        return self._tls.binding if self._tls and not BINDS_CHANNEL.isdisjoint(offered) else b""

    def _take_answer(self, answer: LoginAnswer | None) -> None:
        """Go on with what auth says; without an answer the exchange is over."""
        exchange, self._exchange = self._exchange, None
        if answer is None or exchange is None:
            self._blame(replies.AUTH_LATER)
        else:
            self._advance(exchange, exchange.answered(answer))

    def _judge_login(self, answer: LoginAnswer) -> None:
        """Say who may come in: only a clear yes is one, only a clear no is one."""
        match answer.verdict:
            case LoginVerdict.GRANTED if answer.login:
                self._login = answer.login
                self._say(replies.AUTH_GRANTED)
            case LoginVerdict.REFUSED:
                self._blame(replies.AUTH_REFUSED)
            case _:
                self._blame(replies.AUTH_LATER)
