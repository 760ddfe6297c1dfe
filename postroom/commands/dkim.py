"""`postroom dkim`: the keys that sign the mail of our domains."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from postroom.client import Item, auth, given
from postroom.errors import RefusedError
from postroom.resource import Resource
from postroom.show import AsJson, moment, show_json

app = App(name="dkim")


def of(domain: str) -> Resource:
    """Return the keys of a domain."""
    columns = {
        "selector": "SELECTOR",
        "algorithm": "ALGORITHM",
        "bits": "BITS",
        "state": "STATE",
        "created_at": "MADE",
    }
    return Resource(("v1/domains", domain, "dkim"), columns, _spoken)


@app.command
async def new(
    domain: str,
    *,
    algorithm: Literal["rsa", "ed25519"] | None = None,
    bits: Literal[2048, 3072, 4096] | None = None,
    selector: str | None = None,
    private_key: Path | None = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print the record to publish in DNS. It signs once it is activated.

    Parameters
    ----------
    domain
        A domain of ours.
    algorithm
        `rsa`, which everybody can check, or `ed25519`, beside it.
    bits
        Of an RSA key.
    selector
        The key's name in DNS; else the year and a letter.
    private_key
        A file in PEM with a key to use instead of making one.

    """
    body = given(algorithm=algorithm, bits=bits, selector=selector)
    body |= {"private_key": _pem(private_key)} if private_key else {}
    async with auth() as api:
        key = await api.post("v1/domains", domain, "dkim", body=body)
    if as_json:
        show_json(key)
        return
    for line in _instructions(key):
        print(line)


@app.command(name="list")
async def list_(domain: str, *, as_json: AsJson = False) -> None:
    """List the keys of a domain."""
    await of(domain).every(as_json=as_json)


@app.command
async def show(domain: str, selector: str, *, as_json: AsJson = False) -> None:
    """Show a key, and the record that DNS has to have."""
    async with auth() as api:
        key = await api.get("v1/domains", domain, "dkim", selector)
    if as_json:
        show_json(key)
        return
    print(f"{key['selector']} ({key['algorithm']}, {key['bits']} bits) is {key['state']}\n")
    for line in zone_lines(key):
        print(line)


@app.command
async def check(domain: str, selector: str) -> None:
    """Ask DNS, as auth sees it, whether it has the record of a key."""
    await _check(domain, selector)
    print(f"DNS has the record of {selector}")


@app.command
async def activate(
    domain: str,
    selector: str,
    *,
    force: Annotated[bool, Parameter(negative="")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a key sign, if DNS has its record. The one of its algorithm that did so is retired.

    Parameters
    ----------
    domain
        A domain of ours.
    selector
        The key.
    force
        Whether or not DNS has its record.

    """
    if not force:
        await _check(domain, selector)
    await of(domain).change(selector, changes={"state": "active"}, as_json=as_json)


@app.command
async def retire(domain: str, selector: str, *, as_json: AsJson = False) -> None:
    """Let a key sign no more. Leave its record in DNS for some days: mail is on its way."""
    await of(domain).change(selector, changes={"state": "retired"}, as_json=as_json)


@app.command
async def remove(domain: str, selector: str) -> None:
    """Remove a key that is prepared or retired, for good."""
    await of(domain).remove(selector)


def zone_lines(key: Item) -> Iterator[str]:
    """Yield the record of a key as a zone file has it (RFC 1035 §5.1)."""
    record = key["record"]
    yield f"{record['name']}. IN TXT ("
    yield from (f'    "{string}"' for string in record["strings"])
    yield ")"


def _instructions(key: Item) -> Iterator[str]:
    selector, domain = key["selector"], key["domain"]
    yield f"{selector} is {key['state']}. Publish this record:\n"
    yield from zone_lines(key)
    yield f"\nOnce DNS has it: postroom dkim activate {domain} {selector}"


def _pem(file: Path) -> str:
    return file.read_text(encoding="ascii")


async def _check(domain: str, selector: str) -> None:
    async with auth() as api:
        answer = await api.get("v1/domains", domain, "dkim", selector, "published")
    if not answer["published"]:
        raise RefusedError(f"{selector} of {domain} is not published: {answer['why']}")


def _spoken(key: Item) -> Item:
    record = key["record"]["text"]
    return {**key, "created_at": moment(key["created_at"]), "record": record}
