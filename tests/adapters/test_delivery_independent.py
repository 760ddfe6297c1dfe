"""The whole service against a server that is not ours: aiosmtpd."""

import asyncio
import contextlib
from email import message_from_bytes

import pytest
from aiosmtpd.smtp import SMTP
from flufl.bounce import scan_message

from kernel.model.address import Address
from kernel.model.envelope import Body, Envelope, Recipient
from kernel.model.events import Local, MailAccepted, MailDeferred, MailRouted, MailTraced, Stage
from services.delivery.main import STOPPED, serve
from services.delivery.settings import Settings
from tests.support.certificates import self_signed
from tests.support.fakes import make_platform
from tests.support.mail import ANN, BOB, CAT, MESSAGE, NOON, make_leg
from tests.support.sending import sending_office


class Inbox:
    """Takes everything but what is for cat."""

    def __init__(self):
        self.received = []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address.startswith("cat@"):
            return "550 5.1.1 No such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.received.append((envelope, session.ssl is not None))
        return "250 2.0.0 OK"


@contextlib.asynccontextmanager
async def delivery_to(**options):
    """Yield (the service's handlers, what it publishes, the independent server's inbox)."""
    async with sending_office() as office:
        platform = make_platform(settings={"auth_url": office.url})
        async with _delivery(platform, **options) as inbox:
            yield platform.bus.handlers, platform.bus.published, inbox


@contextlib.asynccontextmanager
async def _delivery(platform, **options):
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(inbox, hostname="there.test", loop=loop, **options), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    settings = Settings(routes={"*": f"127.0.0.1:{port}"})
    serving = asyncio.create_task(serve(platform, settings))
    try:
        async with asyncio.timeout(10):
            while len(platform.bus.handlers) < 2:  # noqa: ASYNC110 - a deadline stands around it
                await asyncio.sleep(0.01)
            yield inbox
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        server.close()
        assert platform.health.troubles() == {"delivery": STOPPED}


async def test_a_message_passes_byte_for_byte_and_the_refused_comes_back():
    async with delivery_to() as (handlers, published, inbox):
        await handlers[MailRouted, "remote"](make_leg(BOB, CAT))

    ((envelope, _),) = inbox.received
    assert envelope.original_content == MESSAGE
    assert envelope.mail_from == "ann@ours.test"
    assert envelope.rcpt_tos == ["bob@elsewhere.test"]
    report, traced = published
    assert isinstance(report, MailAccepted)
    assert scan_message(message_from_bytes(report.envelope.content)) == {str(CAT).encode()}
    assert isinstance(traced, MailTraced)
    assert [trace.stage for trace in traced.traces] == [Stage.RELAYED, Stage.FAILED]


async def test_tls_is_used(tmp_path):
    async with delivery_to(tls_context=self_signed(tmp_path)) as (handlers, _, inbox):
        await handlers[MailRouted, "remote"](make_leg(BOB))

    assert [secret for _, secret in inbox.received] == [True]


async def test_international_mail_passes():
    name = Address.parse("größe@elsewhere.test")
    content = "Subject: Grüße\r\n\r\nÄ\r\n".encode()
    envelope = Envelope(
        "m", name, (Recipient(name),), content, NOON, body=Body.EIGHT_BIT, smtputf8=True
    )
    async with delivery_to(enable_SMTPUTF8=True) as (handlers, _, inbox):
        await handlers[MailRouted, "remote"](MailRouted(envelope, make_leg(BOB).hop))

    ((received, _),) = inbox.received
    assert received.smtp_utf8
    assert received.rcpt_tos == ["größe@elsewhere.test"]
    assert received.original_content == content


@pytest.mark.parametrize("lane", ["local", "remote"])
async def test_each_lane_has_its_consumer(lane):
    async with delivery_to() as (handlers, published, inbox):
        assert {lane for _, lane in handlers} == {"local", "remote"}
        leg = make_leg(ANN, hop=Local()) if lane == "local" else make_leg(BOB)
        await handlers[MailRouted, lane](leg)

    assert isinstance(published[0], MailTraced | MailDeferred)
    assert len(inbox.received) == (lane == "remote")
