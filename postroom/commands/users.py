"""`postroom user`: who has a mailbox and may log in."""

import sys
from getpass import getpass

from cyclopts import App

from postroom.client import Item, auth
from postroom.settings import CommandSettings, secrets_folder
from postroom.show import AsJson, show

app = App(name="user")

COLUMNS = {
    "login": "LOGIN",
    "address": "ADDRESS",
    "full_name": "NAME",
    "may_relay": "RELAY",
    "administrator": "ADMIN",
    "disabled": "DISABLED",
}


@app.command
async def add(
    address: str,
    *,
    password: str = "",
    login: str = "",
    name: str = "",
    relay: bool = True,
    administrator: bool = False,
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

    """
    body: Item = {
        "address": address,
        "password": password or _ask_password(),
        "full_name": name,
        "may_relay": relay,
        "administrator": administrator,
    }
    if login:
        body["login"] = login
    async with auth() as api:
        user = await api.post("v1/users", body=body)
    show([user], COLUMNS, as_json=as_json)


@app.command(name="list")
async def list_(*, as_json: AsJson = False) -> None:
    """List all users."""
    async with auth() as api:
        show(await api.every("v1/users"), COLUMNS, as_json=as_json)


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
    async with auth() as api:
        user = await api.patch("v1/users", login, body={"password": password})
    _remember_our_own(str(user.get("login", login)), password)
    print(f"{login} has a new password")


@app.command
async def disable(login: str) -> None:
    """Let a user neither log in nor send."""
    async with auth() as api:
        await api.patch("v1/users", login, body={"disabled": True})
    print(f"{login} is disabled")


@app.command
async def enable(login: str) -> None:
    """Undo `disable`."""
    async with auth() as api:
        await api.patch("v1/users", login, body={"disabled": False})
    print(f"{login} is enabled")


@app.command
async def remove(login: str) -> None:
    """Remove a user. The mailbox stays on disk."""
    async with auth() as api:
        await api.delete("v1/users", login)
    print(f"{login} is removed")


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
