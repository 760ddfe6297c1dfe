"""What a batch of traces adds to the books, each thing once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kernel.model.envelope import MailId
from kernel.model.events import MailTraced, Stage, Summary
from kernel.model.reply import printable
from services.ledger.core.fate import Step, outdoes


@dataclass(frozen=True, slots=True)
class Account:
    """A mail that came in."""

    mail: MailId
    at: datetime
    summary: Summary


@dataclass(frozen=True, slots=True)
class Records:
    """Lists without twins, ordered by name, so that several writers never lock each other out.

    ``fates`` has the step of each recipient that counts most. Mails of ``closing``
    may have come to their end with this, mails of ``opening`` may have left it.
    """

    accounts: tuple[Account, ...] = ()
    steps: tuple[Step, ...] = ()
    fates: tuple[Step, ...] = ()
    closing: tuple[MailId, ...] = ()
    opening: tuple[MailId, ...] = ()


def record(events: Iterable[MailTraced]) -> Records:
    """Return what ``events`` add to the books."""
    accounts: dict[MailId, Account] = {}
    steps: dict[tuple[str, str, str, str], Step] = {}
    fates: dict[tuple[str, str], Step] = {}
    closing: set[MailId] = set()
    opening: set[MailId] = set()
    for event in events:
        if event.summary is not None:
            accounts.setdefault(event.mail, Account(event.mail, event.at, event.summary))
            closing.add(event.mail)
        for step in steps_of(event):
            steps.setdefault(step.name, step)
            key = (step.mail, step.recipient)
            if key not in fates or outdoes(step, fates[key]):
                fates[key] = step
            if step.stage.is_final:
                closing.add(step.mail)
            elif step.stage is Stage.ACCEPTED and event.summary is None:
                opening.add(step.mail)
    return Records(
        tuple(accounts[mail] for mail in sorted(accounts)),
        tuple(steps[name] for name in sorted(steps)),
        tuple(fates[key] for key in sorted(fates)),
        tuple(sorted(closing)),
        tuple(sorted(opening)),
    )


def steps_of(event: MailTraced) -> Iterable[Step]:
    """Yield the entries that ``event`` makes in the timeline."""
    mail, cause, at = event.mail, event.cause, event.at
    for trace in event.traces:
        detail = printable(trace.detail)
        yield Step(mail, str(trace.recipient), trace.stage, cause, at, detail, trace.reply)
