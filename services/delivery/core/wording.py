"""What a report says to people: the templates, filled with what became of each recipient."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from textwrap import wrap

from kernel.model.envelope import Envelope, Recipient
from kernel.model.events import Stage
from kernel.model.reply import printable
from services.delivery.core.routes import Host
from services.delivery.core.settle import Fate
from services.delivery.core.templates import Kind, Templates, Words, joined
from services.delivery.core.xtext import original_of

_WIDTH = 76  # characters; RFC 5322 §2.1.1 recommends no more than 78
_KINDS = {
    Stage.FAILED: Kind.FAILED,
    Stage.EXPIRED: Kind.FAILED,
    Stage.DEFERRED: Kind.DELAYED,
    Stage.DELIVERED: Kind.DELIVERED,
    Stage.RELAYED: Kind.DELIVERED,
    Stage.EXPANDED: Kind.DELIVERED,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report says, beside whom it is about. ``remote`` is who answered, if anybody did.

    What waits is tried again until ``until``. What was not ``tried`` has had no attempt now.
    """

    original: Envelope
    reporter: str
    domain: str
    remote: Host | None
    now: datetime
    until: datetime
    tried: bool = True


def words_for_sender(facts: Facts, told: Sequence[Fate], templates: Templates) -> Words:
    """Return what the sender reads: a section for each kind of news, the gravest first."""
    sections = ((kind, [f for f in told if _KINDS[f.stage] is kind]) for kind in Kind)
    return joined([templates[kind].fill(_values(facts, some)) for kind, some in sections if some])


def words_for_postmaster(facts: Facts, failures: Sequence[Fate], templates: Templates) -> Words:
    """Return what the postmaster reads."""
    return templates[Kind.POSTMASTER].fill(_values(facts, failures))


def _values(facts: Facts, fates: Sequence[Fate]) -> Mapping[str, str]:
    """Return what the placeholders stand for; `PLACEHOLDERS` names them."""
    sender = facts.original.sender
    left = (facts.until - facts.now) / timedelta(days=1)
    return {
        "sender": printable(str(sender)) if sender else "<>",
        "recipients": "\n\n".join(_entry(fate, facts) for fate in fates),
        "reporter": facts.reporter,
        "domain": facts.domain,
        "arrived": format_datetime(facts.original.received_at),
        "until": format_datetime(facts.until),
        "days_left": str(max(0, math.ceil(left))),
    }


def _entry(fate: Fate, facts: Facts) -> str:
    words = printable(_last_word(fate, facts))
    lines = wrap(
        words, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    return "\n".join([f"{_names(fate.recipient)}:", *lines])


def _names(recipient: Recipient) -> str:
    """Return the address that the sender knows, and the one that it has led to."""
    original = printable(original_of(recipient.orcpt))
    final = printable(str(recipient.address))
    return f"<{final}>" if original in {"", final} else f"<{original}> (<{final}>)"


def _last_word(fate: Fate, facts: Facts) -> str:
    answer = f"{facts.remote or 'this system'} said: {fate.reply}"
    match fate.stage:
        case Stage.EXPIRED:
            return f"tried for too long; at last, {answer}"
        case Stage.DELIVERED:
            return "delivered into the mailbox"
        case Stage.RELAYED:
            return f"taken over by {facts.remote or 'the next server'}, which sends no reports"
        case Stage.EXPANDED:
            return "sent on to the addresses that it stands for"
        case _:
            return answer
