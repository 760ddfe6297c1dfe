"""Workers come, stop and are killed while mail waits: it goes on, and nobody has it twice."""

import json
import signal
import urllib.request
from collections import Counter
from dataclasses import replace
from itertools import count

import pytest

from services.delivery.core.throttle import INITIAL
from tests.support.ports import free_port
from tests.support.sink import Sink
from tests.support.stack import make_stack, send, wait_until

ANN = "ann@ours.test"
MESSAGE = b"Subject: hi\r\n\r\nhi\r\n"
CONNECTIONS = 20
FIRST, SECOND = "delivery-1", "delivery-2"
_numbers = count()


@pytest.fixture(scope="module")
def sink():
    remote = Sink(free_port(), pause=0.3).start()
    yield remote
    remote.stop()


@pytest.fixture(scope="module")
def stack(sink, tmp_path_factory, stack_urls):
    """A stack with one worker; the test starts the second."""
    settings = {
        "routes": json.dumps({"*": f"127.0.0.1:{sink.port}"}),
        "delivery_remote_concurrency": "20",
        "delivery_site_connections": str(CONNECTIONS),
    }
    folder = tmp_path_factory.mktemp("scaling")
    with stack_urls("brokered") as urls:
        stack = make_stack("brokered", folder, urls, **settings)
        second = stack.programs.pop(SECOND)
        with stack.running():
            stack.add_user(ANN)
            stack.programs[SECOND] = second
            yield stack


class Batch:
    """Messages for recipients of their own."""

    def __init__(self, stack, sink, size):
        self.sink = sink
        self.everyone = {f"n{next(_numbers)}@remote.test" for _ in range(size)}
        with stack.smtp() as session:
            for recipient in sorted(self.everyone):
                send(session, ANN, [recipient], MESSAGE)

    @property
    def copies(self):
        mails = list(self.sink.received)
        return Counter(r for mail in mails for r in mail.recipients if r in self.everyone)

    def arrives(self):
        wait_until(lambda: set(self.copies) == self.everyone, "everything has arrived", 60)


def relayed(program):
    """Return how many recipients a worker has served."""
    with urllib.request.urlopen(f"{program.health}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    name = 'postroom_delivery_recipients_total{stage="relayed"}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def with_second_worker(stack):
    stack.start()
    return stack.programs[FIRST], stack.programs[SECOND]


def test_a_worker_that_comes_gets_its_share(stack, sink):
    sink.holds = True
    batch = Batch(stack, sink, 20)
    wait_until(lambda: len(batch.copies) == INITIAL, "the first worker sends what it may")

    _, second = with_second_worker(stack)

    wait_until(lambda: len(batch.copies) > INITIAL, "the second has a share", 10)
    sink.holds = False
    batch.arrives()
    assert set(batch.copies.values()) == {1}
    wait_until(lambda: relayed(second) > 0, "the second has sent it")


def test_a_worker_that_stops_hands_back_what_it_has(stack, sink):
    with_second_worker(stack)
    batch = Batch(stack, sink, 80)
    wait_until(lambda: len(batch.copies) > 10, "both are at it")

    stack.programs[SECOND].send(signal.SIGTERM)

    assert stack.programs[SECOND].wait(20) == 0
    batch.arrives()
    assert set(batch.copies.values()) == {1}


def test_a_worker_that_is_killed_repeats_no_more_than_it_was_sending(stack, sink):
    with_second_worker(stack)
    batch = Batch(stack, sink, 80)
    wait_until(lambda: len(batch.copies) > 10, "both are at it")

    stack.kill(SECOND)

    batch.arrives()
    assert batch.copies.total() - len(batch.everyone) <= CONNECTIONS


def test_local_and_remote_mail_can_have_workers_of_their_own(stack, sink):
    for name in (FIRST, SECOND):
        stack.programs[name].send(signal.SIGTERM)
        if stack.programs[name].process is not None:
            stack.programs[name].wait()
    for name, hops in ((FIRST, "local"), (SECOND, "remote")):
        env = {**stack.programs[name].env, "POSTROOM_DELIVERY_HOPS": hops}
        stack.programs[name] = replace(stack.programs[name], env=env)
    stack.restart(FIRST)
    recipient = f"n{next(_numbers)}@remote.test"
    with stack.smtp() as session:
        send(session, ANN, [ANN, recipient], MESSAGE)

    wait_until(lambda: stack.mailbox(ANN), "the local copy has arrived")
    assert not sink.to(recipient)
    stack.restart(SECOND)
    wait_until(lambda: sink.to(recipient), "the remote copy has arrived")
    assert len(stack.mailbox(ANN)) == 1
