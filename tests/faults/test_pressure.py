"""While mail cannot be kept nobody may send it; what was promised is kept; it passes by itself."""

import json
import smtplib
import threading
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.brokers import private_broker
from tests.support.disks import small_disk
from tests.support.stack import make_stack, send, wait_until

ANN = "ann@ours.test"
LARGE = 300_000
"""Octets of a message that goes by way of the blob store."""


class Postman:
    """Sends one message after the other from a thread of its own, whatever is answered."""

    def __init__(self, stack, size=0):
        self._stack = stack
        self._body = b"x" * 70 + b"\r\n"
        self._lines = size // len(self._body)
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.promised = []
        self.codes = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_done.set()
        self._thread.join()

    def _run(self):
        number = 0
        while not self._is_done.wait(0.05):
            number += 1
            code, tag = self._send(number), f"number {number}."
            self.codes.append(code)
            if code == 250:
                self.promised.append(tag)

    def _send(self, number):
        """Return the code that ended an attempt, or 0 for none."""
        message = f"Subject: number {number}.\r\n\r\n".encode() + self._body * self._lines
        try:
            with self._stack.smtp() as session:
                send(session, "bob@elsewhere.test", [ANN], message)
        except smtplib.SMTPResponseException as refusal:
            return refusal.smtp_code
        except (smtplib.SMTPException, OSError):
            return 0
        return 250

    def hears(self, codes, within=60):
        """Wait until one of ``codes`` is the answer."""
        begin = len(self.codes)
        wait_until(
            lambda: any(code in codes for code in self.codes[begin:]),
            f"one of {codes} is heard, not {sorted(set(self.codes[begin:]))}",
            within,
        )


@contextmanager
def running(stack):
    with stack.running():
        stack.add_user(ANN)
        yield stack


def everything_arrived(stack, postman):
    """Nothing that was promised is lost, and nobody was told that it is no use to try again."""
    assert not [code for code in postman.codes if code >= 500]

    def missing():
        subjects = b"".join(letter[:2000] for letter in stack.mailbox(ANN))
        return [tag for tag in postman.promised if f"Subject: {tag}".encode() not in subjects]

    assert postman.promised
    wait_until(lambda: not missing(), f"all of {len(postman.promised)} arrive", within=60)


def pressure(stack, name):
    """Return what /metrics says of each cause."""
    with urllib.request.urlopen(f"{stack.programs[name].health}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("postroom_ingress_pressure{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in found}


def log_of(stack, name):
    lines = stack.programs[name].log.read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    told = [entry for entry in entries if entry["event"].startswith("taking ")]
    causes = {entry["cause"] for entry in told}
    return {cause: [e["event"] for e in told if e["cause"] == cause] for cause in causes}


ALARMS = (
    ("set_vm_memory_high_watermark", "0", "0.6"),
    ("set_disk_free_limit", "9000GB", "50MB"),
)


def test_an_alarm_of_the_broker_stops_the_mail_until_it_is_over(stack_urls, tmp_path):
    with ExitStack() as opened:
        broker = opened.enter_context(private_broker())
        urls = {**opened.enter_context(stack_urls("brokered")), "bus": broker.amqp_url}
        stack = opened.enter_context(running(make_stack("brokered", tmp_path, urls)))
        with Postman(stack) as postman:
            for order, trouble, calm in ALARMS:
                postman.hears({250})
                broker.control(order, trouble)
                postman.hears({421})
                assert pressure(stack, "ingress")["bus"] == 1
                assert not stack.programs["ingress"].is_ready()

                broker.control(order, calm)
                postman.hears({250})
                stack.wait_ready(["ingress"])
        assert set(pressure(stack, "ingress").values()) == {0}
        everything_arrived(stack, postman)


@pytest.mark.parametrize("place", ["blobs", "bus"])
def test_a_disk_that_gets_full_stops_the_mail_until_there_is_room(place, tmp_path):
    with ExitStack() as opened:
        disk = opened.enter_context(small_disk(tmp_path / "disk", 64))
        url = {"blobs": f"file:///{disk.folder}", "bus": f"sqlite:///{disk.folder}/bus.db"}[place]
        stack = make_stack("embedded", tmp_path, **{f"{place}_url": url})
        opened.enter_context(running(stack))
        with Postman(stack, LARGE) as postman:
            postman.hears({250})
            disk.fill(leave=4_000_000)
            postman.hears({421})
            assert pressure(stack, "all")["room"] == 1

            disk.clear()
            postman.hears({250})
        everything_arrived(stack, postman)
        assert log_of(stack, "all")["room"] == ["taking no mail", "taking mail again"]


@pytest.mark.parametrize("place", ["blobs", "bus"])
def test_even_without_any_room_left_nothing_is_lost(place, tmp_path):
    """Nobody keeps a reserve: the disk itself refuses."""
    with ExitStack() as opened:
        disk = opened.enter_context(small_disk(tmp_path / "disk", 32))
        url = {"blobs": f"file:///{disk.folder}", "bus": f"sqlite:///{disk.folder}/bus.db"}[place]
        stack = make_stack("embedded", tmp_path, disk_reserve="0", **{f"{place}_url": url})
        opened.enter_context(running(stack))
        with Postman(stack, LARGE if place == "blobs" else 40_000) as postman:
            postman.hears({250})
            disk.fill()
            postman.hears({421, 451, 452})

            disk.clear()
            postman.hears({250})
        everything_arrived(stack, postman)


@pytest.mark.parametrize("service", ["router", "ledger"])
def test_those_behind_us_may_catch_up_before_more_mail_is_taken(service, stack_urls, tmp_path):
    with ExitStack() as opened:
        urls = opened.enter_context(stack_urls("brokered"))
        stack = make_stack("brokered", tmp_path, urls, ingress_max_backlog="20")
        opened.enter_context(running(stack))
        with Postman(stack) as postman:
            postman.hears({250})
            stack.kill(service)
            postman.hears({421})
            assert pressure(stack, "ingress")["backlog"] == 1

            stack.restart(service)
            postman.hears({250})
        everything_arrived(stack, postman)
