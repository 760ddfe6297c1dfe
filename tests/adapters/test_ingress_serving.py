"""Ingress over real sockets: its clients, its peers' troubles, its end."""

import asyncio
import smtplib
import ssl
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from kernel.blobs.port import BlobsUnavailableError
from kernel.bus.port import BusUnavailableError
from kernel.model.envelope import Blob
from services.ingress.main import serve
from services.ingress.settings import Settings
from tests.dialogs.house import Client, open_house, soon
from tests.support.fakes import DictBlobs, RecordingBus, make_platform
from tests.support.ports import free_port

MESSAGE = b"From: ann@ours.test\r\nSubject: hi\r\n\r\nhello\r\n"
BIG = b"Subject: big\r\n\r\n" + (b"x" * 70 + b"\r\n") * 20_000
ENVELOPE = b"MAIL FROM:<bob@elsewhere.test>\r\nRCPT TO:<ann@ours.test>\r\n"
TO_DATA = b"EHLO client.example\r\n" + ENVELOPE + b"DATA\r\n"
CODES_TO_DATA = ["220", "250", "250", "250", "354"]


class SlowBus(RecordingBus):
    """Publishes when it is told to."""

    def __init__(self):
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def publish(self, *events):
        self.asked.set()
        await self.go.wait()
        await super().publish(*events)


class SilentBus(RecordingBus):
    """Confirms nothing, and knows of no trouble."""

    async def publish(self, *events):
        raise BusUnavailableError("no answer in time")


class SlowBlobs(DictBlobs):
    """Takes the first chunk, and the rest when it is told to."""

    def __init__(self):
        super().__init__()
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.failed = asyncio.Event()

    async def put(self, name, chunks):
        async def slowly():
            async for chunk in chunks:
                yield chunk
                self.started.set()
                await self.go.wait()

        try:
            return await super().put(name, slowly())
        except Exception:
            self.failed.set()
            raise


class FullBlobs(DictBlobs):
    async def put(self, name, chunks):
        await anext(chunks)
        raise BlobsUnavailableError("the disk is full")


@pytest.fixture
async def house(tmp_path):
    async with open_house(tmp_path) as house:
        yield house


def send(address, *, login=None, starttls=False, implicit=False, message=MESSAGE):
    context = ssl._create_unverified_context()
    options = {"context": context} if implicit else {}
    kind = smtplib.SMTP_SSL if implicit else smtplib.SMTP
    with kind(*address, timeout=10, local_hostname="client.example", **options) as client:
        if starttls:
            client.starttls(context=context)
        if login:
            client.login(*login)
        return client.sendmail("ann@ours.test", ["ann@ours.test", "bob@elsewhere.test"], message)


async def test_mail_from_the_world_reaches_ours_alone(house):
    refused = await asyncio.to_thread(send, house.address())

    assert refused == {"bob@elsewhere.test": (550, b"5.7.1 Relaying denied")}
    [accepted] = house.accepted
    assert accepted.envelope.content.endswith(b"\r\n" + MESSAGE)
    assert accepted.envelope.submitter == ""


async def test_a_mail_becomes_ours_by_one_event_that_says_who_was_let_in_and_why(house):
    await asyncio.to_thread(send, house.address())

    [accepted] = house.platform.bus.published
    assert [str(r.address) for r in accepted.envelope.recipients] == ["ann@ours.test"]
    assert accepted.origin == "mx 127.0.0.1"
    assert accepted.rules == ("local",)


@pytest.mark.parametrize(
    ("listener", "how"),
    [("submission", {"starttls": True}), ("submissions", {"implicit": True})],
)
async def test_a_user_relays_under_tls(house, listener, how):
    refused = await asyncio.to_thread(send, house.address(listener), login=("Ann", "secret"), **how)

    assert refused == {}
    [accepted] = house.accepted
    assert accepted.envelope.submitter == "ann"
    assert b"with ESMTPSA (TLSv1.3 " in accepted.envelope.content
    assert b"\r\nMessage-ID: <" in accepted.envelope.content
    [question] = house.auth.logins
    assert (question.service, question.listener, question.tls) == ("smtp", listener, True)


async def test_a_wrong_password_is_refused(house):
    with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
        await asyncio.to_thread(
            send, house.address("submissions"), login=("ann", "wrong"), implicit=True
        )

    assert refusal.value.smtp_code == 535


