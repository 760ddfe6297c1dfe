"""`postroom serve`: all services in one process, their data in one folder.

It is a list of services and nothing else: each is the same `serve` function that
runs alone in a container.
"""

import asyncio
import importlib
from functools import partial

from kernel.platform import with_password
from kernel.runtime import Service, run
from kernel.settings import PlatformSettings, host_and_port
from postroom.errors import RefusedError
from postroom.folder import note_server, prepare
from postroom.settings import ListenSettings, ServeSettings, fill_environment

SERVICES = ("auth", "ledger", "router", "delivery", "ingress")
"""In the order in which they start: whoever is asked comes before those who ask."""


def serve(*, only: str = "") -> None:
    """Run the services in this process, until SIGTERM or Ctrl-C.

    Parameters
    ----------
    only
        The services to run, parted by commas; all if not given.

    """
    settings = ServeSettings()
    names = chosen(only or settings.services)
    listen = ListenSettings()
    fill_environment(settings.var, urls_of(listen))
    new_password = prepare(settings)
    services = [load(name) for name in names]
    platform = PlatformSettings()
    asyncio.run(migrate(platform))
    smtp = reachable(listen.ingress_mx_listen)
    note_server(settings.var, platform.auth_url, platform.ledger_url, smtp)
    run(*services, when_ready=partial(announce, names, listen, new_password))


def chosen(text: str) -> tuple[str, ...]:
    """Return the names of the services to run, in the order in which they start."""
    wanted = {name.strip() for name in text.split(",") if name.strip()} or set(SERVICES)
    if unknown := wanted - set(SERVICES):
        raise ValueError(
            f"there is no service {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}"
        )
    return tuple(name for name in SERVICES if name in wanted)


def load(name: str) -> Service:
    """Return a service with its settings, read from the environment."""
    try:
        main = importlib.import_module(f"services.{name}.main")
        settings = importlib.import_module(f"services.{name}.settings")
    except ModuleNotFoundError as error:
        raise RefusedError(f"{name} is not installed here: {error}") from error
    return Service(name, partial(main.serve, settings=settings.Settings()))


async def migrate(platform: PlatformSettings) -> None:
    """Bring the tables up to date."""
    from migrations.upgrade import upgrade  # noqa: PLC0415 - as lazy as `load`

    await upgrade(with_password(platform.database_url, platform.database_password))


def urls_of(listen: ListenSettings) -> dict[str, str]:
    """Return where services find each other, judged by where they listen."""
    return {
        "POSTROOM_AUTH_URL": f"http://{reachable(listen.auth_listen)}",
        "POSTROOM_LEDGER_URL": f"http://{reachable(listen.ledger_listen)}",
    }


def reachable(listen: str) -> str:
    """Return HOST:PORT to connect to, for a HOST:PORT to listen on."""
    host, port = host_and_port(listen)
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announce(names: tuple[str, ...], listen: ListenSettings, new_password: str) -> None:
    """Tell people where we listen, and a password that we made up."""
    print("Postroom is ready.", flush=True)
    for line in directions(names, listen):
        print(f"  {line}")
    if new_password:
        print("  The administrator is `admin`. This password is not shown again:")
        print(f"  {new_password}")
    print("Ctrl-C stops it.", flush=True)


def directions(names: tuple[str, ...], listen: ListenSettings) -> list[str]:
    """Return who listens where."""
    ways = {
        "ingress": (
            ("SMTP mx", listen.ingress_mx_listen, ""),
            ("SMTP submission", listen.ingress_submission_listen, "STARTTLS"),
            ("SMTP submissions", listen.ingress_submissions_listen, "TLS"),
        ),
        "auth": (("auth API", f"http://{listen.auth_listen}", ""),),
        "ledger": (("ledger API", f"http://{listen.ledger_listen}", ""),),
    }
    chosen_ways = [way for name, found in ways.items() if name in names for way in found]
    return [f"{what:<18}{where}  {how}".rstrip() for what, where, how in chosen_ways]
