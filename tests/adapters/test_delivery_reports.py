"""Reports of every mix of news, read by others: Sisimai, flufl.bounce, and Python's email."""

from dataclasses import dataclass
from email import message_from_bytes, policy
from itertools import combinations, product

import pytest
from flufl.bounce import all_failures

from kernel.model.address import Address
from kernel.model.envelope import Recipient
from kernel.model.events import Stage
from kernel.model.reply import Reply
from services.delivery.adapters.templates import load_templates
from services.delivery.core.report import Returned
from services.delivery.core.reporting import report_to_sender
from services.delivery.core.routes import Host
from services.delivery.core.settle import Fate
from services.delivery.core.wording import Facts
from tests.support.mail import A_WEEK_LATER, ANN, BUSY, GONE, MESSAGE, NOON, OK, make_leg
from tests.support.sisimai import understood

MX = Host("mx.elsewhere.test", "192.0.2.1", 25)
EXPANDED = Reply(250, "2.1.5", "Others receive it")
NEWS = {
    "failed": (Stage.FAILED, GONE),
    "expired": (Stage.EXPIRED, BUSY),
    "delayed": (Stage.DEFERRED, BUSY),
    "delivered": (Stage.DELIVERED, OK),
    "relayed": (Stage.RELAYED, OK),
    "expanded": (Stage.EXPANDED, EXPANDED),
}
ACTIONS = {name: "failed" if name == "expired" else name for name in NEWS}
HEAD = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n"


@dataclass(frozen=True)
class Case:
    news: tuple[str, ...]
    remote: Host | None
    whole: bool

    def octets(self):
        fates = tuple(fate_of(name) for name in self.news)
        leg = make_leg(*(fate.recipient.address for fate in fates))
        facts = Facts(
            leg.envelope, "mx.ours.test", "ours.test", self.remote, NOON, until=A_WEEK_LATER
        )
        returned = Returned(MESSAGE if self.whole else HEAD, whole=self.whole)
        return report_to_sender(leg, facts, fates, returned, load_templates()).content

    def actions(self):
        return {f"{name}@elsewhere.test": ACTIONS[name] for name in self.news}


def fate_of(name):
    who = Recipient(Address(name, "elsewhere.test"), orcpt=f"rfc822;{name}@elsewhere.test")
    return Fate(who, *NEWS[name])


MIXES = [mix for size in range(1, 5) for mix in combinations(NEWS, size)]
CASES = [Case(*case) for case in product(MIXES, (MX, None), (True, False))]


def test_sisimai_understands_every_mix(tmp_path):
    files = [tmp_path / f"{number}.eml" for number in range(len(CASES))]
    for file, case in zip(files, CASES, strict=True):
        file.write_bytes(case.octets())

    for case, findings in zip(CASES, understood(*files), strict=True):
        assert {f["recipient"]: f["action"] for f in findings} == case.actions(), case
        assert {f["addresser"] for f in findings} == {str(ANN)}
        assert {f["messageid"] for f in findings} == {"1@ours.test"}
        assert {f["deliverystatus"][0] for f in findings if f["action"] == "delayed"} <= {"4"}


@pytest.mark.parametrize("news", MIXES, ids="+".join)
def test_flufl_bounce_tells_the_lost_from_the_late(news):
    message = message_from_bytes(Case(news, MX, whole=True).octets())

    late, lost = all_failures(message)

    expected = Case(news, MX, whole=True).actions()
    assert lost == {name.encode() for name, action in expected.items() if action == "failed"}
    assert late == {name.encode() for name, action in expected.items() if action == "delayed"}


@pytest.mark.parametrize("news", MIXES, ids="+".join)
def test_python_finds_three_sound_parts(news):
    case = Case(news, None, whole=False)
    message = message_from_bytes(case.octets(), policy=policy.default)

    text, status, headers = message.iter_parts()

    assert [part.defects for part in (message, text, status, headers)] == [[]] * 4
    assert message.get_content_type() == "multipart/report"
    about = {
        group["Final-Recipient"].partition("; ")[2]: group["Action"]
        for group in status.get_payload()[1:]
    }
    assert about == case.actions()
    assert all(f"<{name}>" in text.get_content() for name in about)
    assert headers.get_content() == HEAD.decode()
