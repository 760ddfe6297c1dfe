"""Delivery's way to a remote, from a leg to the octets that arrive: everything but the bus."""

import asyncio
from dataclasses import replace

from kernel.clock import system_clock
from kernel.model.envelope import Blob, Body
from kernel.model.sending import Sending
from services.delivery.adapters.dialling import Dialler, Dialling
from services.delivery.adapters.preparing import Preparer
from services.delivery.adapters.smtp import SmtpCourier
from services.delivery.core.routes import Host
from services.delivery.core.smtp_client import Phase
from services.delivery.fellows import Fellows
from services.delivery.ports import Site
from services.delivery.shaping import Manners, Shaping
from tests.support.fakes import DictBlobs, RecordingBus, make_platform
from tests.support.mail import BOB, make_leg
from tests.support.remote import remote

EVERYTHING = "250-there.test\r\n250-PIPELINING\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n250 SMTPUTF8"
DEADLINE = 60


class House:
    """A delivery of ours, with one remote for all domains."""

    def __init__(self, *keys, **sending):
        self.platform = make_platform(blobs=DictBlobs())
        self.sending = Sending(keys=keys, domains=("mx.ours.test", "ours.test"), **sending)
        self.preparer = Preparer(self.platform, lambda: self.sending)

    def leg(self, content, as_blob="", to=BOB, *, submitted=True, **changes):
        leg = make_leg(to, content=content, **changes)
        if as_blob:
            self.platform.blobs.blobs[as_blob] = content
            content = Blob(as_blob, len(content))
        envelope = replace(
            leg.envelope, content=content, submitted=submitted, smtputf8=True, body=Body.EIGHT_BIT
        )
        return replace(leg, envelope=envelope)

    async def carry(self, *legs, ehlo=EVERYTHING):
        """Carry ``legs`` to a remote over a socket; return it."""
        async with asyncio.timeout(DEADLINE), remote(ehlo=ehlo) as there:
            dialling = Dialling("us.test", dict.fromkeys(Phase, 10.0), connect_timeout=10.0)
            shaping = Shaping(Manners(), Fellows(RecordingBus()), system_clock)
            courier = SmtpCourier(To(there.port), Dialler(dialling), self.preparer, shaping, 100)
            for leg in legs:
                carried = await courier.carry(leg)
                assert {reply.code for reply in carried.replies.values()} == {250}
            courier.close()
        return there


class To:
    def __init__(self, port):
        self.site = Site("site", (Host("mx.test", "127.0.0.1", port),))

    async def find(self, domain):
        return self.site
