"""``/v1/explain``: the relay decision, taken for show, with the facts and every rule's word."""

from dataclasses import asdict, fields
from typing import Annotated

from fastapi import APIRouter
from pydantic import BeforeValidator, Field

from kernel.model.questions import RelayQuestion
from services.auth.core.lan import parse_client
from services.auth.core.relay import Decision, Facts, Standing, decide, explain
from services.auth.edge.credentials import Administrator, AtDesk
from services.auth.edge.fields import Body, Item, MailAddress
from services.auth.edge.problems import invalid

router = APIRouter(prefix="/v1/explain", tags=["explain"])
SILENT = "silent"


def _null_sender(value: object) -> object:
    return None if value in ("", "<>") else value


class ExplainQuestion(Body):
    """One RCPT TO, as it might come."""

    listener: str
    client: str = Field(description="The client's IP address.")
    helo: str = ""
    sender: Annotated[MailAddress | None, BeforeValidator(_null_sender)] = Field(
        description="MAIL FROM; null, empty or `<>` for the null sender."
    )
    recipient: MailAddress
    login: str = Field(default="", description="Who has logged in, if anybody.")


class RuleVerdict(Item):
    """What one rule says by itself."""

    rule: str
    verdict: str = Field(description=f"Its reply, or `{SILENT}` if it has nothing to say.")


class Explanation(Item):
    """The decision and its reasons. The first rule that is not silent decides."""

    reply: str
    rule: str
    submitter: str = Field(description="The login under which the mail would count.")
    facts: dict[str, bool | str]
    rules: list[RuleVerdict]


@router.post("")
async def explain_decision(
    _: Administrator, desk: AtDesk, question: ExplainQuestion
) -> Explanation:
    """Say what would be answered, and why."""
    facts = await _facts(desk, question)
    decision = decide(facts)
    return Explanation(
        reply=str(decision.reply),
        rule=decision.rule,
        submitter=decision.submitter,
        facts=_shown(facts),
        rules=[RuleVerdict(rule=rule, verdict=_said(said)) for rule, said in explain(facts)],
    )


async def _facts(desk: AtDesk, question: ExplainQuestion) -> Facts:
    if parse_client(question.client) is None:
        raise invalid("client", f"{question.client!r} is no IP address")
    login = ""
    if question.login:
        user = await desk.logins.find(question.login)
        if user is None:
            raise invalid("login", f"there is no user {question.login}")
        login = user.login
    asked = RelayQuestion(
        question.listener,
        question.client,
        question.helo,
        question.sender,
        question.recipient,
        login,
    )
    (facts,) = await desk.relaying.gather([asked])
    if facts is None:
        raise invalid("listener", f"there is no listener {question.listener}")
    return facts


def _shown(facts: Facts) -> dict[str, bool | str]:
    """Return the facts by name; those about a user stand as ``user_login`` and so on."""
    shown: dict[str, bool | str] = {}
    for field in fields(facts):
        value = getattr(facts, field.name)
        if isinstance(value, Standing):
            shown |= {f"{field.name}_{name}": said for name, said in asdict(value).items()}
        elif field.name != "listener":
            shown[field.name] = value
    return shown


def _said(decision: Decision | None) -> str:
    if decision is None:
        return SILENT
    return f"{decision.rule}: {decision.reply}"