async def test_a_big_mail_goes_to_the_blob_store(house):
    await asyncio.to_thread(
        send, house.address("submissions"), login=("ann", "secret"), implicit=True, message=BIG
    )

    [accepted] = house.accepted
    blob = accepted.envelope.content
    assert blob == Blob(accepted.id, len(house.platform.blobs.blobs[accepted.id]))
    assert house.platform.blobs.blobs[accepted.id].endswith(b"\r\n" + BIG)


async def test_mail_and_refusals_are_in_the_mail_log(house):
    with capture_logs() as logs:
        await asyncio.to_thread(send, house.address())

    [refused, accepted] = [line for line in logs if "mail" in line]
    assert refused["event"] == "refused"
    assert refused["recipient"] == "bob@elsewhere.test"
    assert refused["rule"] == "relay-denied"
    assert accepted["event"] == "accepted"
    assert accepted["mail"] == refused["mail"] == house.accepted[0].id


async def test_many_recipients_in_one_breath_cost_one_question(house):
    client = await house.connect()
    client.send(
        b"EHLO x\r\nMAIL FROM:<>\r\n"
        + b"".join(b"RCPT TO:<%d@ours.test>\r\n" % n for n in range(5))
    )

    assert await client.replies(8) == ["220"] + ["250"] * 7
    assert [len(batch) for batch in house.auth.batches] == [5]


async def test_before_auth_has_ever_answered_nobody_comes_in(tmp_path):
    async with open_house(tmp_path, auth_away=True, wait=False) as house:
        client = await house.connect()
        assert await client.reply() == "421 4.3.2 Not accepting mail yet, try again later"
        assert await client.reply() == ""
        house.auth.away = False
        async with asyncio.timeout(10):
            await house.ingress.policies.all_known()
        client = await house.connect()
        assert (await client.reply())[:3] == "220"


async def test_while_auth_is_away_clients_are_asked_to_wait(house):
    house.auth.away = True
    client = await house.connect()
    client.send(b"EHLO x\r\n" + ENVELOPE)

    assert await client.replies(3) == ["220", "250", "250"]
    assert await client.reply() == "451 4.3.0 Try again later"

    house.auth.away = False
    assert await client.ask("RCPT TO:<ann@ours.test>") == "250 2.1.5 Recipient OK"


async def test_while_auth_is_away_logins_are_neither_granted_nor_refused(house):
    house.auth.away = True
    with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
        await asyncio.to_thread(
            send, house.address("submissions"), login=("ann", "secret"), implicit=True
        )

    assert refusal.value.smtp_code == 454


async def test_changed_settings_of_a_listener_count_at_once(house):
    await house.change("mx", max_message_size=12_345)

    client = await house.connect()
    await client.reply()
    assert "250-SIZE 12345" in await client.ask("EHLO x")


async def test_a_bus_in_trouble_is_told_before_the_data(house):
    client = await house.connect()
    await client.reply()
    await client.ask("EHLO x")
    house.platform.bus.failure = BusUnavailableError("no broker")
    assert (await client.ask("MAIL FROM:<>"))[:9] == "451 4.3.2"

    house.platform.bus.failure = None
    assert (await client.ask("MAIL FROM:<>"))[:9] == "250 2.1.0"


async def test_a_bus_in_trouble_is_told_at_the_door_in_general_words(house):
    house.platform.bus.failure = BusUnavailableError("no broker at 192.0.2.7")
    client = await house.connect()
    assert await client.reply() == "421 4.3.2 Cannot take mail right now, try again later"
    assert await client.reply() == ""

    house.platform.bus.failure = None
    client = await house.connect()
    assert (await client.reply())[:4] == "220 "


async def test_under_tls_from_the_start_that_is_told_under_tls(house):
    house.platform.bus.failure = BusUnavailableError("no broker")

    with pytest.raises(smtplib.SMTPConnectError) as refusal:
        await asyncio.to_thread(
            smtplib.SMTP_SSL,
            *house.address("submissions"),
            context=ssl._create_unverified_context(),
        )
    assert refusal.value.smtp_code == 421


async def test_mails_that_cannot_be_published_keep_further_ones_from_being_sent(tmp_path):
    async with open_house(tmp_path, platform={"bus": SilentBus()}) as house:
        client = await house.connect()
        await client.reply()
        await client.ask("EHLO x")
        for _ in range(3):
            client.send(ENVELOPE + b"DATA\r\n")
            assert await client.replies(3) == ["250", "250", "354"]
            assert (await client.ask("hi\r\n."))[:3] == "451"

        assert (await client.ask("MAIL FROM:<>"))[:9] == "451 4.3.2"
        late = await house.connect()
        assert (await late.reply())[:9] == "421 4.3.2"


