"""What is kept in memory is never too old, and never survives a change."""

import asyncio

import pytest

from kernel.model.address import Address
from kernel.model.events import DirectoryChanged
from services.auth.core.directory import SHARED, Domain, Entry, User
from services.auth.core.grants import Grant
from services.auth.core.lan import Networks
from services.auth.core.listener import DEFAULTS
from services.auth.core.policies import Policies
from services.auth.directory import MAX_AGE, MOST_AT_ONCE, Directory, Shelf
from services.auth.ports import DirectoryUnavailableError
from tests.support.mail import ANN, NOON

POLICIES = Policies("mx.ours.test", {"ours.test": Domain("ours.test")}, Networks(), DEFAULTS)
KEY = (SHARED, "ann")
USERS_CHANGED = DirectoryChanged("users", "ann")


class CountingRecords:
    """Records in dictionaries; counts how often it is asked."""

    def __init__(self):
        self.known = {KEY: Entry("ann", ANN)}
        self.people = {"ann": User("ann", ANN)}
        self.held = {"192.0.2.1": (Grant("ann", NOON),)}
        self.log = []
        self.failure = None
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def asked(self):
        return len(self.log)

    async def _answer(self, what, answer):
        self.log.append(what)
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return answer

    async def policies(self):
        return await self._answer("policies", POLICIES)

    async def entries(self, keys):
        return await self._answer("entries", {k: self.known[k] for k in keys if k in self.known})

    async def users(self, logins):
        return await self._answer("users", {k: self.people[k] for k in logins if k in self.people})

    async def grants(self, clients):
        return await self._answer("grants", {k: self.held[k] for k in clients if k in self.held})


class Seconds:
    """Seconds that the test lets pass."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def records():
    return CountingRecords()


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def directory(records, seconds):
    return Directory(records, seconds)


async def ask_everything(directory):
    await directory.policies()
    await directory.entries([KEY, (SHARED, "nobody")])
    await directory.users(["ann", "nobody"])
    await directory.grants(["192.0.2.1", "192.0.2.2"])


async def test_what_is_known_is_not_asked_again(directory, records):
    await ask_everything(directory)
    await ask_everything(directory)

    assert records.asked == 4


async def test_that_somebody_does_not_exist_is_known_too(directory, records):
    nobody = (SHARED, "nobody")

    assert await directory.entries([nobody]) == {nobody: None}
    assert await directory.entries([nobody]) == {nobody: None}
    assert records.asked == 1


async def test_nothing_is_trusted_for_too_long(directory, records, seconds):
    await ask_everything(directory)

    seconds.now += MAX_AGE
    await ask_everything(directory)

    assert records.asked == 8


async def test_nothing_survives_a_change(directory, records):
    await ask_everything(directory)
    records.known[KEY] = Entry(targets=(Address("bob", "elsewhere.test"),))

    directory.drop(USERS_CHANGED)

    assert (await directory.entries([KEY]))[KEY].targets
    await ask_everything(directory)
    assert records.asked == 9


async def test_what_was_being_read_during_a_change_is_not_kept(directory, records):
    records.gate.clear()
    reading = asyncio.gather(ask_everything(directory), directory.entries([KEY]))
    await asyncio.sleep(0)
    directory.drop(USERS_CHANGED)
    records.gate.set()
    await reading
    asked = records.asked

    await directory.policies()

    assert records.asked == asked + 1


async def test_a_crowd_reads_the_settings_once(directory, records):
    await asyncio.gather(*(directory.policies() for _ in range(50)))

    assert records.asked == 1


async def test_without_records_there_is_no_answer_and_it_heals(directory, records, seconds):
    await ask_everything(directory)
    records.failure = DirectoryUnavailableError("gone")
    seconds.now += MAX_AGE

    for question in (directory.policies(), directory.entries([KEY]), directory.users(["ann"])):
        with pytest.raises(DirectoryUnavailableError):
            await question
    await directory.check()
    assert "gone" in directory.trouble

    records.failure = None
    await directory.check()
    assert directory.trouble == ""


async def test_an_empty_question_asks_nobody(directory, records):
    assert await directory.entries([]) == {}
    assert await directory.users([]) == {}
    assert await directory.grants([]) == {}
    assert records.asked == 0


class Questions:
    """Looks up whatever it is asked for, and remembers each question."""

    def __init__(self):
        self.asked = []

    async def __call__(self, keys):
        self.asked.append(list(keys))
        return {key: f"{key}!" for key in keys}


async def test_what_is_in_use_is_looked_up_again_together(seconds):
    look_up = Questions()
    shelf = Shelf(look_up, seconds)
    for key in ("in use", "not in use"):
        await shelf.get([key])
    await shelf.get(["in use"])
    seconds.now += MAX_AGE / 2
    await shelf.get(["young"])
    await shelf.get(["young"])

    assert look_up.asked == [["in use"], ["not in use"], ["young", "in use"]]
    seconds.now += MAX_AGE / 2
    assert await shelf.get(["in use", "another"]) == {"in use": "in use!", "another": "another!"}
    assert look_up.asked[3:] == [["another", "young", "in use"]]


async def test_what_nobody_uses_any_more_is_forgotten(seconds):
    look_up = Questions()
    shelf = Shelf(look_up, seconds)
    await shelf.get(range(100))
    seconds.now += MAX_AGE

    await shelf.get(["another"])

    assert look_up.asked[1:] == [["another"]]
    assert list(shelf._kept) == ["another"]


async def test_a_crowd_that_is_looked_up_again_has_its_limit(seconds):
    look_up = Questions()
    shelf = Shelf(look_up, seconds)
    for _ in range(2):
        await shelf.get(range(MOST_AT_ONCE + 100))
    seconds.now += MAX_AGE / 2

    await shelf.get(["another"])

    assert len(look_up.asked[1]) == MOST_AT_ONCE + 1


@pytest.mark.parametrize(
    ("kind", "key", "asked"),
    [
        ("grants", "192.0.2.1", ["grants"]),
        ("grants", "192.0.2.9", []),
        ("grants", "", ["grants"]),
        ("app-passwords", "ann/phone", ["users"]),
        ("lockouts", "client 192.0.2.1", []),
        ("api-keys", "k", []),
        ("routes", "*", []),
        ("dkim-keys", "ours.test 2026a", []),
        ("users", "ann", ["policies", "entries", "users", "grants"]),
        ("something new", "", ["policies", "entries", "users", "grants"]),
    ],
)
async def test_a_change_drops_what_it_is_about(directory, records, kind, key, asked):
    await ask_everything(directory)
    records.log.clear()

    directory.drop(DirectoryChanged(kind, key))
    await ask_everything(directory)

    assert records.log == asked


async def test_a_fresh_directory_remembers_nothing(directory, records):
    await ask_everything(directory)

    await ask_everything(directory.afresh())

    assert records.asked == 8
