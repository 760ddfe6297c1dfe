"""The self-test: what strangers try, and what is said of a listener that lets them."""

import asyncio
import re
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import chain, repeat

import pytest
from structlog.testing import capture_logs

from kernel.health import STARTING
from kernel.model.events import DirectoryChanged
from kernel.model.questions import AdmissionAnswer, RelayAnswer, TlsMode
from kernel.model.reply import Reply
from services.auth.core.directory import Domain
from services.auth.core.lan import Networks, parse_client
from services.auth.core.listener import ListenerSettings
from services.auth.core.lists import AddressList
from services.auth.core.policies import Policies
from services.auth.core.relay import decide
from services.ingress.core.probes import Names, Probe, probes
from services.ingress.core.selftest import (
    STRANGERS,
    Finding,
    Trial,
    Verdict,
    relayed,
    reply_of,
)
from services.ingress.ports import DirectoryUnavailableError
from services.ingress.selftest import SelfTest
from tests.support.mail import NOON
from tests.unit.ingress.talk import LISTENER, make_doorway

OURS = Names("ours.test", "mx.ours.test", "192.0.2.7")
PROBES = probes(OURS)
COME_IN = AdmissionAnswer(admitted=True)
LAN = ("127.0.0.0/8",)
OPEN = {"relay_outside_lan": True}
RESERVED = re.compile(r"(.*\.)?(test|example|invalid|localhost)\.?")
PLAIN = PROBES[0]


def policies(lan=LAN, **settings):
    """Auth's own rules, with one listener."""
    listener = ListenerSettings(**settings)
    domains = {"ours.test": Domain("ours.test", primary=True)}
    return Policies("mx.ours.test", domains, Networks.of(lan), {"mx": listener})


def answers(rules, questions):
    decisions = [decide(rules.facts(question, {}, {}, {}, NOON)) for question in questions]
    return [RelayAnswer(each.reply, each.rule, each.submitter) for each in decisions]


def findings(rules, client=STRANGERS[0]):
    """What becomes of every probe under ``rules``."""
    trials = [Trial(probe, make_doorway(), client, COME_IN) for probe in PROBES]
    return [trial.judged(answers(rules, trial.questions)) for trial in trials]


def test_a_listener_as_it_comes_relays_nothing_for_strangers():
    assert relayed(findings(policies())) == ()


def test_every_probe_has_an_answer():
    assert {each.verdict for each in findings(policies())} == {Verdict.REFUSED}


def test_an_open_relay_is_found_by_the_plainest_envelope():
    found = relayed(findings(policies(**OPEN)))

    assert PLAIN in [each.probe for each in found]
    assert {each.rule for each in found} == {"open-relay"}


@pytest.mark.parametrize("client", STRANGERS)
def test_strangers_are_told_by_their_addresses(client):
    network = f"{client}/128" if ":" in client else f"{client}/32"

    assert relayed(findings(policies(), client)) == ()
    assert relayed(findings(policies((network,)), client)) != ()


def test_whoever_may_send_in_our_name_is_an_open_relay():
    rules = policies(always_relay_senders=("ours.test",), reject_local_sender_spoof=False)

    forms = {each.probe.form for each in relayed(findings(rules))}

    assert "sender in our domain" in forms
    assert "stranger to stranger" not in forms


def test_being_a_backup_for_our_own_subdomains_is_no_open_relay():
    assert relayed(findings(policies(always_relay_recipients=("*.ours.test",)))) == ()


def test_a_local_recipient_is_no_relaying():
    probe = Probe("local", "<stranger@stranger.example>", "<ann@ours.test>")
    taken = Finding(probe, Reply(250, "2.1.5", "Recipient ok"), "local")

    assert taken.verdict is Verdict.LOCAL


def test_an_answer_that_is_put_off_is_none():
    trial = Trial(PLAIN, make_doorway(), STRANGERS[0], COME_IN)

    assert trial.judged([]).verdict is Verdict.UNKNOWN


def test_who_may_not_even_connect_does_not_relay():
    doorway = make_doorway(replace(LISTENER, restricted=True))

    trial = Trial(PLAIN, doorway, STRANGERS[0], AdmissionAnswer(admitted=False))

    assert trial.questions == ()
    assert trial.judged([]).verdict is Verdict.REFUSED


@pytest.mark.parametrize("tls", TlsMode)
def test_neither_tls_nor_a_full_house_keeps_the_question_from_being_asked(tls):
    doorway = make_doorway(replace(LISTENER, tls=tls), blocked=True, max_errors=1)

    trial = Trial(PLAIN, doorway, STRANGERS[0], COME_IN)

    assert [question.trial for question in trial.questions] == [True]


def test_no_probe_could_ever_reach_anybody():
    text = " ".join(" ".join(probe.commands) for probe in probes(Names("a.test", "b.test")))

    for domain in re.findall(r"@([A-Za-z0-9.-]+)", text):
        assert RESERVED.fullmatch(domain.lower()) or domain == "127.0.0.1"


def test_our_domain_is_said_in_letters_that_everybody_may_use():
    text = " ".join(" ".join(probe.commands) for probe in probes(Names("bücher.test", "b.test")))

    assert "@xn--bcher-kva.test" in text
    assert text.isascii()


