"""The courier against a scripted remote: whatever it does, every recipient has an answer."""

import asyncio
import contextlib
import ssl
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from kernel.blobs.port import BlobMissingError
from kernel.clock import system_clock
from kernel.model.envelope import Blob
from kernel.model.reply import Reply
from kernel.model.sending import Route, Sending, TlsPolicy
from services.delivery import metrics
from services.delivery.adapters import dialling
from services.delivery.adapters.connection import TIMED_OUT
from services.delivery.adapters.dialling import (
    CANNOT_CONNECT,
    Dialler,
    Dialling,
)
from services.delivery.adapters.preparing import Preparer
from services.delivery.adapters.smtp import SmtpCourier
from services.delivery.core.mailing import NEEDS_8BITMIME, NEEDS_REQUIRETLS
from services.delivery.core.routes import Host
from services.delivery.core.settle import NO_ANSWER
from services.delivery.core.smtp_client import NOT_SMTP, Phase
from services.delivery.fellows import Fellows
from services.delivery.ports import Later, Site
from services.delivery.shaping import Manners, Shaping
from tests.support.certificates import Authority, self_signed
from tests.support.fakes import DictBlobs, RecordingBus, make_platform
from tests.support.mail import ANN, BOB, CAT, MESSAGE, make_leg
from tests.support.remote import HANG_UP, SILENCE, Last, remote

DEADLINE = 10
LOCK_STEP = "250-there.test\r\n250 8BITMIME"
SEVEN_BIT = "250-there.test\r\n250 PIPELINING"
WITH_TLS = "250-there.test\r\n250-PIPELINING\r\n250 STARTTLS"


class Directions:
    """Everybody's mail goes to these hosts."""

    def __init__(self, *ports):
        hosts = tuple(Host(f"mx{n}.test", "127.0.0.1", p) for n, p in enumerate(ports))
        self.found = Site("site", hosts)

    def treat(self, **route):
        self.found = replace(self.found, route=Route("*", **route))

    async def find(self, domain):
        return self.found


def make_courier(
    *ports, blobs=None, timeout=5.0, opening=480.0, idle=5.0, trust=None, mailings=100, **manners
):
    timeouts = dict.fromkeys(Phase, timeout) | {Phase.IDLE: idle}
    dialler = Dialler(Dialling("us.test", timeouts, timeout, opening), trust)
    preparer = Preparer(make_platform(blobs=blobs or DictBlobs()), Sending)
    shaping = Shaping(Manners(**manners), Fellows(RecordingBus()), system_clock)
    return SmtpCourier(Directions(*ports), dialler, preparer, shaping, mailings)


@contextlib.asynccontextmanager
async def courier_to(*remotes, **options):
    courier = make_courier(*(there.port for there in remotes), **options)
    async with asyncio.timeout(DEADLINE):
        yield courier
        courier.close()


async def contents_at(there, count):
    """Wait until the remote has so many messages."""
    async with asyncio.timeout(DEADLINE):
        while len(there.contents) < count:  # noqa: ASYNC110 - a deadline stands around it
            await asyncio.sleep(0.01)


async def answers(*legs, patience=5.0, **script):
    """Return the replies to each leg, and the remote with what it heard."""
    async with remote(**script) as there, courier_to(there, timeout=patience) as courier:
        results = [await courier.carry(leg) for leg in legs or (make_leg(BOB),)]
        return [result.replies for result in results], there


async def test_a_message_arrives_byte_for_byte():
    content = b"Subject: x\r\n\r\n.hidden\r\n..\r\n.\r\nend"

    (replies,), there = await answers(make_leg(BOB, CAT, content=content))

    assert there.contents == [content + b"\r\n"]
    assert replies == dict.fromkeys([BOB, CAT], Reply(250, "2.0.0", "Queued"))
    assert there.commands[0] == "EHLO us.test"
    assert there.heard("MAIL") == [f"MAIL FROM:<ann@ours.test> SIZE={len(content)}"]


async def test_it_arrives_as_well_where_commands_go_one_by_one():
    (replies,), there = await answers(make_leg(BOB, CAT), ehlo=LOCK_STEP)

    assert there.contents == [MESSAGE]
    assert {reply.code for reply in replies.values()} == {250}


