"""Limits over real sockets: what strangers hear who send too much, guess, or take too long."""

import asyncio
import socket
import ssl
import tracemalloc
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from kernel.model.questions import AdmissionAnswer
from kernel.model.rate import Rate
from services.ingress import metrics
from tests.dialogs.house import ADMITTED, open_house, soon

HELLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<bob@elsewhere.test>\r\n"
ANN = b"RCPT TO:<ann@ours.test>\r\n"
NOBODY = b"RCPT TO:<nobody@ours.test>\r\n"
SHORT = 0.4
"""Seconds: a limit that a test can wait for."""


@asynccontextmanager
async def strangers_house(tmp_path, **settings):
    async with open_house(tmp_path, authenticate=False, **settings) as house:
        house.auth.stranger = True
        yield house


def limited(limit, listener="mx"):
    return metrics.limited(listener, limit)._value.get()


def octets_held():
    return REGISTRY.get_sample_value("postroom_ingress_octets_held")


async def say(house, octets, count, listener="mx"):
    client = await house.connect(listener)
    client.send(octets)
    return client, await client.replies(count)


async def test_a_stranger_may_name_so_many_recipients_and_others_do_not_suffer(tmp_path):
    async with strangers_house(tmp_path) as house:
        await house.change("mx", recipient_rate_per_ip=(Rate(2, 3_600),))
        before = limited("recipient_rate_per_ip")
        with capture_logs() as logs:
            client, codes = await say(house, HELLO + MAIL + ANN * 4, 7)

            assert codes == ["220", "250", "250", "250", "250", "450", "450"]
            assert (await client.ask(ANN.decode().strip()))[:9] == "450 4.7.1"
        assert [line["limit"] for line in logs if line["event"] == "limited"] == [
            "recipient_rate_per_ip"
        ]
        assert limited("recipient_rate_per_ip") == before + 3

        house.auth.stranger = False
        _, codes = await say(house, HELLO + MAIL + ANN, 4)
        assert codes[-1] == "250"


async def test_a_stranger_may_send_so_many_messages(tmp_path):
    async with strangers_house(tmp_path) as house:
        await house.change("mx", message_rate_per_ip=(Rate(2, 3_600),))
        mail = MAIL + ANN + ANN + b"DATA\r\nhi\r\n.\r\n"

        _, codes = await say(house, HELLO + mail * 2 + MAIL + ANN, 14)

        assert codes[-2:] == ["250", "450"]
        assert len(house.accepted) == 2


