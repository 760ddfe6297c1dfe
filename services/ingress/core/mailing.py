"""Mailing: the mail transaction of a session (RFC 5321 §3.3): MAIL, RCPT, RSET.

Recipients that come in one breath are asked about together.
"""

from collections.abc import Sequence
from datetime import datetime

from kernel.model.envelope import Recipient
from kernel.model.questions import RelayAnswer, RelayQuestion
from kernel.model.reply import Reply
from services.ingress.core import replies
from services.ingress.core.admission import judge_size
from services.ingress.core.doorway import Doorway
from services.ingress.core.effects import Decide, Offer, Refused, Tls
from services.ingress.core.grammar import MailCommand, parse_mail, parse_rcpt
from services.ingress.core.identity import Identity
from services.ingress.core.reception import Reception
from services.ingress.core.trace import protocol
from services.ingress.core.transaction import Transaction

_BATCH = 100
_NOBODY_KNOWS = RelayAnswer(replies.TRY_LATER, "auth-unavailable")


class Mailing(Identity):
    """What a session knows of the mail that its client is about to send."""

    def __init__(self, doorway: Doorway, client: str, tls: Tls | None) -> None:
        super().__init__(doorway, client, tls)
        self._mail: Transaction | None = None
        self._mail_was_refused = False
        self._reception: Reception | None = None

    def on_rset(self, argument: str) -> None:
        """RSET (§4.1.1.5)."""
        if argument:
            self._complain(replies.NO_ARGUMENT)
        else:
            self._reset()
            self._say(replies.OK)

    def _reset(self) -> None:
        self._mail = None
        self._mail_was_refused = False
        self._reception = None

    def _refuse_auth(self, mechanism: str) -> Reply | None:
        if self._mail is not None:
            return replies.NOT_IN_MAIL
        return super()._refuse_auth(mechanism)

    def on_mail(self, argument: str) -> None:
        """MAIL (RFC 5321 §4.1.1.2)."""
        if not self._helo_name:
            self._complain(replies.HELO_FIRST)
        elif self._mail is not None:
            self._complain(replies.NESTED_MAIL)
        else:
            command = parse_mail(
                argument,
                extended=self._is_extended,
                tls=self._tls is not None,
                holds=self._doorway.holds,
            )
            if isinstance(command, Reply):
                self._refuse_mail(command)
            else:
                self._begin_mail(command)

    def _refuse_mail(self, refusal: Reply) -> None:
        self._mail_was_refused = True
        self._complain(refusal)

    def _begin_mail(self, command: MailCommand) -> None:
        until = self._release(command)
        refusal = (
            judge_size(command.size, self._doorway.listener.max_message_size)
            or self._refuse_hold(until)
            or self._doorway.at_mail()
        )
        if refusal is not None:
            self._refuse_mail(refusal)
            return
        self._mail_was_refused = False
        self._mail = Transaction(self._doorway.new_id(), command, until)
        self._say(replies.SENDER_OK)

    def _release(self, command: MailCommand) -> datetime | None:
        """Return when the mail may go on (RFC 4865); None for at once."""
        if command.hold_for is not None:
            return self._doorway.now() + command.hold_for
        return command.hold_until

    def _refuse_hold(self, until: datetime | None) -> Reply | None:
        if until is None or until <= self._doorway.now() + self._doorway.max_hold:
            return None
        return replies.HELD_TOO_LONG

    def on_rcpt(self, argument: str) -> None:
        """RCPT (§4.1.1.3)."""
        mail = self._mail
        if mail is None:
            self._miss(replies.MAIL_FIRST)
            return
        if self._reception is not None:
            self._complain(replies.CHUNKS_HAVE_BEGUN)
            return
        if mail.room(self._doorway.listener.max_recipients) > 0:
            mail.pending.append(self._read_recipient(mail, argument))
        else:
            mail.pending.append(replies.TOO_MANY_RECIPIENTS)
        if not self._goes_on(mail):
            self._ask(mail)

    def _miss(self, reply: Reply) -> None:
        """Say that something has to come first; what a refused MAIL drew along is no error."""
        if self._mail_was_refused:
            self._say(reply)
        else:
            self._complain(reply)

    def _read_recipient(self, mail: Transaction, argument: str) -> Recipient | Reply:
        return parse_rcpt(
            argument,
            extended=self._is_extended,
            smtputf8=mail.mail.smtputf8,
            domain=self._doorway.domain,
        )

    def _goes_on(self, mail: Transaction) -> bool:
        """Whether the next recipient is here already and can be asked about with this one."""
        return (
            self._lines.follows(b"RCPT")
            and len(mail.pending) < min(_BATCH, self._errors_left)
            and mail.room(self._doorway.listener.max_recipients) > 0
        )

    def _ask(self, mail: Transaction) -> None:
        questions = [
            self._relay_question(mail, recipient)
            for recipient in mail.pending
            if isinstance(recipient, Recipient)
        ]
        if questions:
            self._wait_for(Decide(tuple(questions), mail.id))
        else:
            self._judge_recipients(mail, ())

    def _relay_question(self, mail: Transaction, recipient: Recipient) -> RelayQuestion:
        return RelayQuestion(
            self._doorway.listener.name,
            self._client,
            self._helo_name,
            mail.mail.sender,
            recipient.address,
            login=self._login,
            certificate=self._tls.certificate if self._tls else "",
        )

    def _judge_recipients(self, mail: Transaction, answers: Sequence[RelayAnswer] | None) -> None:
        coming = iter(answers or ())
        pending, mail.pending = mail.pending, []
        for recipient in pending:
            if isinstance(recipient, Recipient):
                self._judge_recipient(mail, recipient, next(coming, _NOBODY_KNOWS))
            else:
                self._complain(recipient)

    def _judge_recipient(
        self, mail: Transaction, recipient: Recipient, answer: RelayAnswer
    ) -> None:
        if mail.hold_until and answer.stranger and answer.reply.is_positive:
            answer = RelayAnswer(replies.NOT_HELD, "not-held", stranger=True)
        reply = answer.reply
        if reply.is_positive:
            mail.accept(recipient, answer)
            self._say(reply)
            return
        mail.was_refused = True
        mail.was_put_off |= reply.is_transient
        submitter = self._login or answer.submitter
        self._want(
            Refused(mail.id, mail.mail.sender, recipient.address, reply, answer.rule, submitter)
        )
        if self._login:
            self._say(reply)
        else:
            self._complain(reply)
        if answer.stranger and reply.status == replies.NOBODY:
            self._doubt(self._doorway.max_unknown)

    def _offer(self, mail: Transaction) -> Offer:
        said = mail.mail
        protocol_name = protocol(
            extended=self._is_extended,
            smtputf8=said.smtputf8,
            tls=self._tls is not None,
            login=bool(self._login),
        )
        return Offer(  # by place: of so many fields, their names would take longer
            mail.id,
            self._doorway.listener.name,
            self._client,
            self._helo_name,
            protocol_name,
            self._tls,
            said.sender,
            tuple(mail.recipients.values()),
            tuple(mail.rules),
            mail.submitter,
            said.body,
            said.smtputf8,
            said.ret,
            said.envid,
            mail.is_from_stranger,
            said.requiretls,
            mail.hold_until,
        )
