"""`postroom explain`: the relay decision on trial, with the rule that spoke."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from cyclopts import Parameter

from postroom.client import Item, auth
from postroom.show import AsJson, moment, plain, say, show_json, table

OPEN_RELAY = "open-relay"
SILENT = "silent"


async def explain(
    *,
    client: str,
    sender: Annotated[str, Parameter(name="--from")],
    recipient: Annotated[str, Parameter(name="--to")],
    listener: str = "mx",
    helo: str = "",
    user: Annotated[str, Parameter(name=("--user", "--login"))] = "",
    certificate: str = "",
    as_json: AsJson = False,
) -> None:
    """Say whether a client may send a mail, and which rule says so.

    Parameters
    ----------
    client
        The client's IP address.
    sender
        The address in MAIL FROM; empty for the null sender.
    recipient
        The address in RCPT TO.
    listener
        Where the client connects: mx, submission or submissions.
    helo
        The name it says in EHLO.
    user
        The login name, once it has logged in.
    certificate
        The fingerprint (SHA-256) of the client's certificate, if it has shown one.

    """
    question = {
        "listener": listener,
        "client": client,
        "helo": helo,
        "sender": sender or None,
        "recipient": recipient,
        "login": user,
        "certificate": certificate,
    }
    async with auth() as api:
        answer = await api.post("v1/explain", body=question)
    if as_json:
        show_json(answer)
        return
    for line in lines_of(answer):
        say(line, alarm=answer["rule"] == OPEN_RELAY and line == answer["reply"])


def lines_of(answer: Item) -> Iterator[str]:
    """Yield the explanation as people read it."""
    yield plain(answer["reply"])
    yield f"rule: {plain(answer['rule'])}"
    yield f"counts for: {plain(answer['submitter'])}"
    for grant in answer["grants"]:
        yield f"grant: {plain(grant['login'])}, until {moment(grant['until'])}"
    if answer["grants_refused"]:
        yield f"no grants: {plain(answer['grants_refused'])}"
    yield ""
    facts = [[name, plain(value)] for name, value in answer["facts"].items()]
    yield from table(["FACT", "VALUE"], facts)
    yield ""
    yield from table(["RULE", "SAYS BY ITSELF"], _verdicts(answer["rules"]))


def _verdicts(rules: Sequence[Item]) -> list[list[str]]:
    """Return what each rule says; the first that says anything decides."""
    first = next((rule["rule"] for rule in rules if rule["verdict"] != SILENT), "")
    return [
        [plain(rule["rule"]), plain(rule["verdict"]) + " <- decides" * (rule["rule"] == first)]
        for rule in rules
    ]
