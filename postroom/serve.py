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
from postroom.settings import ServeSettings, fill_environment
from services.auth.settings import Settings as AuthSettings
from services.collect.settings import Settings as CollectSettings
from services.ingress.settings import Settings as IngressSettings
from services.ledger.settings import Settings as LedgerSettings

SERVICES = ("auth", "ledger", "router", "delivery", "ingress", "collect")
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
    fill_environment(settings.var, urls_of(AuthSettings().listen, LedgerSettings().listen))
    if password := prepare(settings):
        print(
            f"The administrator is `admin`; the password, not shown again: {password}", flush=True
        )
    services = [load(name) for name in names]
    platform = PlatformSettings()
    asyncio.run(migrate(platform))
    listeners = IngressSettings().listeners
    mx = reachable(listeners["mx"]) if "mx" in listeners else ""
    note_server(
        settings.var,
        auth_url=platform.auth_url,
        ledger_url=platform.ledger_url,
        ingress_url=f"http://{reachable(platform.health_listen)}" if platform.health_listen else "",
        smtp=mx,
        listeners=listeners,
    )
    run(*services, when_ready=partial(announce, names))


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


def urls_of(auth: str, ledger: str) -> dict[str, str]:
    """Return where services find each other, judged by where they listen."""
    return {
        "POSTROOM_AUTH_URL": f"http://{reachable(auth)}",
        "POSTROOM_LEDGER_URL": f"http://{reachable(ledger)}",
    }


def reachable(listen: str) -> str:
    """Return HOST:PORT to connect to, for a HOST:PORT to listen on."""
    host, port = host_and_port(listen)
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announce(names: tuple[str, ...]) -> None:
    """Tell people where we listen."""
    print("Postroom is ready.")
    for line in directions(names):
        print(f"  {line}")
    print("Ctrl-C stops it.", flush=True)


def directions(names: tuple[str, ...]) -> list[str]:
    """Return who listens where."""
    ingress, collect = IngressSettings(), CollectSettings()
    ways = {
        "ingress": (
            ("SMTP mx", ingress.listen_mx, ""),
            ("SMTP submission", ingress.listen_submission, "STARTTLS"),
            ("SMTP submissions", ingress.listen_submissions, "TLS"),
        ),
        "collect": (
            ("POP3", collect.listen_pop3, "STLS"),
            ("POP3S", collect.listen_pop3s, "TLS"),
        ),
        "auth": (("auth API", AuthSettings().listen, "HTTP"),),
        "ledger": (("ledger API", LedgerSettings().listen, "HTTP"),),
    }
    shown = [way for name, found in ways.items() if name in names for way in found if way[1]]
    return [f"{what:<18}{where}  {how}".rstrip() for what, where, how in shown]
