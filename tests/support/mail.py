"""People and their mail, for examples."""

from datetime import UTC, datetime, timedelta

from kernel.model.address import Address
from kernel.model.envelope import Content, Envelope, Recipient
from kernel.model.events import Hop, MailRouted, Remote
from kernel.model.reply import Reply

ANN = Address("ann", "ours.test")
BOB = Address("bob", "elsewhere.test")
CAT = Address("cat", "elsewhere.test")
EVE = Address("eve", "stranger.test")

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
AN_HOUR_LATER = NOON + timedelta(hours=1)
A_WEEK_LATER = NOON + timedelta(weeks=1)

OK = Reply(250, "2.0.0", "OK")
BUSY = Reply(451, "4.3.0", "Try again later")
GONE = Reply(550, "5.1.1", "No such user here")

MAIL_ID = "01kdq5h4g0test000000000000"
MESSAGE = (
    b"From: ann@ours.test\r\nTo: bob@elsewhere.test\r\nSubject: hello\r\n"
    b"Message-ID: <1@ours.test>\r\n\r\nhi\r\n"
)


def make_envelope(
    *recipients: Address,
    sender: Address | None = ANN,
    content: Content = MESSAGE,
    received_at: datetime = NOON,
    mail_id: str = MAIL_ID,
) -> Envelope:
    """Return an envelope for ``recipients``."""
    everyone = tuple(Recipient(address) for address in recipients)
    return Envelope(mail_id, sender, everyone, content, received_at)


def make_leg(
    *recipients: Address,
    hop: Hop = Remote("elsewhere.test"),  # noqa: B008 - frozen
    attempt: int = 1,
    sender: Address | None = ANN,
    content: Content = MESSAGE,
    received_at: datetime = NOON,
) -> MailRouted:
    """Return a leg for ``recipients``."""
    envelope = make_envelope(*recipients, sender=sender, content=content, received_at=received_at)
    return MailRouted(envelope, hop, attempt)
