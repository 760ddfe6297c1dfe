"""Session: one client's conversation, without its socket (RFC 5321).

Octets go in and effects come out. After `Admit`, `Pause`, `Decide`, `Login`, `StartTls`, `Take`,
`Seal` and `Introduced` the session waits for the answer, and reads on once it is given. Nothing
here waits, looks at a clock or touches a network. However the octets are cut, the same is said.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from kernel.model.questions import (
    AdmissionAnswer,
    AdmissionQuestion,
    LoginAnswer,
    RelayAnswer,
)
from kernel.model.reply import Reply
from services.ingress.core import replies
from services.ingress.core.doorway import Doorway
from services.ingress.core.effects import Admit, Effect, Introduced, Limited, Pause, StartTls, Tls
from services.ingress.core.lines import MAX_LINE
from services.ingress.core.receiving import Receiving
from services.ingress.core.xclient import parse_xclient

_PART_OF_PROXY_V2 = b"\0"
MAX_COMMAND = 510
"""RFC 5321 §4.5.3.1.4, without the CRLF."""
_MAX_MAIL, _MAX_RCPT = 1_357, 1_060
"""With what RFC 1870, 3030, 3461, 4865, 4954, 6152, 6531 and 8689 add."""
_UNFIT = re.compile(r"[\x00-\x1f\x7f\udc80-\udcff]")
"""Controls, and octets that are no UTF-8, as they are decoded here."""


class Session(Receiving):
    """The state of one conversation."""

    def __init__(self, doorway: Doorway, client: str, tls: Tls | None = None) -> None:
        super().__init__(doorway, client, tls)
        self._is_in = False
        self._spoke_first = False
        self._is_held_back = False
        self._is_introduced = False

    def greet(self) -> list[Effect]:
        """Begin (RFC 5321 §3.1), once all that comes before the first word is settled."""
        self._enter()
        return self._proceed()

    def _enter(self) -> None:
        listener = self._doorway.listener
        if self._tls is None and self._doorway.begins_with_tls:
            self._wait_for(StartTls(listener.client_certificates))
        elif listener.restricted:
            self._wait_for(Admit(AdmissionQuestion(listener.name, self._client)))
        else:
            self._let_in()

    def admitted(self, answer: AdmissionAnswer | None) -> list[Effect]:
        """Answer `Admit`; None if nobody could tell."""
        self.is_waiting = False
        if answer is None:
            return self.end(replies.NOT_YET)
        if not answer.admitted:
            return self.end(replies.NOT_ADMITTED)
        self._in_lan = answer.in_lan
        pause = self._doorway.listener.greet_pause
        if not pause or self._in_lan or self._is_introduced:
            self._let_in()
        elif self._spoke_first:
            self._send_away()
        else:
            self._is_held_back = True
            self._wait_for(Pause(pause))
        return self._proceed()

    def resumed(self) -> list[Effect]:
        """Answer `Pause`."""
        self.is_waiting = False
        if not self._is_in:
            self._let_in()
        return self._proceed()

    def _overhear(self) -> None:
        self._spoke_first = True
        if self._is_held_back:
            self._send_away()

    def _send_away(self) -> None:
        """Take no mail from who talks before being greeted (RFC 5321 §4.3.1): a bot, mostly."""
        self._want(Limited("greet_pause"))
        self._hang_up(replies.TOO_EARLY)

    def _let_in(self) -> None:
        self._is_in = True
        refusal = self._doorway.at_door()
        if refusal is not None:
            self._hang_up(refusal)
            return
        self._say(Reply(220, "", f"{self._doorway.hostname} ESMTP Postroom"))

    def receive(self, octets: bytes) -> list[Effect]:
        """Take in what the client sent."""
        if self.is_closed:
            return []
        self._lines.feed(octets)
        if not (self._is_in or self._is_introduced):
            self._overhear()
        return self._proceed()

    def decided(self, answers: Sequence[RelayAnswer] | None) -> list[Effect]:
        """Answer `Decide`: one answer for each question, or None if nobody could tell."""
        self.is_waiting = False
        if self._mail is not None:
            self._judge_recipients(self._mail, answers)
        return self._proceed()

    def logged_in(self, answer: LoginAnswer | None) -> list[Effect]:
        """Answer `Login`; None if nobody could tell."""
        self.is_waiting = False
        self._take_answer(answer)
        return self._proceed()

    def secured(self, tls: Tls) -> list[Effect]:
        """Answer `StartTls`."""
        self.is_waiting = False
        self._secure(tls)
        return self._proceed() if self._is_in else self.greet()

    def stored(self, reply: Reply) -> list[Effect]:
        """Answer `Take` or `Seal`."""
        self.is_waiting = False
        self._end_mail(reply)
        return self._proceed()

    def leave(self) -> list[Effect]:
        """Ask the client to go: at once, or after the message that is coming in."""
        self._is_leaving = True
        return [] if self.is_busy else self.end(replies.SHUTTING_DOWN)

    def end(self, reply: Reply) -> list[Effect]:
        """Say ``reply`` and close."""
        self._hang_up(reply)
        return self._flush()

    def stumble(self) -> list[Effect]:
        """Go on after an error of our own; the command that met it has failed for now."""
        if self.is_busy:
            return self.end(replies.BROKEN_OFF)
        self.is_waiting = False
        self._exchange = None
        self._reset()
        self._complain(replies.TRY_LATER)
        return self._proceed()

    # Reading.

    def _proceed(self) -> list[Effect]:
        goes_on = True
        while goes_on and self._may_read() and (self._chunk or not self._lines.is_drained):
            if self._chunk is not None:
                goes_on = self._read_chunk(self._chunk)
            elif self._data is not None:
                goes_on = self._read_data(self._data)
            elif (line := self._lines.next()) is None:
                break
            elif self._exchange is not None:
                self._respond(self._exchange, line)
            else:
                self._obey(line)
        return self._flush()

    def _obey(self, line: bytes) -> None:
        verb = line.partition(b" ")[0].upper()
        if not self._helo_name and (verb == b"PROXY" or line == _PART_OF_PROXY_V2):
            self._hang_up(replies.NOT_YOUR_WORD)  # else its clients would pass for it
            return
        command, text = _COMMANDS.get(verb, _UNKNOWN), line.decode("utf-8", "surrogateescape")
        if len(line) > command.longest:
            self._complain(command.too_long)
        elif not text or not (text.isprintable() or _UNFIT.search(text) is None):
            self._complain(replies.BAD_LINE)
        elif command.needs_tls and self._tls is None and self._requires_tls:
            self._complain(replies.TLS_FIRST)
        else:
            command.act(self, text[len(verb) :].strip(" "))
            return
        if verb == b"BDAT":
            self._lose_track()

    def on_unknown(self, _: str) -> None:
        """Whatever else comes (RFC 5321 §4.2.4)."""
        self._complain(replies.UNKNOWN_COMMAND)

    def on_xclient(self, argument: str) -> None:
        """XCLIENT: begin anew with another client, whom all that follows is about."""
        client = parse_xclient(argument, self._client)
        if not self._is_trusted:
            self._complain(replies.UNKNOWN_COMMAND)
        elif self._mail is not None:
            self._complain(replies.NOT_IN_MAIL)
        elif client is None:
            self._complain(replies.BAD_XCLIENT)
        else:
            self._client, self._in_lan, self._login = client, False, ""
            if self._tls is not None:  # it is the front's own
                self._tls = replace(self._tls, certificate="", holder="")
            self._helo_name, self._is_extended = "", False
            self._reset()
            self._is_in, self._is_introduced = False, True
            self._wait_for(Introduced(client))

    def introduced(self, refusal: Reply | None) -> list[Effect]:
        """Answer `Introduced`: why there is no place for that client, or None."""
        self.is_waiting = False
        if refusal is not None:
            return self.end(refusal)
        self._enter()
        return self._proceed()

    # The small commands.

    def on_noop(self, _: str) -> None:
        """NOOP (§4.1.1.9)."""
        self._say(replies.OK)

    def on_vrfy(self, argument: str) -> None:
        """VRFY (§3.5.3): we tell nobody who lives here."""
        self._complain(replies.CANNOT_VERIFY if argument else replies.BAD_ARGUMENT)

    def on_expn(self, _: str) -> None:
        """EXPN (§3.5.2) is not offered."""
        self._complain(replies.NOT_IMPLEMENTED)

    def on_help(self, _: str) -> None:
        """HELP (§4.1.1.8)."""
        self._say(replies.HELP)

    def on_quit(self, argument: str) -> None:
        """QUIT (§4.1.1.10)."""
        if argument:
            self._complain(replies.NO_ARGUMENT)
        else:
            self._hang_up(replies.BYE)


class _Command(NamedTuple):
    """What is done for a command, and what its line has to be like."""

    act: Callable[[Session, str], None]
    longest: int = MAX_COMMAND
    too_long: Reply = replies.LINE_TOO_LONG
    needs_tls: bool = False


_COMMANDS: Mapping[bytes, _Command] = {
    b"EHLO": _Command(Session.on_ehlo),
    b"HELO": _Command(Session.on_helo),
    b"STARTTLS": _Command(Session.on_starttls),
    b"AUTH": _Command(Session.on_auth, MAX_LINE, replies.AUTH_LINE_TOO_LONG),
    b"MAIL": _Command(Session.on_mail, _MAX_MAIL, needs_tls=True),
    b"RCPT": _Command(Session.on_rcpt, _MAX_RCPT, needs_tls=True),
    b"DATA": _Command(Session.on_data, needs_tls=True),
    b"BDAT": _Command(Session.on_bdat),
    b"RSET": _Command(Session.on_rset),
    b"XCLIENT": _Command(Session.on_xclient),
    b"NOOP": _Command(Session.on_noop),
    b"VRFY": _Command(Session.on_vrfy, needs_tls=True),
    b"EXPN": _Command(Session.on_expn, needs_tls=True),
    b"HELP": _Command(Session.on_help),
    b"QUIT": _Command(Session.on_quit),
}
_UNKNOWN = _Command(Session.on_unknown)
