"""DANE from end to end: signed zones, a resolver that validates them, and a real handshake."""

import asyncio
import hashlib
import ssl
from types import SimpleNamespace

import pytest

from kernel.clock import system_clock
from kernel.model.address import Address
from kernel.model.events import Remote
from kernel.model.sending import Sending
from services.delivery.adapters.preparing import Preparer
from services.delivery.adapters.smtp import SmtpCourier
from services.delivery.core.exchangers import NO_DNS
from services.delivery.fellows import Fellows
from services.delivery.settings import Settings
from services.delivery.shaping import Manners, Shaping
from services.delivery.ways import open_ways
from tests.support.certificates import Authority
from tests.support.fakes import RecordingBus, make_platform
from tests.support.mail import make_leg
from tests.support.remote import remote
from tests.support.signed import SignedZone, validating

DEADLINE = 60
OFFERS_TLS, PLAIN = "250-there.test\r\n250 STARTTLS", "250-there.test\r\n250 PIPELINING"
WRONG = "0a" * 32


def zone(port, digest):
    return f"@ 60 IN MX 10 mx\nmx 60 IN A 127.0.0.1\n_{port}._tcp.mx 60 IN TLSA 3 0 1 {digest}\n"


@pytest.fixture
async def world(tmp_path):
    """Domains that share a server: of its certificate each says something else."""
    leaf = Authority().issue(tmp_path, "nobody.test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "fullchain.pem", tmp_path / "privkey.pem")
    right = hashlib.sha256(leaf).hexdigest()
    said = [OFFERS_TLS, PLAIN, OFFERS_TLS, *[OFFERS_TLS, PLAIN] * 2]  # the second hangs up
    async with remote(tls=tls, ehlo=said) as there:
        zones = {
            "right.test": SignedZone(zone(there.port, right)),
            "wrong.test": SignedZone(zone(there.port, WRONG)),
            "forged.test": SignedZone(zone(there.port, WRONG), forged=((WRONG, right),)),
            "plain.test": SignedZone(zone(there.port, WRONG), signed=False),
            "none.test": SignedZone("@ 60 IN MX 10 mx\nmx 60 IN A 127.0.0.1\n"),
        }
        with validating(zones) as resolver:
            yield SimpleNamespace(there=there, resolver=resolver)


async def test_mail_goes_where_signed_dns_says_to_whom_it_announces(world):
    platform = make_platform(clock=system_clock)
    settings = Settings(name_servers=world.resolver, dnssec=True, remote_port=world.there.port)
    orders = SimpleNamespace(now=Sending())
    outcomes = {}
    async with asyncio.timeout(DEADLINE), open_ways(platform, settings, orders) as ways:
        shaping = Shaping(Manners(), Fellows(RecordingBus()), system_clock)
        preparer = Preparer(platform, Sending)
        courier = SmtpCourier(ways.directions, ways.dialler, preparer, shaping)
        for name in ("right", "wrong", "forged", "plain", "none"):
            bob = Address("bob", f"{name}.test")
            carried = await courier.carry(make_leg(bob, hop=Remote(bob.domain)))
            outcomes[name] = carried.replies[bob], carried.host and carried.host.secured
        courier.close()

    assert outcomes["right"][1] == "TLSv1.3, verified by DANE"
    reply, host = outcomes["wrong"]
    assert str(reply) == "451 4.7.5 mx.wrong.test does not prove who it is, as DANE demands"
    assert host is None
    assert outcomes["forged"] == (NO_DNS, None)
    assert outcomes["plain"][1] == "TLSv1.3, unverified"
    assert outcomes["none"][1] == "TLSv1.3, unverified"
    assert [reply.code for reply, _ in outcomes.values()] == [250, 451, 451, 250, 250]