@pytest.mark.parametrize("ehlo", [None, LOCK_STEP], ids=["together", "one by one"])
@pytest.mark.parametrize(
    ("phase", "answer", "reply"),
    [
        (phase, answer, Reply(int(answer[:3]), answer[4:9], "no"))
        for phase in ("greeting", "mail", "rcpt", "data", "dot")
        for answer in ("451 4.3.0 no", "550 5.7.1 no", "421 4.3.2 no")
    ],
)
async def test_a_refusal_in_any_phase_is_the_answer(phase, answer, reply, ehlo):
    script = {phase: answer} | ({"ehlo": ehlo} if ehlo else {})

    (replies,), _ = await answers(**script)

    assert replies == {BOB: reply}


@pytest.mark.parametrize("phase", ["greeting", "ehlo", "mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (HANG_UP, NO_ANSWER),
        (Last(b"250 half a li"), NO_ANSWER),
        (Last(b"250-more to come\r\n"), NO_ANSWER),
        (b"!!! \x00 what ???\r\n", NOT_SMTP),
        (b"2" * 100_000, NOT_SMTP),
        (b"220-banner\r\n" * 100_000, NOT_SMTP),
    ],
    ids=["hangs up", "half a line", "half an answer", "garbage", "one long line", "endless"],
)
async def test_whatever_is_no_answer_is_a_deferral(phase, answer, reply):
    (replies,), _ = await answers(**{phase: answer})

    assert replies == {BOB: reply}


async def test_a_connection_is_used_again():
    results, there = await answers(make_leg(BOB), make_leg(CAT))

    assert there.connections == 1
    assert len(there.contents) == 2
    assert not there.heard("RSET")
    assert [reply.code for replies in results for reply in replies.values()] == [250, 250]


@pytest.mark.parametrize(
    "second",
    [HANG_UP, "421 4.4.2 idle for too long", b"garbage\r\n"],
    ids=["gone", "421", "garbage"],
)
async def test_what_fails_on_a_kept_connection_is_tried_on_a_new_one(second):
    mail = ["250 2.1.0 OK", second, "250 2.1.0 OK"]

    results, there = await answers(make_leg(BOB), make_leg(CAT), mail=mail)

    assert there.connections == 2
    assert results[1][CAT].code == 250
    assert len(there.contents) == 2


async def test_but_not_once_the_final_dot_is_out():
    results, there = await answers(
        make_leg(BOB), make_leg(CAT), dot=["250 2.0.0 Queued", HANG_UP, "250 2.0.0 Queued"]
    )

    assert there.connections == 1
    assert results[1] == {CAT: NO_ANSWER}


async def test_a_connection_retires_after_so_many_messages():
    async with remote() as there, courier_to(there, mailings=2) as courier:
        for _ in range(5):
            await courier.carry(make_leg(BOB))

    assert there.connections == 3
    assert len(there.heard("QUIT")) == 2


async def test_an_idle_connection_says_goodbye_in_the_end():
    async with remote() as there, courier_to(there, idle=0.05) as courier:
        await courier.carry(make_leg(BOB))
        while not there.heard("QUIT"):  # noqa: ASYNC110 - the deadline stands around it
            await asyncio.sleep(0.01)

        assert courier._pool.sites == ()


async def test_the_next_host_is_tried_when_one_does_not_greet():
    async with (
        remote(greeting="554 5.3.2 Go away") as first,
        remote(greeting=HANG_UP) as second,
        remote() as third,
        courier_to(first, second, third) as courier,
    ):
        carried = await courier.carry(make_leg(BOB))

    assert carried.replies[BOB].code == 250
    assert carried.host.name == "mx2.test"


async def test_a_host_that_never_greets_leaves_the_others_time():
    async with (
        remote(greeting=SILENCE) as first,
        remote() as second,
        courier_to(first, second, timeout=600.0, opening=2.0) as courier,
    ):
        carried = await courier.carry(make_leg(BOB))

    assert carried.replies[BOB].code == 250
    assert carried.host.name == "mx1.test"


async def test_hosts_of_which_none_greets_are_a_deferral():
    async with (
        remote(greeting=SILENCE) as first,
        remote(greeting=SILENCE) as second,
        courier_to(first, second, timeout=600.0, opening=0.2) as courier,
    ):
        carried = await courier.carry(make_leg(BOB))

    assert carried.replies == {BOB: TIMED_OUT}


