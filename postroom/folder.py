"""The folder of an installation on one machine: its secrets, and how its server is reached."""

import json
import os
import secrets
from pathlib import Path

from postroom.settings import SERVER_FILE, ServeSettings, secrets_folder

SECRET_OCTETS = 24
MADE_UP = ("postroom_service_token", "postroom_auth_secret_key")


def prepare(settings: ServeSettings) -> str:
    """Make the folder and its secrets; return the administrator's password if we made it up.

    Whatever this process makes from now on is for the owner alone, also in a folder
    that somebody has made for all to see.
    """
    os.umask(0o077)
    settings.var.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = secrets_folder(settings.var)
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in MADE_UP:
        keep(folder / name, secrets.token_urlsafe(SECRET_OCTETS))
    given = settings.admin_password
    password = given.get_secret_value() if given else secrets.token_urlsafe(SECRET_OCTETS)
    is_new = keep(folder / "postroom_admin_password", password)
    return "" if given or not is_new else password


def keep(file: Path, secret: str) -> bool:
    """Write ``secret`` to ``file`` unless there is one already; whether there was none.

    Of several processes that try at once one wins, and nobody sees half a secret.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secret)
    try:
        os.link(draft, file)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def note_server(var: Path, **facts: object) -> None:
    """Write down for the command how the server in ``var`` is reached: fields of its settings."""
    draft = var / f".{SERVER_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(facts))
    draft.replace(var / SERVER_FILE)
