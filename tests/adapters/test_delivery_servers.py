"""Delivery against the mail servers of others: what they keep is what was sent."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from kernel.model.address import Address
from kernel.model.envelope import Blob, Body
from kernel.model.events import MailDeferred, MailRouted, MailTraced, Remote, Stage
from kernel.model.sending import Route, Sending, Target
from services.delivery.main import serve
from services.delivery.settings import Settings
from tests.support.fakes import make_platform
from tests.support.mail import make_leg
from tests.support.sending import sending_office
from tests.support.servers import LOGIN, PASSWORD, SERVERS, SMART_HOSTS

# A goodbye under TLS may still be on its way when the test and its loop have ended.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

DEADLINE = 30
BOB, MEMBERS, NOBODY = (Address(name, "remote.test") for name in ("bob", "members", "nobody"))
HEAD = b"From: ann@ours.test\r\nTo: bob@remote.test\r\nSubject: %s\r\n"
HEAD += b"Date: Mon, 05 Jan 2026 12:00:00 +0000\r\nMessage-ID: <%s@ours.test>\r\n\r\n"


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    with SERVERS[request.param]() as running:
        yield running


@pytest.fixture(scope="module", params=SMART_HOSTS)
def smart_host(request):
    with SMART_HOSTS[request.param]() as running:
        yield running


@contextlib.asynccontextmanager
async def delivery_to(server, **ways):
    """Yield a function that carries a leg, and tells what was published of it."""
    route = Route("*", (Target("127.0.0.1", server.port),), **ways)
    async with sending_office(Sending((route,))) as office:
        platform = make_platform(settings={"auth_url": office.url})
        serving = asyncio.create_task(serve(platform, Settings()))
        bus = platform.bus

        async def carry(leg):
            before = len(bus.published)
            await bus.handlers[MailRouted, "remote"](leg)
            return bus.published[before:]

        carry.blobs = platform.blobs.blobs
        try:
            async with asyncio.timeout(DEADLINE):
                while (MailRouted, "remote") not in bus.handlers:  # noqa: ASYNC110 - a deadline
                    await asyncio.sleep(0.01)
                yield carry
        finally:
            serving.cancel()
            await asyncio.wait([serving])


def mail(subject, body, *recipients, attempt=1):
    """Return a leg whose message the inbox can be asked for by its subject."""
    content = HEAD % (subject, subject) + body
    leg = make_leg(*(recipients or (BOB,)), hop=Remote("remote.test"), content=content)
    envelope = replace(leg.envelope, id=f"01kdq5h4g0{subject.decode():0<16}")
    return replace(leg, envelope=envelope, attempt=attempt)


def stages(events):
    (traced,) = (event for event in events if isinstance(event, MailTraced))
    return {trace.recipient: trace.stage for trace in traced.traces}


async def kept(server, subject, count=1):
    """Wait for the messages of that subject; return their bodies, line ends made CRLF."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = [m.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for m in server.inbox()]
            found = [m for m in found if b"Subject: " + subject + b"\r\n" in m]
            if len(found) >= count:
                return [m.partition(b"\r\n\r\n")[2] for m in found]
            await asyncio.sleep(0.05)


async def test_a_message_is_kept_as_it_was_sent(server):
    body = b"hi\r\n.\r\n..\r\n.hidden\r\n" + b"x" * 990 + b"\r\n\r\nthe end\r\n"

    async with delivery_to(server) as carry:
        events = await carry(mail(b"dots", body))

    assert stages(events) == {BOB: Stage.RELAYED}
    assert await kept(server, b"dots") == [body]


async def test_eight_bits_stay_eight_bits(server):
    body = "Grüße, 你好\r\n".encode()
    leg = mail(b"eight", body)
    leg = replace(leg, envelope=replace(leg.envelope, body=Body.EIGHT_BIT))

    async with delivery_to(server) as carry:
        assert stages(await carry(leg)) == {BOB: Stage.RELAYED}

    assert await kept(server, b"eight") == [body]


async def test_a_message_without_a_last_line_end_gets_one(server):
    async with delivery_to(server) as carry:
        assert stages(await carry(mail(b"endless", b"no end"))) == {BOB: Stage.RELAYED}

    (body,) = await kept(server, b"endless")
    assert body.rstrip(b"\r\n") == b"no end"


async def test_one_unknown_recipient_keeps_nobody_else_from_the_mail(server):
    async with delivery_to(server) as carry:
        events = await carry(mail(b"two", b"hi\r\n", BOB, NOBODY))

    assert stages(events) == {BOB: Stage.RELAYED, NOBODY: Stage.FAILED}
    assert await kept(server, b"two") == [b"hi\r\n"]


async def test_a_mail_for_nobody_but_unknown_recipients_fails(server):
    async with delivery_to(server) as carry:
        events = await carry(mail(b"none", b"hi\r\n", NOBODY))
        again = await carry(mail(b"after", b"hi\r\n", BOB))

    assert stages(events) == {NOBODY: Stage.FAILED}
    assert stages(again) == {BOB: Stage.RELAYED}


async def test_many_mails_one_after_the_other(server):
    async with delivery_to(server) as carry:
        for number in range(8):
            events = await carry(mail(b"serial", b"hi\r\n", attempt=number + 1))
            assert stages(events) == {BOB: Stage.RELAYED}

    assert await kept(server, b"serial", 8) == [b"hi\r\n"] * 8


async def test_a_large_message_comes_whole_from_the_blob_store(server):
    line = b".%060d\r\n"
    body = b"".join(line % number for number in range(30_000))
    leg = mail(b"large", body)
    content = leg.envelope.content
    blob = Blob(leg.envelope.id, len(content))
    leg = replace(leg, envelope=replace(leg.envelope, content=blob))

    async with delivery_to(server) as carry:
        carry.blobs[blob.id] = content
        assert stages(await carry(leg)) == {BOB: Stage.RELAYED}

    assert await kept(server, b"large") == [body]


async def test_a_report_goes_out_with_the_null_reverse_path(server):
    leg = mail(b"null", b"hi\r\n")
    leg = replace(leg, envelope=replace(leg.envelope, sender=None))

    async with delivery_to(server) as carry:
        assert stages(await carry(leg)) == {BOB: Stage.RELAYED}

    await kept(server, b"null")


async def test_a_smart_host_takes_from_us_what_it_takes_from_users_alone(smart_host):
    async with delivery_to(smart_host) as carry:
        assert stages(await carry(mail(b"stranger", b"hi\r\n", MEMBERS))) == {MEMBERS: Stage.FAILED}
    async with delivery_to(smart_host, login=LOGIN, password=PASSWORD) as carry:
        assert stages(await carry(mail(b"login", b"hi\r\n", MEMBERS))) == {MEMBERS: Stage.RELAYED}

    assert await kept(smart_host, b"login") == [b"hi\r\n"]


async def test_a_wrong_password_makes_the_mail_wait(smart_host):
    async with delivery_to(smart_host, login=LOGIN, password="wrong") as carry:
        events = await carry(mail(b"wrong", b"hi\r\n"))

    assert stages(events) == {BOB: Stage.DEFERRED}
    assert any(isinstance(event, MailDeferred) for event in events)