async def test_a_host_that_may_come_back_outweighs_one_that_refuses():
    async with (
        remote(greeting="554 5.3.2 Go away") as first,
        remote(greeting="421 4.3.2 Busy") as second,
        courier_to(first, second) as courier,
    ):
        carried = await courier.carry(make_leg(BOB))

    assert carried.replies[BOB].code == 421


async def test_nobody_there_is_a_deferral():
    async with remote() as there:
        port = there.port
    carried = await make_courier(port).carry(make_leg(BOB))

    assert carried.replies == {BOB: CANNOT_CONNECT}
    assert carried.host is None


async def test_an_unknown_way_is_the_answer():
    courier = make_courier()
    courier._directions.found = Reply(550, "5.1.2", "No such domain")

    carried = await courier.carry(make_leg(BOB, CAT))

    assert {reply.code for reply in carried.replies.values()} == {550}


async def test_tls_is_used_where_it_is_offered(tmp_path):
    legs = make_leg(BOB), make_leg(CAT)

    replies, there = await answers(*legs, ehlo=WITH_TLS, tls=self_signed(tmp_path))

    assert [reply.code for each in replies for reply in each.values()] == [250, 250]
    assert there.connections == 1
    assert there.commands[:3] == ["EHLO us.test", "STARTTLS", "EHLO us.test"]
    assert there.contents == [MESSAGE, MESSAGE]


async def test_a_broken_handshake_is_followed_by_a_new_connection_in_the_clear():
    (replies,), there = await answers(ehlo=WITH_TLS, starttls=Last(b"220 go\r\n"))

    assert there.connections == 2
    assert replies[BOB].code == 250


async def test_a_server_without_a_usable_certificate_gets_it_in_the_clear():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    (replies,), there = await answers(ehlo=WITH_TLS, tls=tls)

    assert there.connections == 2
    assert replies[BOB].code == 250


async def test_a_large_content_is_streamed():
    blobs = DictBlobs()
    blobs.blobs["m"] = MESSAGE + b".dotted line\r\n" * 100_000
    async with remote() as there, courier_to(there, blobs=blobs) as courier:
        leg = make_leg(BOB, content=Blob("m", len(blobs.blobs["m"])))
        carried = await courier.carry(leg)

    assert carried.replies[BOB].code == 250
    assert there.contents == [blobs.blobs["m"]]


async def test_a_missing_content_is_our_fault_and_never_half_a_message():
    async with remote() as there, courier_to(there) as courier:
        with pytest.raises(BlobMissingError):
            await courier.carry(make_leg(BOB, content=Blob("m", 10)))

    assert there.contents == []


@pytest.mark.parametrize(("octets", "code"), [(b"plain\r\n", 250), (b"\xff\r\n", 554)])
async def test_a_blob_is_looked_into_before_a_7bit_server_gets_it(octets, code):
    blobs = DictBlobs()
    blobs.blobs["m"] = octets
    async with remote(ehlo=SEVEN_BIT) as there, courier_to(there, blobs=blobs) as courier:
        carried = await courier.carry(make_leg(BOB, content=Blob("m", len(octets))))

    assert carried.replies[BOB].code == code
    assert code == 250 or carried.replies[BOB] == NEEDS_8BITMIME


class SlowBlobs(DictBlobs):
    """Takes its time over the first octets."""

    async def read(self, name):
        await asyncio.sleep(0.5)
        yield MESSAGE


async def test_a_connection_stays_while_a_message_is_made_ready():
    leg = make_leg(BOB, content=Blob("m", len(MESSAGE)))
    script = {"blobs": SlowBlobs(), "idle": 0.1}
    async with remote(ehlo=SEVEN_BIT) as there, courier_to(there, **script) as courier:
        carried = await courier.carry(leg)

    assert carried.replies[BOB].code == 250
    assert there.contents == [MESSAGE]


async def test_a_server_that_goes_while_a_message_is_made_ready_has_not_answered():
    leg = make_leg(BOB, content=Blob("m", len(MESSAGE)))
    gone = Last(f"{SEVEN_BIT}\r\n".encode())
    async with remote(ehlo=gone) as there, courier_to(there, blobs=SlowBlobs()) as courier:
        carried = await courier.carry(leg)

    assert carried.replies == {BOB: NO_ANSWER}


