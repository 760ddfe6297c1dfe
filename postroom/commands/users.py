"""`postroom user`: who has a mailbox and may log in."""

import sys
from getpass import getpass

from cyclopts import App

from postroom.client import Item, auth, given
from postroom.resource import Resource
from postroom.settings import CommandSettings, secrets_folder
from postroom.show import AsJson, Words
from postroom.values import octets

app = App(name="user")

USERS = Resource(
    ("v1/users",),
    {
        "login": "LOGIN",
        "address": "ADDRESS",
        "full_name": "NAME",
        "may_relay": "RELAY",
        "administrator": "ADMIN",
        "disabled": "DISABLED",
    },
)


@app.command
async def add(
    address: str,
    *,
    password: str = "",
    login: str = "",
    name: str = "",
    relay: bool = True,
    administrator: bool = False,
    send_as: Words = (),
    quota: str = "",
    as_json: AsJson = False,
) -> None:
    """Add a user.

    Parameters
    ----------
    address
        The user's mail address, in one of our domains.
    password
        Asked for if not given.
    login
        The name to log in with; the address if not given.
    name
        The user's full name.
    relay
        Whether the user may send to other servers.
    administrator
        Whether the user may use this command and the API.
    send_as
        Pattern of further senders that the user may use; may be given more than once.
    quota
        How much the mailbox may hold, such as `500MiB`.

    """
    body: Item = {
        "address": address,
        "password": password or _ask_password(),
        "full_name": name,
        "may_relay": relay,
        "administrator": administrator,
    }
    body |= {"login": login} if login else {}
    body |= {"send_as": list(send_as)} if send_as else {}
    body |= {"quota": octets(quota)} if quota else {}
    await USERS.add(body, as_json=as_json)


@app.command(name="list")
async def list_(
    *,
    search: str = "",
    domain: str = "",
    relay: bool | None = None,
    administrator: bool | None = None,
    disabled: bool | None = None,
    as_json: AsJson = False,
) -> None:
    """List the users.

    Parameters
    ----------
    search
        Only those with this in login, address or name.
    domain
        Only those with an address in this domain.
    relay
        Only those who may send to other servers.
    administrator
        Only administrators.
    disabled
        Only those who are disabled.

    """
    await USERS.every(
        q=search,
        domain=domain,
        may_relay=relay,
        administrator=administrator,
        disabled=disabled,
        as_json=as_json,
    )


@app.command
async def show(login: str, *, as_json: AsJson = False) -> None:
    """Show a user, found by login name or address."""
    await USERS.show(login, as_json=as_json)


@app.command
async def change(
    login: str,
    *,
    name: str | None = None,
    relay: bool | None = None,
    administrator: bool | None = None,
    send_as: Words = (),
    not_send_as: Words = (),
    quota: str = "",
    as_json: AsJson = False,
) -> None:
    """Change a user.

    Parameters
    ----------
    login
        The user's login name or address.
    name
        The user's full name.
    relay
        Whether the user may send to other servers.
    administrator
        Whether the user may use this command and the API.
    send_as
        One more pattern of senders that the user may use; may be given more than once.
    not_send_as
        A pattern to take away again.
    quota
        How much the mailbox may hold, such as `500MiB`; `none` for as much as comes.

    """
    changes = given(full_name=name, may_relay=relay, administrator=administrator)
    changes |= {"quota": octets(quota)} if quota else {}
    edits = {"send_as": (send_as, not_send_as)}
    await USERS.change(login, changes=changes, edits=edits, as_json=as_json)


@app.command
async def passwd(login: str, *, password: str = "") -> None:
    """Give a user a new password.

    Parameters
    ----------
    login
        The user's login name or address.
    password
        Asked for if not given.

    """
    password = password or _ask_password()
    user = await _change(login, password=password)
    _remember_our_own(str(user.get("login", login)), password)
    print(f"{login} has a new password")


@app.command
async def disable(login: str) -> None:
    """Let a user neither log in nor send."""
    await _change(login, disabled=True)
    print(f"{login} is disabled")


@app.command
async def enable(login: str) -> None:
    """Undo `disable`."""
    await _change(login, disabled=False)
    print(f"{login} is enabled")


@app.command
async def remove(login: str) -> None:
    """Remove a user. The mailbox stays on disk."""
    await USERS.remove(login)


async def _change(login: str, **changes: object) -> Item:
    async with auth() as api:
        return await api.patch("v1/users", login, body=changes)


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass("Password: ")
    if getpass("Again: ") != password:
        raise ValueError("the two passwords differ")
    return password


def _remember_our_own(login: str, password: str) -> None:
    """Keep the administrator's credential next to the server true."""
    settings = CommandSettings()
    file = secrets_folder(settings.var) / "postroom_admin_password"
    if login == settings.admin_login and file.exists():
        file.write_text(password)
