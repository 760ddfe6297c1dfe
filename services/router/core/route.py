"""Where the recipients of a message go next: one leg for each hop."""

from collections.abc import Sequence
from dataclasses import replace

from kernel.model.envelope import Envelope, Recipient
from kernel.model.events import Hop, Local, MailRouted, Nowhere, Remote
from kernel.model.questions import Place
from kernel.model.reply import Reply
from services.router.core.expand import Ending

NO_SUCH_USER = Reply(550, "5.1.1", "No such user here")
LEADS_NOWHERE = Reply(554, "5.4.6", "The address is an alias that leads to nobody, or too far")
EXPANDED = Reply(250, "2.1.5", "The address is an alias, others receive in its stead")

_LOCAL = Local()
_NO_SUCH_USER = Nowhere(NO_SUCH_USER)
_LEADS_NOWHERE = Nowhere(LEADS_NOWHERE)
_EXPANDED = Nowhere(EXPANDED)


def route(envelope: Envelope, endings: Sequence[Ending]) -> tuple[MailRouted, ...]:
    """Return a leg for each hop of ``endings``; every one of them is on exactly one leg.

    A hop has one leg, however many recipients it has: its id names the hop.
    """
    legs: dict[Hop, list[Recipient]] = {}
    for ending in endings:
        legs.setdefault(_hop(ending), []).append(ending.recipient)
    return tuple(
        MailRouted(replace(envelope, recipients=tuple(recipients)), hop)
        for hop, recipients in legs.items()
    )


def notices(envelope: Envelope, spread: Sequence[Recipient]) -> tuple[MailRouted, ...]:
    """Return the leg on which nobody receives, and the sender hears of its aliases, if it is to.

    An ``expanded`` report is due for each that stands for several (RFC 3461 §5.2.7.3 (b)).
    """
    if not spread:
        return ()
    return (MailRouted(replace(envelope, recipients=tuple(spread)), _EXPANDED),)


def _hop(ending: Ending) -> Hop:
    match ending.place:
        case Place.MAILBOX:
            return _LOCAL
        case Place.REMOTE:
            return Remote(ending.recipient.address.domain, ending.forwarded)
        case Place.UNKNOWN:
            return _NO_SUCH_USER
        case Place.ALIAS:
            return _LEADS_NOWHERE