async def test_an_attempt_without_content_leaves_no_connection():
    leg = make_leg(BOB, content=Blob("gone", 1))
    async with remote(ehlo=SEVEN_BIT) as there, courier_to(there, idle=60.0) as courier:
        with pytest.raises(BlobMissingError):
            await courier.carry(leg)
        while not there.heard("QUIT"):  # noqa: ASYNC110 - a deadline stands around it
            await asyncio.sleep(0.01)


async def test_a_busy_site_gets_no_more_and_the_surplus_goes_back():
    async with (
        remote(dot=SILENCE) as there,
        courier_to(there, connections=2, patience=0.05) as courier,
    ):
        under_way = [asyncio.create_task(courier.carry(make_leg(BOB))) for _ in range(2)]
        await contents_at(there, 2)
        surplus = await courier.carry(make_leg(CAT))
        for task in under_way:
            task.cancel()
        await asyncio.wait(under_way)

    assert isinstance(surplus, Later)
    assert there.connections == 2


async def test_whoever_waits_for_a_turn_gets_it():
    async with remote() as there, courier_to(there, connections=2) as courier:
        carried = await asyncio.gather(*(courier.carry(make_leg(BOB)) for _ in range(20)))

    assert [result.replies[BOB].code for result in carried] == [250] * 20
    assert there.connections == 2


async def test_an_attempt_that_is_cut_short_leaves_no_connection_and_no_place_taken():
    async with (
        remote(dot=[SILENCE, "250 OK"]) as there,
        courier_to(there, connections=1) as courier,
    ):
        attempt = asyncio.create_task(courier.carry(make_leg(BOB)))
        await contents_at(there, 1)
        attempt.cancel()
        await asyncio.wait([attempt])
        carried = await courier.carry(make_leg(CAT))

    assert carried.replies[CAT].code == 250
    assert there.connections == 2


GUARDED = "250-there.test\r\n250-PIPELINING\r\n250 REQUIRETLS"
OFFERS_TLS = "250-there.test\r\n250-REQUIRETLS\r\n250 STARTTLS"


def guarded_leg(**changes):
    leg = make_leg(BOB)
    return replace(leg, envelope=replace(leg.envelope, requiretls=True, **changes))


@contextlib.asynccontextmanager
async def guarded_courier(folder, *, names=("mx0.test",), named_by_us=True, **script):
    """A courier that trusts an authority, and a remote with a certificate for ``names`` from it."""
    authority = Authority()
    authority.issue(folder, *names)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "fullchain.pem", folder / "privkey.pem")
    trust = ssl.create_default_context(cadata=authority.pem)
    script = {"ehlo": [OFFERS_TLS, GUARDED]} | script
    async with remote(tls=tls, **script) as there, asyncio.timeout(DEADLINE):
        courier = make_courier(there.port, trust=trust)
        courier._directions.found = replace(courier._directions.found, is_ours_to_name=named_by_us)
        yield courier, there
        courier.close()


async def test_guarded_mail_goes_to_who_promises_to_guard_it_and_proves_who_it_is(tmp_path):
    async with guarded_courier(tmp_path) as (courier, there):
        carried = await courier.carry(guarded_leg())
        again = await courier.carry(guarded_leg())

    assert [one.replies[BOB].code for one in (carried, again)] == [250, 250]
    assert there.heard("MAIL") == ["MAIL FROM:<ann@ours.test> REQUIRETLS"] * 2
    assert there.connections == 1


@pytest.mark.parametrize(
    "ehlo",
    [OFFERS_TLS.replace("250 STARTTLS", "250 DSN"), [OFFERS_TLS, "250-there.test\r\n250 DSN"]],
    ids=["no TLS", "no promise"],
)
async def test_guarded_mail_without_a_promise_under_tls_fails(ehlo, tmp_path):
    async with guarded_courier(tmp_path, ehlo=ehlo) as (courier, there):
        carried = await courier.carry(guarded_leg())

    assert carried.replies == {BOB: NEEDS_REQUIRETLS}
    assert not there.heard("MAIL")


async def test_guarded_mail_waits_while_nobody_proves_who_it_is(tmp_path):
    async with guarded_courier(tmp_path, names=("other.test",)) as (courier, there):
        carried = await courier.carry(guarded_leg())

    assert carried.replies == {
        BOB: Reply(451, "4.7.5", "mx0.test does not prove who it is, as REQUIRETLS demands")
    }
    assert there.commands == ["EHLO us.test", "STARTTLS"]


