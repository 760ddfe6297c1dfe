"""Who fails too often waits, and nothing that strangers say is kept at its full length."""

from contextlib import closing

import pytest

from kernel.model.questions import LoginQuestion, LoginVerdict
from services.auth.adapters.passwords import Passwords
from services.auth.core.lan import Networks
from services.auth.core.listener import DEFAULTS
from services.auth.core.login import WITH_AN_ADDRESS
from services.auth.core.policies import Policies
from services.auth.directory import Directory
from services.auth.logins import LONGEST_LOGIN, Logins
from tests.support.mail import NOON


class NoRecords:
    """Knows nobody; remembers for whom it was asked."""

    def __init__(self):
        self.asked = []

    async def policies(self):
        return Policies("mx.ours.test", {}, Networks(), DEFAULTS)

    async def entries(self, keys):
        return {}

    async def users(self, logins):
        self.asked += logins
        return {}

    async def grants(self, clients):
        return {}


class NoPassword(Passwords):
    """Finds every password wrong, at no cost."""

    async def verify(self, stored, password):
        return False


@pytest.fixture
def records():
    return NoRecords()


@pytest.fixture
def attempt(records):
    with closing(NoPassword()) as passwords:
        logins = Logins(Directory(records), passwords, lambda: NOON)

        async def attempt(login, client="192.0.2.1"):
            question = LoginQuestion("smtp", "mx", client, "PLAIN", login, "guess")
            return (await logins.attempt(question)).verdict

        yield attempt


async def test_a_client_does_not_get_new_tries_from_a_new_address_of_its_own_network(attempt):
    tries = [(f"user{i}", f"2001:db8::{i:x}") for i in range(WITH_AN_ADDRESS.free)]
    for login, client in tries:
        assert await attempt(login, client) is LoginVerdict.REFUSED

    assert await attempt("one-more", "2001:db8::abcd") is LoginVerdict.LOCKED
    assert await attempt("one-more", "2001:db8:0:1::1") is LoginVerdict.REFUSED


async def test_an_overlong_login_is_nobody_and_is_not_looked_up(attempt, records):
    assert await attempt("x" * LONGEST_LOGIN) is LoginVerdict.REFUSED
    assert await attempt("y" * (LONGEST_LOGIN + 1)) is LoginVerdict.REFUSED

    assert records.asked == ["x" * LONGEST_LOGIN]
