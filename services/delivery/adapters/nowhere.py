"""Legs that lead nowhere: everybody gets the reply that the router found."""

from kernel.model.events import MailRouted, Nowhere
from services.delivery.ports import Carried


class NowhereCourier:
    """Carries a leg over the `Nowhere` hop, which is to say not at all."""

    async def carry(self, leg: MailRouted) -> Carried:
        """Answer for the host that there is not."""
        assert isinstance(leg.hop, Nowhere)  # noqa: S101 - main gives us no other
        reply = leg.hop.reply
        return Carried({recipient.address: reply for recipient in leg.envelope.recipients})
