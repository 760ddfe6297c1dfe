"""Who fails too often waits, and nothing that strangers say is kept at its full length."""

from contextlib import closing

import pytest

from kernel.model.questions import LoginQuestion, LoginVerdict
from services.auth.adapters.passwords import Passwords
from services.auth.core.directory import Domain
from services.auth.core.lan import Networks
from services.auth.core.listener import DEFAULTS
from services.auth.core.login import PATIENCE, WITH_AN_ADDRESS, is_locked, one_more
from services.auth.core.policies import Policies
from services.auth.directory import Directory
from services.auth.logins import LONGEST_LOGIN, Logins
from tests.support.mail import NOON

DOMAINS = {
    "ours.test": Domain("ours.test", primary=True),
    "also.test": Domain("also.test"),
    "apart.test": Domain("apart.test", own_users=True),
}


class NoRecords:
    """Knows nobody; remembers for whom it was asked."""

    def __init__(self):
        self.asked = []

    async def policies(self):
        return Policies("mx.ours.test", DOMAINS, Networks(), DEFAULTS)

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


class Counted:
    """Counts failures without a database."""

    def __init__(self):
        self.failures = {}

    async def forbid(self, suspects, *, afresh=False):
        known = [(self.failures.get(who), PATIENCE[who[0]]) for who in suspects]
        return any(is_locked(failures, patience, NOON) for failures, patience in known)

    async def count(self, suspects):
        for who in suspects:
            self.failures[who] = one_more(self.failures.get(who), PATIENCE[who[0]], NOON)
        return True


@pytest.fixture
def records():
    return NoRecords()


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def attempt(records, counted):
    with closing(NoPassword()) as passwords:
        logins = Logins(Directory(records), passwords, counted, None, key=b"key")

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


@pytest.mark.parametrize(
    ("name", "counts_as"),
    [
        ("Ghost", {"ghost@ours.test"}),
        ("ghost@ours.test", {"ghost@ours.test"}),
        ("GHOST@also.test", {"ghost@ours.test"}),
        ("ghost@apart.test", {"ghost@apart.test"}),
        ("Ghost@elsewhere.test", {"ghost@elsewhere.test"}),
        ("not an address@", {"not an address@"}),
        ("ß" * LONGEST_LOGIN, {"s" * LONGEST_LOGIN}),
        ("nul\0", set()),
        ("", set()),
        ("x" * (LONGEST_LOGIN + 1), set()),
    ],
)
async def test_who_does_not_exist_counts_under_one_name_however_spelled(
    attempt, counted, name, counts_as
):
    await attempt(name)

    assert {who for subject, who in counted.failures if subject == "login"} == counts_as
    assert {who for subject, who in counted.failures if subject == "client"} == {"192.0.2.1"}
