"""Passwords under Argon2id: what they cost, and what is remembered."""

import asyncio
import time

import pytest

from services.auth.adapters.passwords import (
    MOST_WAITING,
    NOBODY,
    REMEMBERED_FOR,
    Passwords,
)
from services.auth.ports import PasswordsBusyError


class Seconds:
    """Seconds that the test lets pass."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def passwords(seconds):
    passwords = Passwords(seconds)
    yield passwords
    passwords.close()


async def test_a_password_fits_what_was_made_of_it_and_nothing_else(passwords):
    stored = await passwords.hash("a secret ✉")

    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify(stored, "a secret ✉")
    assert not await passwords.verify(stored, "another")
    assert not await passwords.verify("nonsense", "a secret ✉")
    assert await passwords.hash("a secret ✉") != stored


async def test_nobody_has_no_password(passwords):
    assert not await passwords.verify(None, "")
    assert not await passwords.verify(None, "A")
    assert not await passwords.verify(NOBODY, "A")


async def processor_time(passwords, stored, password):
    before = time.process_time()
    await passwords.verify(stored, password)
    return time.process_time() - before


async def test_nobody_takes_as_long_as_somebody(passwords):
    stored = await passwords.hash("a secret")

    somebody = min([await processor_time(passwords, stored, f"wrong {n}") for n in range(5)])
    nobody = min([await processor_time(passwords, None, f"wrong {n}") for n in range(5)])

    assert 0.5 < nobody / somebody < 2


async def test_a_success_is_remembered_for_a_while(passwords, seconds):
    stored = await passwords.hash("a secret")
    first = await processor_time(passwords, stored, "a secret")

    assert await processor_time(passwords, stored, "a secret") < first / 5
    seconds.now += REMEMBERED_FOR
    assert await processor_time(passwords, stored, "a secret") > first / 5


async def test_a_changed_password_is_not_remembered(passwords):
    old, new = await passwords.hash("old"), await passwords.hash("new")
    await passwords.verify(old, "old")

    assert not await passwords.verify(new, "old")


async def test_failures_are_not_remembered(passwords):
    stored = await passwords.hash("a secret")
    await passwords.verify(stored, "wrong")

    assert not await passwords.verify(stored, "wrong")


async def test_too_many_at_once_are_sent_away(passwords):
    tries = [passwords.verify(None, f"guess {n}") for n in range(MOST_WAITING + 1)]

    answers = await asyncio.gather(*tries, return_exceptions=True)

    assert [a for a in answers if a is not False] == [answers[-1]]
    assert isinstance(answers[-1], PasswordsBusyError)


async def test_the_loop_goes_on_while_passwords_are_checked(passwords):
    stored = await passwords.hash("a secret")
    check = asyncio.create_task(passwords.verify(stored, "wrong"))
    turns = 0

    while not check.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns > 10
