"""Transaction: one mail from MAIL to the end of its data (RFC 5321 §3.3)."""

from datetime import datetime

from kernel.model.address import Address
from kernel.model.envelope import MailId, Recipient
from kernel.model.questions import RelayAnswer
from kernel.model.reply import Reply
from services.ingress.core.grammar import MailCommand

Pending = Reply | Recipient
"""A RCPT that came in the same breath as others: answered already, or to be asked about."""


class Transaction:
    """The recipients so far: those who were let in, and those who wait for a decision."""

    def __init__(
        self, mail_id: MailId, mail: MailCommand, hold_until: datetime | None = None
    ) -> None:
        self.id = mail_id
        self.mail = mail
        self.hold_until = hold_until
        self.pending: list[Pending] = []
        self.was_refused = False
        self.was_put_off = False
        self.recipients: dict[Address, Recipient] = {}
        """Everybody who was let in, once each, in order."""
        self.rules: list[str] = []
        """The rule that let each of `recipients` in."""
        self.submitter = ""
        """Under whose name the mail counts: the first that a decision gave."""
        self.is_from_stranger = False
        """Whether a decision said so."""

    def room(self, max_recipients: int) -> int:
        """Return how many more recipients may be asked about."""
        return max_recipients - len(self.recipients) - len(self.pending)

    def accept(self, recipient: Recipient, answer: RelayAnswer) -> None:
        """Let ``recipient`` in. Named twice, the first time counts."""
        if self.recipients.setdefault(recipient.address, recipient) is not recipient:
            return
        self.rules.append(answer.rule)
        self.submitter = self.submitter or answer.submitter
        self.is_from_stranger |= answer.stranger