async def test_a_publish_that_fails_is_no_promise(house):
    client = await house.connect()
    client.send(TO_DATA)
    assert await client.replies(5) == CODES_TO_DATA
    house.platform.bus.failure = BusUnavailableError("no confirm")

    assert await client.ask("hi\r\n.") == "451 4.3.0 Try again later"
    assert house.accepted == []


async def test_our_own_fault_is_temporary(house):
    client = await house.connect()
    client.send(TO_DATA)
    await client.replies(5)
    house.platform.bus.failure = RuntimeError("a bug")

    with capture_logs() as logs:
        assert await client.ask("hi\r\n.") == "451 4.3.0 Try again later"

    assert [line["event"] for line in logs] == ["keeping a message failed"]
    house.platform.bus.failure = None
    assert await client.ask("NOOP") == "250 2.0.0 OK"


async def test_who_leaves_during_the_publish_has_sent_the_mail_all_the_same(tmp_path):
    bus = SlowBus()
    async with open_house(tmp_path, platform={"bus": bus}) as house:
        client = await house.connect()
        client.send(TO_DATA + b"hi\r\n.\r\n")
        async with asyncio.timeout(10):
            await bus.asked.wait()
        client.writer.transport.abort()
        bus.go.set()

        await soon(lambda: house.accepted)


async def test_who_says_all_and_shuts_up_gets_the_answer(tmp_path):
    bus = SlowBus()
    async with open_house(tmp_path, platform={"bus": bus}) as house:
        client = await house.connect()
        client.send(TO_DATA + b"hi\r\n.\r\n")
        client.writer.write_eof()
        async with asyncio.timeout(10):
            await bus.asked.wait()
        bus.go.set()

        assert await client.replies(6) == [*CODES_TO_DATA, "250"]
        assert await client.reply() == ""


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path):
    blobs = SlowBlobs()
    blobs.go.set()
    async with open_house(tmp_path, platform={"blobs": blobs}) as house:
        client = await house.connect()
        client.send(TO_DATA + BIG)
        async with asyncio.timeout(10):
            await blobs.started.wait()
            client.writer.transport.abort()
            await blobs.failed.wait()

        assert blobs.blobs == {}
        assert house.accepted == []


async def test_a_big_mail_that_turns_bad_leaves_nothing(house):
    client = await house.connect()
    client.send(TO_DATA + BIG + b"bare\nline\r\n.\r\n")

    assert await client.replies(6) == [*CODES_TO_DATA, "554"]
    assert house.platform.blobs.blobs == {}


async def test_a_refused_message_is_in_the_mail_log(house):
    client = await house.connect()
    with capture_logs() as logs:
        client.send(TO_DATA + b"bare\nline\r\n.\r\n")
        assert await client.replies(6) == [*CODES_TO_DATA, "554"]

    [line] = logs
    assert line["event"] == "rejected"
    assert line["reply"].startswith("554 5.6.0")


async def test_who_is_in_the_middle_of_a_handshake_does_not_hold_up_the_end(tmp_path):
    async with open_house(tmp_path) as house:
        client = await house.connect()
        await client.reply()
        await client.ask("STARTTLS")
        started = asyncio.get_running_loop().time()

    assert asyncio.get_running_loop().time() - started < 1.5


async def test_a_full_store_is_temporary_and_the_session_goes_on(tmp_path):
    async with open_house(tmp_path, platform={"blobs": FullBlobs()}) as house:
        client = await house.connect()
        client.send(TO_DATA + BIG + b".\r\nNOOP\r\n")

        assert await client.replies(7) == [*CODES_TO_DATA, "451", "250"]


async def test_a_slow_store_holds_the_client_up(tmp_path):
    blobs = SlowBlobs()
    async with open_house(tmp_path, platform={"blobs": blobs}) as house:
        await house.change("mx", max_message_size=10**9)
        client = await house.connect()
        client.send(TO_DATA)
        assert await client.replies(5) == CODES_TO_DATA
        client.send(BIG * 40)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.writer.drain()
        blobs.go.set()

        assert (await client.ask("."))[:3] == "250"
        [accepted] = house.accepted
        assert blobs.blobs[accepted.id].endswith(BIG * 40)


async def test_who_does_not_read_is_not_read(house):
    client = await house.connect()
    client.writer.transport.set_write_buffer_limits(high=1)
    client.reader._transport.pause_reading()
    client.send(b"HELP\r\n" * 5_000_000)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await client.writer.drain()
    client.writer.transport.abort()