async def test_guarded_mail_does_not_go_where_unsigned_dns_points(tmp_path):
    async with guarded_courier(tmp_path, named_by_us=False) as (courier, there):
        carried = await courier.carry(guarded_leg())

    assert carried.replies == {BOB: NEEDS_REQUIRETLS}
    assert there.connections == 0


async def test_guarded_mail_takes_no_connection_that_was_opened_for_other_mail(tmp_path):
    async with guarded_courier(tmp_path, ehlo=[OFFERS_TLS, GUARDED] * 2) as (courier, there):
        await courier.carry(make_leg(BOB))
        await courier.carry(guarded_leg())

    assert there.connections == 2


async def test_a_report_is_better_sent_in_the_clear_than_lost(tmp_path):
    async with guarded_courier(tmp_path, ehlo=SEVEN_BIT, named_by_us=False) as (courier, there):
        carried = await courier.carry(guarded_leg(sender=None))

    assert carried.replies[BOB].code == 250
    assert there.heard("MAIL") == ["MAIL FROM:<>"]


@pytest.mark.parametrize(("ehlo", "passed"), [(None, True), (LOCK_STEP, False)])
async def test_it_is_known_whether_the_wishes_for_reports_were_passed_on(ehlo, passed):
    script = {"ehlo": ehlo} if ehlo else {}
    async with remote(**script) as there, courier_to(there) as courier:
        carried = await courier.carry(make_leg(BOB))

    assert carried.passed_dsn is passed


LOGIN = {"login": "ann", "password": "secret"}
OFFERS_LOGIN = "250-there.test\r\n250 AUTH PLAIN LOGIN CRAM-MD5"
CHUNKING = "250-there.test\r\n250-PIPELINING\r\n250 CHUNKING"


async def carried_by_route(route, *legs, **script):
    """Return the replies, and the remote, of a site that is treated as ``route`` says."""
    async with remote(**script) as there, courier_to(there) as courier:
        courier._directions.treat(**route)
        results = [await courier.carry(leg) for leg in legs or (make_leg(BOB),)]
        return [result.replies for result in results], there


async def test_a_smart_host_is_told_who_we_are_once():
    legs = make_leg(BOB), make_leg(CAT)
    auth = ["334 PDFAeD4=", "235 2.7.0 OK"]

    replies, there = await carried_by_route(LOGIN, *legs, ehlo=OFFERS_LOGIN, auth=auth)

    assert [reply.code for each in replies for reply in each.values()] == [250, 250]
    assert there.heard("AUTH") == ["AUTH CRAM-MD5"]
    assert len(there.responses) == 1


async def test_a_refused_login_keeps_the_mail_waiting_and_is_counted_and_logged():
    counted = metrics.LOGINS_REFUSED._value.get()
    auth = ["334 PDFAeD4=", "535 5.7.8 no, secret is wrong"]

    with capture_logs() as logs:
        (replies,), there = await carried_by_route(LOGIN, ehlo=OFFERS_LOGIN, auth=auth)

    reply = Reply(454, "4.7.0", "The smart host refuses our login: 535 5.7.8")
    assert replies == {BOB: reply}
    assert metrics.LOGINS_REFUSED._value.get() == counted + 1
    assert [log["event"] for log in logs] == ["login failed"]
    assert logs[0]["reply"] == str(reply)
    assert not there.heard("MAIL")


@pytest.mark.parametrize("tls", [None, TlsPolicy.NONE])
async def test_a_password_goes_in_the_clear_to_loopback(tls):
    route = LOGIN | {"mechanism": "plain", "tls": tls}

    (replies,), there = await carried_by_route(route, ehlo=OFFERS_LOGIN)

    assert replies[BOB].code == 250
    assert there.heard("AUTH") == ["AUTH PLAIN AGFubgBzZWNyZXQ="]


@pytest.mark.parametrize("tls", [TlsPolicy.REQUIRED, TlsPolicy.VERIFIED])
async def test_who_has_to_have_tls_and_has_not_hears_nothing_of_our_login(tls):
    (replies,), there = await carried_by_route(LOGIN | {"tls": tls}, ehlo=OFFERS_LOGIN)

    assert replies[BOB].is_transient
    assert not there.heard("AUTH")
    assert not there.heard("MAIL")


