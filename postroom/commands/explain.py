"""`postroom explain`: the relay decision on trial, with the rule that spoke."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from cyclopts import Parameter

from postroom.client import Item, auth, ingress
from postroom.errors import RefusedError, UnreachableError
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
    """Say whether a client may send a mail, which rule says so, and what ingress makes of it.

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
    answer["ingress"] = await _outlook(question, answer)
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
    yield ""
    yield from _ingress_lines(answer["ingress"])


async def _outlook(question: Item, answer: Item) -> Item:
    """Return the checks and limits that ingress has; or why it could not be asked."""
    visit = {name: question[name] or "" for name in ("listener", "client", "recipient", "helo")}
    visit |= {"sender": question["sender"] or "", "stranger": answer["stranger"]}
    try:
        async with ingress() as api:
            visit["login"] = answer["submitter"]
            return await api.post("internal/explain-checks", body=visit)
    except (RefusedError, UnreachableError) as error:
        return {"why_not": str(error)}


def _ingress_lines(outlook: Item) -> Iterator[str]:
    if "why_not" in outlook:
        yield f"checks and limits are not known: {outlook['why_not']}"
        return
    if outlook["checks"]:
        checks = [
            [
                check["check"],
                plain(check["outcome"]),
                plain(check["reply"] or "-"),
                f"{check['seconds']:.3f} s",
                "451" if check["closed"] else "goes on",
            ]
            for check in outlook["checks"]
        ]
        yield from table(["CHECK", "FINDS", "REPLY", "AFTER", "IF SILENT"], checks)
    else:
        yield "nothing is checked"
    yield ""
    limits = [[one["limit"], f"{one['used']:g}", one["most"]] for one in outlook["limits"]]
    yield from table(["LIMIT", "USED", "OF"], limits)


def _verdicts(rules: Sequence[Item]) -> list[list[str]]:
    """Return what each rule says; the first that says anything decides."""
    first = next((rule["rule"] for rule in rules if rule["verdict"] != SILENT), "")
    return [
        [plain(rule["rule"]), plain(rule["verdict"]) + " <- decides" * (rule["rule"] == first)]
        for rule in rules
    ]
