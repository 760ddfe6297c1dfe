"""Makes the secrets of an installation in containers, and hands each container its own.

What is there already is kept, so this may run at every start. ``/vault`` is seen by
nobody else. Standard library only: it runs in the bare Python image.
"""

import os
import secrets
from pathlib import Path

VAULT = Path("/vault")
POSTROOM, WORLD = 10001, None
"""Who owns a file: the services' user, or whoever the volume is mounted for."""

NAMES = (
    "postroom_service_token",
    "postroom_bus_password",
    "postroom_database_password",
    "postroom_admin_password",
    "postroom_auth_secret_key",
)
FOLDERS = {
    Path("/secrets/mail"): NAMES[:2],
    Path("/secrets/store"): NAMES[:4],
    Path("/secrets/auth"): NAMES,
}
BROKER = Path("/secrets/broker/rabbitmq.conf")
DATABASE = Path("/secrets/database/password")


def main() -> None:
    """Make what is missing, and write every copy anew."""
    given = os.environ.get("POSTROOM_ADMIN_PASSWORD", "")
    is_new = not (VAULT / "postroom_admin_password").exists()
    kept = {name: secret(name, given if "admin" in name else "") for name in NAMES}
    for folder, names in FOLDERS.items():
        for name in names:
            write(folder / name, kept[name], POSTROOM)
        own(folder, POSTROOM, 0o500)
    bus = kept["postroom_bus_password"]
    write(BROKER, f"default_user = postroom\ndefault_pass = {bus}\nlog.console = true\n", WORLD)
    write(DATABASE, kept["postroom_database_password"], WORLD)
    if is_new:
        told = "as given" if given else kept["postroom_admin_password"]
        print(f"The administrator is `admin`; the password, not shown again: {told}", flush=True)


def secret(name: str, given: str) -> str:
    """Return the secret of that name: the one kept, the one given, or a new one."""
    file = VAULT / name
    if not file.exists():
        write(file, given or secrets.token_urlsafe(24), 0)
    return file.read_text()


def write(file: Path, text: str, owner: int | None) -> None:
    """Write a secret for ``owner`` alone, or for all who can see the volume."""
    draft = file.with_name(f".{file.name}")
    draft.write_text(text)
    own(draft, owner or 0, 0o444 if owner is WORLD else 0o400)
    draft.replace(file)


def own(path: Path, owner: int, mode: int) -> None:
    """Give ``path`` to ``owner``."""
    os.chown(path, owner, owner)
    path.chmod(mode)


if __name__ == "__main__":
    main()