async def test_who_is_silent_is_hung_up_on(tmp_path):
    async with open_house(tmp_path, idle_timeout=0.2) as house:
        client = await house.connect()
        await client.reply()

        assert await client.reply() == "421 4.4.2 Timed out waiting for you"
        assert await client.reply() == ""


async def test_who_sends_data_slowly_is_not_silent(tmp_path):
    async with open_house(tmp_path, idle_timeout=0.4) as house:
        client = await house.connect()
        client.send(TO_DATA)
        await client.replies(5)
        for _ in range(10):
            client.send(b"slow\r\n")
            await asyncio.sleep(0.1)

        assert (await client.ask("."))[:3] == "250"


async def test_at_the_end_whoever_is_idle_is_asked_to_go(tmp_path):
    async with open_house(tmp_path) as house:
        idle = Client(*await asyncio.open_connection(*house.address()))
        await idle.reply()
        address = house.address()

    assert await idle.reply() == "421 4.3.2 Shutting down, try again later"
    assert await idle.reply() == ""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    await idle.close()


async def test_at_the_end_a_message_on_its_way_is_waited_for(tmp_path):
    opened = open_house(tmp_path)
    house = await opened.__aenter__()
    client = Client(*await asyncio.open_connection(*house.address()))
    client.send(TO_DATA + b"Subject: x\r\n")
    await client.replies(5)

    closing = asyncio.create_task(opened.__aexit__(None, None, None))
    await soon(lambda: house.ingress.crowd.is_leaving)
    client.send(b"\r\nhi\r\n.\r\n")

    assert await client.replies(2) == ["250", "421"]
    await closing
    assert len(house.accepted) == 1
    await client.close()


async def test_a_failed_handshake_ends_the_connection(house):
    client = await house.connect()
    await client.reply()
    assert (await client.ask("STARTTLS"))[:3] == "220"
    client.send(b"this is no TLS\r\n")

    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            await client.reader.read()
    assert not house.ingress.crowd.size
    await client.close()


async def test_serve_is_ready_once_auth_has_spoken(tmp_path):
    async with open_house(tmp_path) as house:
        platform = make_platform(settings={"auth_url": house.auth.url, "grace": 1.0})
        settings = Settings(
            listen_mx="127.0.0.1:0",
            listen_submission="",
            listen_submissions="",
            tls_folder=tmp_path,
        )
        platform.health.expect("ingress")
        serving = asyncio.create_task(serve(platform, settings))

        await soon(lambda: not platform.health.troubles())

        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


async def test_several_processes_can_share_a_port(tmp_path):
    shared = {"listen_mx": f"127.0.0.1:{free_port()}", "reuse_port": True}
    async with open_house(tmp_path, **shared) as one, open_house(tmp_path, **shared) as other:
        assert one.address() == other.address()


async def test_auth_hears_who_comes_by_way_of_a_balancer(tmp_path):
    """Else the balancer would be who relays, for everybody who comes that way."""
    async with open_house(tmp_path, balancers=("127.0.0.1",)) as house:
        client = await house.connect()
        client.send(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n" + TO_DATA)
        assert await client.replies(5) == CODES_TO_DATA

    assert house.auth.batches[0][0].client == "203.0.113.9"


async def test_auth_hears_for_whom_a_trusted_front_speaks(tmp_path):
    async with open_house(tmp_path, xclient=("127.0.0.1",)) as house:
        client = await house.connect()
        client.send(b"EHLO front.example\r\nXCLIENT ADDR=203.0.113.9\r\n" + TO_DATA)
        assert await client.replies(7) == ["220", "250", "220", *CODES_TO_DATA[1:]]
        with capture_logs() as logs:
            client.send(b"bare\nline\r\n.\r\n")
            assert (await client.reply())[:3] == "554"

    assert house.auth.batches[0][0].client == "203.0.113.9"
    assert "203.0.113.9" in str(logs)


async def test_the_submissions_port_takes_the_header_before_tls(tmp_path):
    async with open_house(tmp_path, balancers=("127.0.0.1",)) as house:
        client = await house.connect("submissions")
        client.send(b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 465\r\n")
        await client.start_tls()
        assert await client.replies(1) == ["220"]
        client.send(b"EHLO client.example\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\n")
        assert await client.replies(2) == ["250", "235"]

    assert house.auth.logins[0].client == "2001:db8::9"