def test_no_two_probes_are_the_same():
    assert len({probe.form for probe in PROBES}) == len(PROBES)
    assert len({probe.commands for probe in PROBES}) == len(PROBES) >= 60


def test_a_reply_is_read_as_clients_read_it():
    assert reply_of("250-a\r\n250 2.1.5 Fine\r\n") == Reply(250, "2.1.5", "Fine")
    assert reply_of("220 mx.ours.test ESMTP\r\n") == Reply(220, "", "mx.ours.test ESMTP")


class RulesDirectory:
    """Auth in memory. ``away`` is why it cannot be asked."""

    def __init__(self, rules=None):
        self.rules = rules or policies()
        self.away = ""
        self.asked = []
        self.answered = asyncio.Event()

    async def admit(self, question):
        self._be_there()
        client = parse_client(question.client)
        return AdmissionAnswer(admitted=True, in_lan=client in self.rules.lan)

    async def decide(self, questions):
        self._be_there()
        self.asked += questions
        self.answered.set()
        return answers(self.rules, questions)

    def _be_there(self):
        if self.away:
            self.answered.set()
            raise DirectoryUnavailableError(self.away)


@asynccontextmanager
async def following(test):
    task = asyncio.create_task(test.follow())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def self_test(directory, doorway: Callable = make_doorway):
    return SelfTest(directory, {"mx": doorway}, OURS, places={}, callers=set())


async def until(holds):
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - health is asked, it does not tell
            await asyncio.sleep(0)


async def test_nothing_is_said_before_it_is_known():
    assert self_test(RulesDirectory()).trouble() == STARTING


async def test_a_closed_relay_is_healthy():
    test = self_test(RulesDirectory())

    async with following(test):
        await until(lambda: test.trouble() == "")


async def test_an_open_relay_says_so_in_the_log_and_to_health():
    test = self_test(RulesDirectory(policies(**OPEN)))

    with capture_logs() as logs:
        async with following(test):
            await until(lambda: test.trouble().startswith("this is an open relay: mx ("))

    assert "stranger to stranger, by the rule open-relay" in test.trouble()
    (line,) = logs
    assert (line["log_level"], line["listener"], line["rules"]) == ("error", "mx", ["open-relay"])
    assert "percent hack through others" in line["forms"]


async def test_an_address_that_may_not_connect_says_nothing_of_other_strangers():
    directory = RulesDirectory(policies(access=("any", "!203.0.113.0/24"), **OPEN))
    blocked = AddressList.of([("client", "198.51.100.0/24")])
    directory.rules = replace(directory.rules, black=blocked)
    test = self_test(directory)

    async with following(test):
        await until(lambda: "by the rule open-relay" in test.trouble())


async def test_a_change_of_the_rules_is_noticed_both_ways():
    directory = RulesDirectory()
    test = self_test(directory)

    async with following(test):
        await until(lambda: test.trouble() == "")
        directory.rules = policies(**OPEN)
        await test.notice(DirectoryChanged("listeners", "mx"))
        await until(lambda: "open relay" in test.trouble())
        directory.rules = policies()
        await test.notice(DirectoryChanged("listeners", "mx"))
        await until(lambda: test.trouble() == "")


async def test_changes_of_users_are_none_of_its_business():
    directory = RulesDirectory()
    test = self_test(directory)

    async with following(test):
        await until(lambda: test.trouble() == "")
        asked = len(directory.asked)
        await test.notice(DirectoryChanged("users", "ann"))
        directory.answered.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(directory.answered.wait(), 0.5)

    assert len(directory.asked) == asked


async def test_an_auth_that_is_away_changes_nothing_of_what_is_known():
    directory = RulesDirectory(policies(**OPEN))
    test = self_test(directory)

    async with following(test):
        await until(lambda: "open relay" in test.trouble())
        directory.away, directory.rules = "asleep", policies()
        directory.answered.clear()
        await test.notice(DirectoryChanged("networks", "192.0.2.0/24"))
        await directory.answered.wait()
        assert "open relay" in test.trouble()
        directory.away = ""
        await until(lambda: test.trouble() == "")


async def test_until_auth_answers_it_is_said_that_nobody_knows():
    directory = RulesDirectory()
    directory.away = "asleep"
    test = self_test(directory)

    async with following(test):
        await until(lambda: "asleep" in test.trouble())
        directory.away = ""
        await until(lambda: test.trouble() == "")


async def test_a_listener_that_lets_nobody_in_yet_is_asked_again():
    doorways = chain([None], repeat(make_doorway()))
    test = self_test(RulesDirectory(), lambda: next(doorways))

    async with following(test):
        await until(lambda: test.trouble() == "")


async def test_a_stranger_is_somebody_outside_the_lan():
    directory = RulesDirectory(policies(("203.0.113.0/24", "198.51.100.0/24")))
    test = self_test(directory)

    async with following(test):
        await until(lambda: test.trouble() == "")

    assert {question.client for question in directory.asked} == {"192.0.2.25"}


async def test_all_is_asked_in_one_breath_and_on_trial():
    directory = RulesDirectory()

    async with following(self_test(directory)):
        await directory.answered.wait()

    assert len(directory.asked) > 30
    assert all(question.trial for question in directory.asked)
