"""kill -9 of any process under load loses no message that was answered with 250."""

import smtplib
import threading
import time
from dataclasses import dataclass, field
from typing import Self

import pytest

from tests.support.stack import SERVICES, Stack, send, wait_until

ANN = "ann@ours.test"
SENDERS = 8
SECONDS_BEFORE, SECONDS_AFTER = 1.5, 2.0


@dataclass
class Load:
    """Clients that send as fast as they are answered, and remember what was answered with 250."""

    stack: Stack
    accepted: list[int] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._numbers = iter(range(1_000_000))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                with self.stack.smtp(timeout=15) as session:
                    self._send_some(session)
            except (smtplib.SMTPException, OSError):
                time.sleep(0.05)

    def _send_some(self, session: smtplib.SMTP) -> None:
        for _ in range(10):
            with self._lock:
                number = next(self._numbers)
            body = f"Subject: number {number} end\r\n\r\n".encode() + (b"x" * 70 + b"\r\n") * 40
            send(session, "load@lan.test", [ANN, f"n{number}@remote.test"], body)
            with self._lock:
                self.accepted.append(number)
            if self.stop.is_set():
                return


def targets(kind: str) -> list[str]:
    if kind == "embedded":
        return ["all"]
    return [name for name in SERVICES if name != "delivery"] + ["delivery-1"]


@pytest.mark.parametrize(
    ("kind", "victim"),
    [(kind, victim) for kind in ("embedded", "brokered") for victim in targets(kind)],
    indirect=["kind"],
)
def test_a_killed_process_loses_nothing_that_was_accepted(kind, victim, stack, sink):
    with Load(stack) as load:
        time.sleep(SECONDS_BEFORE)
        stack.kill(victim)
        time.sleep(0.5)
        stack.restart(victim)
        time.sleep(SECONDS_AFTER)

    assert len(load.accepted) > 50
    wait_until(lambda: not missing_remotely(load, sink), "every remote copy has arrived", 60)
    wait_until(lambda: not missing_locally(load, stack), "every local copy has arrived", 60)
    assert len(stack.mailbox(ANN)) == len(set(numbers_in(stack.mailbox(ANN))))
    repeated = len(sink.received) - len({tuple(mail.recipients) for mail in sink.received})
    assert repeated <= 25, "more remote copies were repeated than can have been in flight"


def missing_remotely(load: Load, sink) -> set[str]:
    arrived = {recipient for mail in list(sink.received) for recipient in mail.recipients}
    return {f"n{number}@remote.test" for number in load.accepted} - arrived


def missing_locally(load: Load, stack: Stack) -> set[int]:
    return set(load.accepted) - set(numbers_in(stack.mailbox(ANN)))


def numbers_in(mails: list[bytes]) -> list[int]:
    return [int(m.partition(b"Subject: number ")[2].partition(b" end")[0] or -1) for m in mails]
