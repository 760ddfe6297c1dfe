"""`postroom explain`: the relay decision on trial, with the rule that spoke."""

from typing import Annotated

from cyclopts import Parameter

from postroom.client import Item, auth
from postroom.show import AsJson, plain, show_json, table


async def explain(
    *,
    client: str,
    sender: Annotated[str, Parameter(name="--from")],
    recipient: Annotated[str, Parameter(name="--to")],
    listener: str = "mx",
    helo: str = "",
    user: str = "",
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

    """
    question = {
        "listener": listener,
        "client": client,
        "helo": helo,
        "sender": sender or None,
        "recipient": recipient,
        "login": user,
    }
    async with auth() as api:
        answer = await api.post("v1/explain", body=question)
    if as_json:
        show_json(answer)
        return
    for line in lines_of(answer):
        print(line)


def lines_of(answer: Item) -> list[str]:
    """Return the explanation as people read it."""
    rules = [[plain(r["rule"]), plain(r["verdict"])] for r in answer.get("rules", [])]
    facts = [[name, plain(value)] for name, value in answer.get("facts", {}).items()]
    return [
        plain(answer["reply"]),
        f"rule: {plain(answer['rule'])}",
        f"counts for: {plain(answer.get('submitter'))}",
        "",
        *table(["FACT", "VALUE"], facts),
        "",
        *table(["RULE", "VERDICT"], rules),
    ]
