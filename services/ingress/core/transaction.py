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
        self._accepted: dict[Address, tuple[Recipient, RelayAnswer]] = {}

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """Everybody who was let in, once each, in order."""
        return tuple(recipient for recipient, _ in self._accepted.values())

    @property
    def rules(self) -> tuple[str, ...]:
        """The rule that let each of `recipients` in."""
        return tuple(answer.rule for _, answer in self._accepted.values())

    @property
    def submitter(self) -> str:
        """Under whose name the mail counts: the first that a decision gave."""
        return next((a.submitter for _, a in self._accepted.values() if a.submitter), "")

    @property
    def is_from_stranger(self) -> bool:
        """Whether a decision said so."""
        return any(answer.stranger for _, answer in self._accepted.values())

    def room(self, max_recipients: int) -> int:
        """Return how many more recipients may be asked about."""
        return max_recipients - len(self._accepted) - len(self.pending)

    def accept(self, recipient: Recipient, answer: RelayAnswer) -> None:
        """Let ``recipient`` in. Named twice, the first time counts."""
        self._accepted.setdefault(recipient.address, (recipient, answer))