async def test_a_user_may_send_so_many_messages_however_many_sessions(tmp_path):
    async with open_house(tmp_path) as house:
        await house.change("submissions", message_rate_per_user=(Rate(1, 3_600),))
        last = []
        for _ in range(2):
            client = await house.connect("submissions")
            await client.start_tls()
            client.send(HELLO + b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n" + MAIL + ANN)
            last.append((await client.replies(5))[-1])

        assert last == ["250", "450"]


async def test_who_guesses_names_waits_and_is_sent_away_also_in_one_breath(tmp_path):
    async with strangers_house(tmp_path, max_unknown=4) as house:
        started = asyncio.get_running_loop().time()
        client, codes = await say(house, HELLO + MAIL + NOBODY * 3, 6)
        assert codes == ["220", "250", "250", "550", "550", "550"]
        assert asyncio.get_running_loop().time() - started >= 0.9

        client.send(NOBODY * 5)
        assert (await client.replies(2)) == ["550", "421"]
        assert await client.reply() == ""


async def test_who_guesses_on_and_on_is_shut_out(tmp_path):
    async with strangers_house(tmp_path, max_unknown_per_hour=2, max_errors=50) as house:
        await say(house, HELLO + MAIL + NOBODY * 3, 6)

        again = await house.connect()
        assert await again.reply() == (
            "421 4.7.0 Too many unknown recipients from you, try again later"
        )
        assert await again.reply() == ""
        user = await house.connect("submission")
        assert (await user.reply())[:3] == "220"


async def test_who_talks_before_the_greeting_is_sent_away(tmp_path):
    async with open_house(tmp_path) as house:
        await house.change("mx", restricted=True, greet_pause=30)

        early = await house.connect()
        early.send(HELLO)

        assert await early.reply() == "554 5.5.0 You spoke before you were greeted"
        assert await early.reply() == ""


async def test_who_waits_is_greeted_and_the_lan_does_not_wait(tmp_path):
    async with open_house(tmp_path) as house:
        await house.change("mx", restricted=True, greet_pause=1)
        patient = await house.connect()
        assert (await patient.reply())[:3] == "220"
        assert (await patient.ask("EHLO x"))[:3] == "250"

        house.auth.admission = AdmissionAnswer(admitted=True, in_lan=True)
        await house.change("mx", greet_pause=30)
        _, codes = await say(house, HELLO, 2)
        assert codes == ["220", "250"]
        house.auth.admission = ADMITTED


CLIENT, OTHER = "203.0.113.9", "203.0.113.10"
FRONTS = pytest.mark.parametrize(
    ("setting", "words", "said"),
    [
        ("xclient", "EHLO front\r\nXCLIENT ADDR={}\r\n", ["220", "250", "220"]),
        ("balancers", "PROXY TCP4 {} 192.0.2.1 4711 25\r\n", ["220"]),
    ],
    ids=["XCLIENT", "PROXY"],
)


@FRONTS
async def test_connections_are_those_of_whom_a_front_speaks_for(tmp_path, setting, words, said):
    async with strangers_house(tmp_path, **{setting: ("127.0.0.1",)}) as house:
        await house.change("mx", max_connections_per_ip=2)
        for who, last in ((CLIENT, "220"), (CLIENT, "220"), (CLIENT, "421"), (OTHER, "220")):
            _, codes = await say(house, words.format(who).encode(), len(said))
            assert codes == [*said[:-1], last]

        assert house.ingress.crowd.size == 3
        for first in house.clients[:2]:
            await first.close()
        await soon(lambda: house.ingress.crowd.size == 1)
        _, codes = await say(house, words.format(CLIENT).encode(), len(said))
        assert codes[-1] == "220"


@FRONTS
async def test_what_it_sends_counts_for_whom_a_front_speaks(tmp_path, setting, words, said):
    async with strangers_house(tmp_path, **{setting: ("127.0.0.1",)}) as house:
        await house.change("mx", message_rate_per_ip=(Rate(1, 3_600),))

        for who, last in ((CLIENT, "250"), (CLIENT, "450"), (OTHER, "250")):
            lines = words.format(who).encode() + HELLO + MAIL + ANN
            _, codes = await say(house, lines, len(said) + 3)
            assert codes[-1] == last


@FRONTS
async def test_who_guesses_is_shut_out_and_the_front_is_not(tmp_path, setting, words, said):
    limits = {"max_unknown_per_hour": 2, "max_errors": 50}
    async with strangers_house(tmp_path, **{setting: ("127.0.0.1",)}, **limits) as house:
        lines = words.format(CLIENT).encode() + HELLO + MAIL + NOBODY * 3
        await say(house, lines, len(said) + 5)

        for who, last in ((CLIENT, "421"), (OTHER, "220")):
            _, codes = await say(house, words.format(who).encode(), len(said))
            assert codes[-1] == last


async def test_half_a_command_now_and_then_keeps_nobody_in(tmp_path):
    async with open_house(tmp_path, idle_timeout=SHORT) as house:
        client = await house.connect()
        await client.reply()

        async def drip():
            while True:
                client.send(b"N")
                await asyncio.sleep(SHORT / 10)

        dripping = asyncio.create_task(drip())
        assert await client.reply() == "421 4.4.2 Timed out waiting for you"
        dripping.cancel()


async def test_a_message_that_hardly_grows_ends(tmp_path):
    async with open_house(tmp_path, idle_timeout=SHORT, min_data_rate=1_000_000) as house:
        client, codes = await say(house, HELLO + MAIL + ANN + b"DATA\r\n", 5)
        assert codes[-1] == "354"
        before = limited("data_rate")

        async def drip():
            while True:
                client.send(b"x\r\n")
                await asyncio.sleep(SHORT / 10)

        dripping = asyncio.create_task(drip())
        assert await client.reply() == "421 4.4.2 Too slow, try again later"
        dripping.cancel()
        assert limited("data_rate") == before + 1
        assert house.accepted == []


async def test_a_session_lasts_so_long(tmp_path):
    async with open_house(tmp_path, session_timeout=SHORT, read_timeout=SHORT) as house:
        client = await house.connect()
        await client.reply()

        assert await client.reply() == "421 4.4.2 This session takes too long, begin another"


async def test_who_does_not_read_is_dropped_and_costs_no_more_than_a_breath(tmp_path):
    async with open_house(tmp_path, read_timeout=SHORT) as house:
        reader, writer = await asyncio.open_connection(*house.address(), limit=1_024)
        await reader.readline()
        writer.write(b"EHLO x\r\n" * 200_000)
        before = limited("slow_reader")

        unread = [0]
        async with asyncio.timeout(10):
            while limited("slow_reader") == before:
                unread += [guest.unread for guest in house.ingress.crowd.guests]
                await asyncio.sleep(0.01)

        assert max(unread) < 150_000
        await soon(lambda: house.ingress.crowd.size == 0)
        writer.transport.abort()


async def test_messages_on_their_way_in_have_a_budget(tmp_path):
    async with open_house(tmp_path, max_octets=65_536) as house:
        early, slow = await house.connect(), []
        early.send(HELLO + MAIL + ANN)
        assert (await early.replies(4))[-1] == "250"
        for _ in range(2):
            client, codes = await say(house, HELLO + MAIL + ANN + b"DATA\r\n", 5)
            assert codes[-1] == "354"
            client.send(b"x" * 40_000)
            slow.append(client)
        await soon(lambda: octets_held() >= 80_000)

        other = await house.connect()
        await other.reply()
        await other.ask("EHLO x")
        refusal = await other.ask("MAIL FROM:<>")
        assert refusal == "452 4.3.1 No room for more messages right now, try again later"
        assert await early.ask("DATA") == refusal

        for client in slow:
            client.send(b"\r\n.\r\n")
            assert (await client.reply())[:3] == "250"
        assert octets_held() == 0
        assert (await other.ask("MAIL FROM:<>"))[:3] == "250"
        assert (await early.ask("DATA"))[:3] == "354"


async def test_who_leaves_in_the_middle_takes_nothing_of_the_budget_along(tmp_path):
    async with open_house(tmp_path) as house:
        client, _ = await say(house, HELLO + MAIL + ANN + b"DATA\r\n", 5)
        client.send(b"x" * 40_000)
        await soon(octets_held)
        client.writer.transport.abort()

        await soon(lambda: octets_held() == 0)


async def test_handshakes_wait_for_their_turn(tmp_path):
    async with open_house(tmp_path, max_handshakes=10) as house:
        silent = await house.connect("submissions")
        await soon(lambda: house.ingress.crowd.size == 1)
        eager = await house.connect("submissions")
        waiting = asyncio.create_task(eager.start_tls())
        await soon(lambda: house.ingress.crowd.size == 2)
        assert not waiting.done()

        silent.writer.transport.abort()
        await waiting
        assert (await eager.reply())[:3] == "220"


async def test_a_crowd_that_says_nothing_keeps_nobody_waiting(tmp_path):
    async with open_house(tmp_path) as house:
        await house.change("mx", max_connections=2_000, max_connections_per_ip=2_000)
        crowd = [await asyncio.open_connection(*house.address()) for _ in range(500)]
        await soon(lambda: house.ingress.crowd.size == 500)

        async with asyncio.timeout(5):
            for _ in range(20):
                _, codes = await say(house, HELLO + MAIL + ANN + b"DATA\r\nhi\r\n.\r\n", 6)
                assert codes[-1] == "250"
        for _, writer in crowd:
            writer.close()
        await soon(lambda: house.ingress.crowd.size <= 20)


@pytest.mark.parametrize("listener", ["mx", "submissions"])
async def test_a_strangers_connection_costs_less_than_64_kib(tmp_path, listener):
    """The octets of Python, which are nearly all; OpenSSL adds 20 KiB under TLS."""
    context = ssl._create_unverified_context()

    def come():
        plain = socket.create_connection(house.address(listener))
        client = context.wrap_socket(plain) if listener == "submissions" else plain
        assert client.recv(100).startswith(b"220 ")
        return client

    async with open_house(tmp_path) as house:
        await house.change(listener, max_connections=200, max_connections_per_ip=200)
        crowd = [await asyncio.to_thread(come)]
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        crowd += [await asyncio.to_thread(come) for _ in range(100)]
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for client in crowd:
            client.close()
        await soon(lambda: house.ingress.crowd.size == 0)

    assert (after - before) / 100 < 44 * 1024
