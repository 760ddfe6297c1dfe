"""``/v1/domains/{domain}/dns``: what DNS should say of a domain, what it says, what to publish."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from kernel.model.address import BadAddressError, parse_domain
from services.auth.adapters import dkim_keys, domains
from services.auth.core.dkim import strings_of
from services.auth.core.dnscheck import findings, is_in_order
from services.auth.core.survey import Finding, Record, State
from services.auth.desk import Caller
from services.auth.edge.credentials import AtDesk, may
from services.auth.edge.problems import not_found

router = APIRouter(prefix="/v1/domains/{domain}/dns", tags=["domains"])
Allowed = Annotated[Caller, may("domains")]
OfDomain = Annotated[str, Path(description="A domain of ours.")]


class RecordToPublish(BaseModel):
    """A record as a zone file has it; `strings` are its text in pieces that a TXT can hold."""

    name: str
    type: str
    text: str
    strings: list[str]


class FindingItem(BaseModel):
    """How one matter stands."""

    check: str
    state: State = Field(
        description="`missing` and `wrong` keep mail from flowing as it should; `advice` does not; "
        "`unknown`: DNS did not answer."
    )
    why: str
    found: list[str]
    publish: list[RecordToPublish]


class Checked(BaseModel):
    """How a domain stands in DNS."""

    domain: str
    hostname: str = Field(description="Our name, as we say it in EHLO.")
    addresses: list[str] = Field(description="The addresses from which our mail comes.")
    in_order: bool = Field(description="Whether nothing is missing or wrong, as far as is known.")
    findings: list[FindingItem]


@router.get("")
async def check_dns(_: Allowed, desk: AtDesk, domain: OfDomain) -> Checked:
    """Ask DNS about a domain of ours. It may take some seconds; nothing is remembered."""
    async with desk.database.reading() as db:
        name = _canonical(domain)
        if name not in await domains.every(db):
            raise not_found("domain", domain)
        keys = await dkim_keys.of_domain(db, name)
    survey = await desk.surveyor.survey(name, keys)
    found = findings(survey)
    return Checked(
        domain=name,
        hostname=survey.server.hostname,
        addresses=list(survey.server.addresses),
        in_order=is_in_order(found),
        findings=[_item(finding) for finding in found],
    )


def _canonical(text: str) -> str:
    try:
        return parse_domain(text)
    except BadAddressError:
        raise not_found("domain", text) from None


def _item(finding: Finding) -> FindingItem:
    return FindingItem(
        check=finding.check,
        state=finding.state,
        why=finding.why,
        found=list(finding.found),
        publish=[_record(record) for record in finding.publish],
    )


def _record(record: Record) -> RecordToPublish:
    strings = strings_of(record.text) if record.kind == "TXT" else []
    return RecordToPublish(name=record.name, type=record.kind, text=record.text, strings=strings)
