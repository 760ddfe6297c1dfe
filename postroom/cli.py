"""The command's entrance: finds the subcommand, and turns what goes wrong into words.

Exit codes: 0 fine, 1 refused, 2 not understood, 3 no answer from the server (later there
may be one), 4 no such thing.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from cyclopts import App, CycloptsError
from pydantic import ValidationError

from postroom.errors import NotFoundError, RefusedError, UnreachableError

FINE, REFUSED, USAGE, UNREACHABLE, NOT_FOUND, INTERRUPTED = 0, 1, 2, 3, 4, 130
CODES = {
    NotFoundError: NOT_FOUND,
    RefusedError: REFUSED,
    UnreachableError: UNREACHABLE,
    ValueError: USAGE,
}

COMMANDS = {
    "serve": ("postroom.serve:serve", "Run the services in this process."),
    "migrate": ("postroom.commands.migrate:migrate", "Bring the database's tables up to date."),
    "user": ("postroom.commands.users:app", "Users: who has a mailbox and may log in."),
    "apppassword": ("postroom.commands.apppasswords:app", "Passwords for one program each."),
    "import": ("postroom.commands.import_:import_", "Take users over from another server."),
    "domain": ("postroom.commands.domains:app", "Domains whose mail is ours."),
    "dns": ("postroom.commands.dns:app", "What DNS should say of a domain, and says."),
    "alias": ("postroom.commands.aliases:app", "Addresses that stand for others."),
    "network": ("postroom.commands.networks:app", "Networks of the LAN, whose machines may relay."),
    "listener": ("postroom.commands.listeners:app", "Listeners, and what each allows."),
    "list": ("postroom.commands.lists:app", "The black list and the white list."),
    "route": ("postroom.commands.routes:app", "Ways of mail that leaves us: smart hosts."),
    "dkim": ("postroom.commands.dkim:app", "Keys that sign the mail of our domains."),
    "grant": ("postroom.commands.grants:app", "Who may relay after collecting mail."),
    "lockout": ("postroom.commands.lockouts:app", "Who is shut out after failed logins."),
    "apikey": ("postroom.commands.apikeys:app", "Keys to the API, for programs."),
    "audit": ("postroom.commands.audit:audit", "Say who changed what, and when."),
    "explain": ("postroom.commands.explain:explain", "Say who may send what to whom, and why."),
    "selftest": ("postroom.commands.selftest:selftest", "Find out whether strangers can relay."),
    "send": ("postroom.commands.send:send", "Send a test message."),
    "mails": ("postroom.commands.mails:mails", "Messages that came in, newest first."),
    "trace": ("postroom.commands.trace:trace", "Tell the story of a message."),
    "queue": ("postroom.commands.queue:app", "Mail that waits, and why."),
    "queues": ("postroom.commands.status:queues", "Work on the bus."),
    "parked": ("postroom.commands.parked:app", "Events that nobody could handle."),
    "status": ("postroom.commands.status:status", "Say whether everything works."),
}

AT_HOME = frozenset({"serve", "migrate"})
"""Commands that need the services or the tables at hand."""

OPTIONS = {
    "address": "ADDRESS",
    "targets": "TARGET",
    "cidr": "NETWORK",
    "name": "NAME",
    "pattern": "PATTERN",
    "full_name": "--name",
    "may_relay": "--relay",
    "purposes": "--purpose",
    "scopes": "--scope",
    "expires_at": "--expires",
    "sender": "--from",
    "recipient": "--to",
}
"""How the command calls a field of the API, where that is not `--the-field`."""

HELP = """Postroom, a mail system.

Exit codes: 0 fine, 1 refused, 2 not understood, 3 no answer now (later maybe), 4 no such thing.
"""


def main() -> None:
    """Run the `postroom` command."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Do what ``words`` say; return the exit code."""
    try:
        result = build()(words, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return USAGE  # cyclopts has said why
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _hush()
    except (RefusedError, UnreachableError, ValueError, OSError) as error:
        return _complain(error)
    return result if isinstance(result, int) else FINE


def build() -> App:
    """Return the command with its subcommands, each imported when it is called.

    Where it is alone, as in its own container, there is nothing to serve and no database.
    """
    app = App(name="postroom", help=HELP, version=_version)
    is_alone = not all(map(find_spec, ("migrations", "sqlalchemy")))
    for name, (place, purpose) in COMMANDS.items():
        if not (is_alone and name in AT_HOME):
            app.command(place, name=name, help=purpose)
    return app


def _version() -> str:
    try:
        return version("postroom")
    except PackageNotFoundError:
        return "not installed: run from its sources"


def _complain(error: Exception) -> int:
    print(f"postroom: {_words(error)}", file=sys.stderr)
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), REFUSED)


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        return "; ".join(faults)
    if isinstance(error, RefusedError) and error.field:
        option = OPTIONS.get(error.field) or f"--{error.field.replace('_', '-')}"
        return f"{option}: {error}"
    return str(error)


def _hush() -> int:
    """Nobody reads us any more: keep Python from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FINE
