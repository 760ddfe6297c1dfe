"""Identity: who the client is, by its greeting, its TLS and its login (RFC 5321, 3207, 4954)."""

from kernel.model.questions import LoginAnswer, LoginQuestion, LoginVerdict
from kernel.model.reply import Reply
from services.ingress.core import replies, sasl
from services.ingress.core.doorway import Doorway
from services.ingress.core.effects import Login, StartTls, Tls
from services.ingress.core.grammar import parse_helo
from services.ingress.core.lines import MAX_LINE, Lines
from services.ingress.core.speech import Speech


class Identity(Speech):
    """What a session knows of its client, and the commands that tell it."""

    def __init__(self, doorway: Doorway, client: str, tls: Tls | None) -> None:
        super().__init__(doorway.max_errors)
        self._doorway = doorway
        self._client = client
        self._tls = tls
        self._lines = Lines()
        self._helo_name = ""
        self._is_extended = False
        self._login = ""
        self._exchange: sasl.Exchange | None = None

    def _reset(self) -> None:
        """Forget the mail transaction, if there is one."""

    def on_ehlo(self, argument: str) -> None:
        """EHLO (RFC 5321 §4.1.1.1)."""
        if self._hello(argument, extended=True):
            extensions = self._doorway.extensions(secured=self._tls is not None)
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
            self._wait_for(StartTls())

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
            exchange = sasl.Exchange(mechanism)
            self._advance(exchange, exchange.begin(initial.strip(" ").encode()))

    def _refuse_auth(self, mechanism: str) -> Reply | None:
        if not self._is_extended:
            return replies.HELO_FIRST
        if self._login:
            return replies.AUTH_ALREADY
        return self._doorway.refuse_mechanism(mechanism, secured=self._tls is not None)

    def _respond(self, exchange: sasl.Exchange, line: bytes) -> None:
        too_long = len(line) > MAX_LINE
        self._advance(exchange, replies.AUTH_LINE_TOO_LONG if too_long else exchange.respond(line))

    def _advance(self, exchange: sasl.Exchange, step: sasl.Step) -> None:
        self._exchange = None
        if isinstance(step, sasl.Credentials):
            self._wait_for(Login(self._login_question(exchange.mechanism, step)))
        elif step.code == sasl.CHALLENGE:
            self._exchange = exchange
            self._say(step)
        else:
            self._complain(step)

    def _login_question(self, mechanism: str, shown: sasl.Credentials) -> LoginQuestion:
        return LoginQuestion(
            service="smtp",
            listener=self._doorway.listener.name,
            client=self._client,
            mechanism=mechanism,
            login=shown.login,
            password=shown.password,
            tls=self._tls is not None,
        )

    def _judge_login(self, answer: LoginAnswer | None) -> None:
        if answer is None or answer.verdict is LoginVerdict.LOCKED:
            self._complain(replies.AUTH_LATER)
        elif answer.verdict is LoginVerdict.REFUSED:
            self._complain(replies.AUTH_REFUSED)
        else:
            self._login = answer.login
            self._say(replies.AUTH_GRANTED)
