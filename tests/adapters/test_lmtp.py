"""Mailboxes that Dovecot keeps: what we put in by LMTP is what its users collect."""

import asyncio
import contextlib
import poplib

import pytest

from kernel.mailboxes import lmtp
from kernel.mailboxes.port import MailboxRefusedError, MailboxUnavailableError
from kernel.model.address import Address
from kernel.model.events import Local
from kernel.platform import open_mailboxes
from kernel.settings import PlatformSettings
from services.delivery.adapters.mailbox import UNAVAILABLE, MailboxCourier
from tests.support import dovecot
from tests.support.fakes import DictBlobs
from tests.support.mail import ANN, BOB, MESSAGE, make_leg

DEADLINE = 10
NOBODY = Address("nobody", "ours.test")


@pytest.fixture(scope="module")
def keeper():
    with dovecot.running(str(ANN)) as running:
        yield running


def mailboxes_at(where):
    return lmtp.open_mailboxes(f"lmtp://{where}", "mx.ours.test")


def collected(keeper, mailbox=ANN):
    """Return what its owner finds in a mailbox, and empty it."""
    session = poplib.POP3("127.0.0.1", keeper.pop3, timeout=DEADLINE)
    session.user(str(mailbox))
    session.pass_("secret")
    count = len(session.list()[1])
    found = [b"\r\n".join([*session.retr(n)[1], b""]) for n in range(1, count + 1)]
    for n in range(1, count + 1):
        session.dele(n)
    session.quit()
    return found


async def chunks(*parts):
    for part in parts:
        yield part


@pytest.mark.parametrize("way", ["port", "socket"])
async def test_a_message_arrives_octet_for_octet_under_the_trace_of_who_keeps_it(keeper, way):
    mailboxes = mailboxes_at({"port": f"127.0.0.1:{keeper.lmtp}", "socket": keeper.socket}[way])
    content = MESSAGE + b".\r\n..\r\n.hidden\r\nthe end\r\n"

    assert await mailboxes.deliver(ANN, "key", chunks(content[:-20], content[-20:]), sender=BOB)

    (found,) = await asyncio.to_thread(collected, keeper)
    assert found.endswith(content)
    trace = found.removesuffix(content)
    assert trace.startswith(b"Return-Path: <bob@elsewhere.test>\r\nDelivered-To: ann@ours.test\r\n")
    assert b"LHLO" not in trace
    assert b"with LMTP" in trace


async def test_dots_at_the_edges_of_chunks_stay_single(keeper):
    mailboxes = mailboxes_at(f"127.0.0.1:{keeper.lmtp}")
    parts = [bytes([octet]) for octet in b"A: b\r\n\r\n.\r\n..\r\n.x\r\n"]

    await mailboxes.deliver(ANN, "key", chunks(*parts))

    (found,) = await asyncio.to_thread(collected, keeper)
    assert found.endswith(b"".join(parts))
    assert found.startswith(b"Return-Path: <>")


async def test_whom_dovecot_does_not_know_is_refused_for_good(keeper):
    mailboxes = mailboxes_at(f"127.0.0.1:{keeper.lmtp}")

    with pytest.raises(MailboxRefusedError) as refusal:
        await mailboxes.deliver(NOBODY, "key", chunks(MESSAGE))

    assert (refusal.value.reply.code, refusal.value.reply.status) == (550, "5.1.1")


async def test_a_leg_ends_for_each_recipient_as_dovecot_says(keeper):
    courier = MailboxCourier(mailboxes_at(f"127.0.0.1:{keeper.lmtp}"), DictBlobs())

    carried = await courier.carry(make_leg(ANN, NOBODY, hop=Local()))

    assert carried.replies[ANN].is_positive
    assert carried.replies[NOBODY].code == 550
    (found,) = await asyncio.to_thread(collected, keeper)
    assert found.count(b"Return-Path:") == found.count(b"Delivered-To:") == 1


@contextlib.asynccontextmanager
async def keeper_that(*answers):
    """Yield the port of a server that says these, one for each line it hears, then hangs up."""

    async def talk(reader, writer):
        with contextlib.closing(writer), contextlib.suppress(OSError):
            for answer in answers:
                writer.write(answer)
                await writer.drain()
                await reader.readline()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, asyncio.timeout(DEADLINE):
        yield server.sockets[0].getsockname()[1]


GREETED = (b"220 hello\r\n", b"250-there\r\n250 PIPELINING\r\n")


@pytest.mark.parametrize(
    "answers",
    [
        (),
        (b"421 4.3.2 not now\r\n",),
        (b"what\r\n",),
        (*GREETED, b"250 ok\r\n", b"451 4.2.0 busy\r\n"),
        (*GREETED, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"),
        (b"220-hello\r\n" * 500,),
        (b"2" * 100_000,),
    ],
    ids=["hangs up", "closed", "no LMTP", "busy", "lost at the end", "endless", "long"],
)
async def test_whatever_else_happens_the_mail_waits(answers):
    async with keeper_that(*answers) as port:
        courier = MailboxCourier(mailboxes_at(f"127.0.0.1:{port}"), DictBlobs())

        carried = await courier.carry(make_leg(ANN, hop=Local()))

    assert carried.replies == {ANN: UNAVAILABLE}


async def test_a_keeper_that_is_away_makes_mail_wait(own_port):
    with pytest.raises(MailboxUnavailableError):
        await mailboxes_at(f"127.0.0.1:{own_port}").deliver(ANN, "key", chunks(MESSAGE))


async def test_a_silent_keeper_is_given_up(monkeypatch):
    monkeypatch.setattr(lmtp, "PATIENCE", 0.1)
    async with keeper_that(b"") as port:
        with pytest.raises(MailboxUnavailableError):
            await mailboxes_at(f"127.0.0.1:{port}").deliver(ANN, "key", chunks(MESSAGE))


async def test_what_lies_there_is_not_ours_to_hand_out():
    mailboxes = mailboxes_at("127.0.0.1:24")

    with pytest.raises(MailboxUnavailableError, match="collected from the server"):
        await mailboxes.messages(ANN)
    with pytest.raises(MailboxUnavailableError):
        async with mailboxes.claim(ANN):
            pass
    with pytest.raises(MailboxUnavailableError):
        await mailboxes.delete(ANN, ["key"])
    with pytest.raises(MailboxUnavailableError):
        mailboxes.read(ANN, "key")


@pytest.mark.parametrize("url", ["lmtp://", "lmtp:///", "lmtp:"])
def test_a_url_without_a_server_is_refused(url):
    with pytest.raises(ValueError, match="names no server"):
        open_mailboxes(PlatformSettings(mailboxes_url=url, service_token="t"))


def test_the_url_of_the_mailboxes_picks_the_adapter():
    settings = PlatformSettings(mailboxes_url="lmtp://dovecot:2424", service_token="t")

    assert isinstance(open_mailboxes(settings), lmtp.LmtpMailboxes)
