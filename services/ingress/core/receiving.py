"""Receiving: the octets of a message, after DATA (RFC 5321 §4.1.1.4) or in chunks (RFC 3030)."""

from dataclasses import dataclass

from kernel.model.envelope import Body
from kernel.model.reply import Reply
from services.ingress.core import replies
from services.ingress.core.content import DataReader
from services.ingress.core.doorway import Doorway
from services.ingress.core.effects import Tls
from services.ingress.core.grammar import parse_bdat
from services.ingress.core.mailing import Mailing
from services.ingress.core.reception import Reception
from services.ingress.core.transaction import Transaction


@dataclass(slots=True)
class _Chunk:
    """A chunk that comes in: so many octets are ``due``. A refused one is dropped."""

    due: int
    is_last: bool
    refusal: Reply | None


class Receiving(Mailing):
    """What a session does with octets that are no commands."""

    def __init__(self, doorway: Doorway, client: str, tls: Tls | None) -> None:
        super().__init__(doorway, client, tls)
        self._data: DataReader | None = None
        self._chunk: _Chunk | None = None
        self._is_leaving = False

    @property
    def is_busy(self) -> bool:
        """Whether a message is coming in or being made ours."""
        return self._reception is not None

    def on_data(self, argument: str) -> None:
        """Begin to receive the message: DATA (RFC 5321 §4.1.1.4).

        Who has to wait for room may say it again: the mail is as it was.
        """
        refusal = replies.NO_ARGUMENT if argument else self._refuse_lines() or self._refuse_data()
        if refusal is not None:
            self._miss(refusal)
        else:
            self._begin()
            self._data = DataReader()
            self._say(replies.GO_AHEAD)

    def on_bdat(self, argument: str) -> None:
        """BDAT (RFC 3030 §2): whatever we think of it, so many octets are no commands."""
        command = parse_bdat(argument)
        if command is None:
            self._complain(replies.BAD_BDAT)
            self._lose_track()
            return
        refusal = replies.BAD_BDAT if command.is_malformed else self._refuse_chunk()
        if refusal is None and self._reception is None:
            self._begin()
        self._chunk = _Chunk(command.size, command.is_last, refusal)

    def _lose_track(self) -> None:
        """Go: nobody can tell what comes next from commands."""
        self._hang_up(replies.LOST_TRACK)

    def _refuse_data(self) -> Reply | None:
        mail = self._mail
        if mail is None:
            return replies.MAIL_FIRST
        if self._reception is not None:
            return replies.CHUNKS_HAVE_BEGUN
        return self._doorway.at_data() if mail.recipients else _no_recipients(mail)

    def _refuse_lines(self) -> Reply | None:
        """Return the refusal of DATA for what no lines can hold (RFC 3030 §3)."""
        is_binary = self._mail is not None and self._mail.mail.body is Body.BINARY
        return replies.ONLY_IN_CHUNKS if is_binary else None

    def _refuse_chunk(self) -> Reply | None:
        if self._mail is not None and not self._is_extended:
            return replies.EHLO_FIRST
        return None if self._reception is not None else self._refuse_data()

    def _begin(self) -> None:
        if self._mail is not None:
            listener, max_hops = self._doorway.listener, self._doorway.max_hops
            self._reception = Reception(self._offer(self._mail), listener, max_hops)

    def _reset(self) -> None:
        if self._reception is not None:
            self._effects += self._reception.abandon()
        self._data = None
        super()._reset()

    # Reading. Each returns whether there was anything to read.

    def _read_data(self, data: DataReader) -> bool:
        octets = self._lines.take()
        if not octets or self._reception is None:
            return False
        content, rest = data.feed(octets)
        self._effects += self._reception.feed(content)
        if rest is not None:
            self._data = None
            self._lines.feed(rest)
            self._finish(self._reception)
        return True

    def _read_chunk(self, chunk: _Chunk) -> bool:
        octets = self._lines.take(chunk.due)
        if chunk.due and not octets:
            return False
        chunk.due -= len(octets)
        if chunk.refusal is None and self._reception is not None:
            self._effects += self._reception.feed(octets)
        if not chunk.due:
            self._chunk = None
            self._end_chunk(chunk)
        return True

    def _end_chunk(self, chunk: _Chunk) -> None:
        if chunk.refusal is not None or self._reception is None:
            self._fail(chunk.refusal or replies.MAIL_FIRST)
        elif chunk.is_last:
            self._finish(self._reception)
        elif self._reception.refusal is not None:
            self._want(self._reception.rejected(self._reception.refusal))
            self._fail(self._reception.refusal)
        else:
            self._say(replies.CHUNK_TAKEN)

    def _fail(self, reply: Reply) -> None:
        """Give the mail up: without this chunk it is not what its sender wrote.

        More chunks may be on their way; that they find no mail is no error.
        """
        if self._mail is None:
            self._miss(reply)
            return
        self._end_mail(reply)
        self._mail_was_refused = True

    def _finish(self, reception: Reception) -> None:
        self._effects += reception.finish()
        if reception.refusal is None:
            self.is_waiting = True
        else:
            self._end_mail(reception.refusal)

    def _end_mail(self, reply: Reply) -> None:
        self._reset()
        self._complain(reply)
        if self._is_leaving:
            self._hang_up(replies.SHUTTING_DOWN)


def _no_recipients(mail: Transaction) -> Reply:
    """Return why there is nobody to receive ``mail``.

    Who was put off is not refused by what was sent on without waiting for the answer.
    """
    if mail.was_put_off:
        return replies.TRY_LATER
    return replies.NO_RECIPIENTS if mail.was_refused else replies.RCPT_FIRST
