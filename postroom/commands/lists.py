"""`postroom list`: the black list of whom we take no mail from, and the white one of exceptions."""

from typing import Literal

from cyclopts import App

from postroom.resource import Resource
from postroom.show import AsJson

app = App(name="list")

COLUMNS = {"subject": "SUBJECT", "pattern": "PATTERN"}
Subject = Literal["client", "sender", "recipient"]


def list_of(colour: str) -> App:
    """Return the commands of one list."""
    entries = Resource(("v1/lists", colour), COLUMNS)
    commands = App(name=colour, help=f"The {colour} list.")

    @commands.command
    async def add(subject: Subject, pattern: str, *, as_json: AsJson = False) -> None:
        """Add an entry.

        Parameters
        ----------
        subject
            What it is about.
        pattern
            A network for clients; `ann@example.org`, `example.org` or `*.example.org` else.

        """
        await entries.add({"subject": subject, "pattern": pattern}, as_json=as_json)

    @commands.command
    async def show(*, subject: Subject | None = None, as_json: AsJson = False) -> None:
        """Show the list.

        Parameters
        ----------
        subject
            Only entries about this.

        """
        await entries.every(subject=subject, as_json=as_json)

    @commands.command
    async def remove(subject: Subject, pattern: str) -> None:
        """Remove an entry."""
        await entries.remove(subject, pattern)

    return commands


app.command(list_of("black"))
app.command(list_of("white"))
