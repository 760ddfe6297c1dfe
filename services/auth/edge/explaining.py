"""``/v1/explain``: the relay decision, taken for show, with the facts and every rule's word."""

from dataclasses import asdict, fields
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, BeforeValidator, Field

from kernel.model.questions import RelayQuestion
from services.auth.core.fingerprints import parse_fingerprint
from services.auth.core.lan import Client, parse_client
from services.auth.core.relay import Decision, Facts, Standing, decide, explain
from services.auth.desk import Caller, Desk
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.fields import Body, Item, MailAddress, Moment
from services.auth.edge.problems import invalid
from services.auth.relaying import Relaying

router = APIRouter(prefix="/v1/explain", tags=["explain"])
SILENT = "silent"
_SETTINGS = (
    "require_auth",
    "own_addresses_only",
    "collection_grants",
    "relay_outside_lan",
    "relay_nonlocal_senders",
    "reject_local_sender_spoof",
    "reject_local_helo_spoof",
    "client_certificates",
)
"""What the rules look at of a listener, beside the patterns, whose verdicts are facts."""


def _null_sender(value: object) -> object:
    return None if value in ("", "<>") else value


def _fingerprint(text: str) -> str:
    return parse_fingerprint(text) if text else ""


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
    certificate: Annotated[str, AfterValidator(_fingerprint)] = Field(
        default="", description="The fingerprint (SHA-256) of the client's certificate, if any."
    )


class RuleVerdict(Item):
    """What one rule says by itself."""

    rule: str
    verdict: str = Field(description=f"Its reply, or `{SILENT}` if it has nothing to say.")


class HeldGrant(Item):
    """A grant of the client's address: until then its user may send from there."""

    login: str
    until: Moment


class Explanation(Item):
    """The decision and its reasons. The first rule that is not silent decides."""

    reply: str
    rule: str
    submitter: str = Field(description="The login under which the mail would count.")
    stranger: bool = Field(description="Whether nothing tells who the client is.")
    facts: dict[str, bool | str]
    rules: list[RuleVerdict]
    grants: list[HeldGrant] = Field(
        description="Who has collected mail from there lately, whether the listener counts it or "
        "not."
    )
    grants_refused: str = Field(
        description="Why collecting mail from there never opens a grant; empty if it does."
    )


@router.post("")
async def explain_decision(
    _: Annotated[Caller, may("explain")], desk: AtDesk, question: ExplainQuestion
) -> Explanation:
    """Say what would be answered, and why, by the rules, users and grants of this moment."""
    client = parse_client(question.client)
    if client is None:
        raise invalid("client", f"{question.client!r} is no IP address")
    relaying = desk.relaying.afresh()
    facts = await _facts(desk, relaying, question)
    return await _explanation(relaying, client, facts)


async def _explanation(relaying: Relaying, client: Client, facts: Facts) -> Explanation:
    held, refusal = await relaying.grants_of(client)
    decision = decide(facts)
    return Explanation(
        reply=str(decision.reply),
        rule=decision.rule,
        submitter=decision.submitter,
        stranger=facts.is_stranger,
        facts=_shown(facts),
        rules=[RuleVerdict(rule=rule, verdict=_said(said)) for rule, said in explain(facts)],
        grants=[HeldGrant(login=grant.login, until=grant.until) for grant in held],
        grants_refused=refusal or "",
    )


async def _facts(desk: Desk, relaying: Relaying, question: ExplainQuestion) -> Facts:
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
        certificate=question.certificate,
    )
    (facts,) = await relaying.gather([asked])
    if facts is None:
        raise invalid("listener", f"there is no listener {question.listener}")
    return facts


def _shown(facts: Facts) -> dict[str, bool | str]:
    """Return the facts by name; those about a user stand as ``user_login`` and so on."""
    shown = {f"listener_{name}": getattr(facts.listener, name) for name in _SETTINGS}
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