async def test_tls_from_the_first_octet(tmp_path):
    route = {"implicit_tls": True}
    tls = self_signed(tmp_path)

    (replies,), there = await carried_by_route(route, tls=tls, implicit_tls=True, ehlo=WITH_TLS)

    assert replies[BOB].code == 250
    assert there.commands[:2] == ["EHLO us.test", "MAIL FROM:<ann@ours.test>"]


async def test_a_route_names_the_address_that_we_call_from():
    (replies,), there = await carried_by_route({"source": "127.0.0.7"})

    assert replies[BOB].code == 250
    assert there.clients == ["127.0.0.7"]


async def test_an_address_that_is_not_ours_to_call_from_is_a_deferral():
    (replies,), there = await carried_by_route({"source": "192.0.2.1"})

    assert replies == {BOB: CANNOT_CONNECT}
    assert there.connections == 0


@pytest.mark.parametrize("size", [20, 3_000_000])
@pytest.mark.parametrize("inline", [True, False])
async def test_chunks_arrive_octet_by_octet(size, inline):
    blobs = DictBlobs()
    content = blobs.blobs["m"] = b".dotted\r\n..\r\n.\r\n" + b"no end" * (size // 6)
    leg = make_leg(BOB, content=content if inline else Blob("m", len(content)))
    async with remote(ehlo=CHUNKING) as there, courier_to(there, blobs=blobs) as courier:
        carried = [await courier.carry(leg) for _ in range(2)]

    assert [one.replies[BOB].code for one in carried] == [250, 250]
    assert there.contents == [content, content]
    assert there.connections == 1
    assert not there.heard("DATA")


async def test_a_content_that_breaks_off_is_never_a_last_chunk():
    class Broken(DictBlobs):
        async def read(self, name):
            yield b"a" * 100_000
            yield b"b" * 100_000
            raise BlobMissingError(name)

    async with remote(ehlo=CHUNKING) as there, courier_to(there, blobs=Broken()) as courier:
        with pytest.raises(BlobMissingError):
            await courier.carry(make_leg(BOB, content=Blob("m", 10)))

    assert there.contents == []


async def test_who_offers_chunking_and_does_not_know_it_is_spared_it_from_then_on():
    legs = make_leg(BOB), make_leg(BOB)

    results, there = await answers(*legs, ehlo=CHUNKING, bdat="502 5.5.1 What?")

    assert [replies[BOB].code for replies in results] == [451, 250]
    assert there.connections == 2
    assert len(there.heard("DATA")) == 1


async def test_of_too_many_such_servers_the_old_ones_are_forgotten(monkeypatch):
    monkeypatch.setattr(dialling, "MOST_SPARED", 1)
    script = {"ehlo": CHUNKING, "bdat": "502 5.5.1 What?"}
    async with remote(**script) as one, remote(**script) as other, courier_to(one) as courier:
        to_one, to_other = courier._directions.found, Directions(other.port).found
        for site in (to_one, to_one, replace(to_other, name="other"), to_one):
            courier._directions.found = site
            await courier.carry(make_leg(BOB))
            courier.close()

    assert len(one.heard("BDAT")) == 2
    assert len(one.heard("DATA")) == 1


async def test_a_connection_carries_as_many_mails_as_the_server_wants():
    ehlo = "250-there.test\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=2 RCPTMAX=1"

    results, there = await answers(*[make_leg(BOB)] * 5, ehlo=ehlo)

    assert [replies[BOB].code for replies in results] == [250] * 5
    assert there.connections == 3
    assert len(there.heard("QUIT")) >= 2


async def test_an_8bit_text_is_made_7bit_for_who_wants_it_so():
    content = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nö\r\n".encode()

    (replies,), there = await answers(make_leg(BOB, content=content), ehlo=SEVEN_BIT)

    assert replies[BOB].code == 250
    assert there.contents[0].endswith(b"quoted-printable\r\n\r\n=C3=B6\r\n")


async def test_each_answer_has_its_own_time():
    """Three recipients take longer than one may."""

    async with (
        remote(ehlo=LOCK_STEP, pause=0.2) as there,
        courier_to(there, timeout=0.5) as courier,
    ):
        carried = await courier.carry(make_leg(ANN, BOB, CAT))

    assert {reply.code for reply in carried.replies.values()} == {250}
