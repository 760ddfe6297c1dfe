"""Private brokers for the tests: a RabbitMQ and a PostgreSQL that nobody else sees.

Debian's packages are used, and installed where they are missing. The servers run as
their own users, on free ports, with their data in a temporary folder; the system's
own services are neither started nor touched. Standard library only.
"""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.support.ports import answers, free_port

RABBITMQ_BIN = Path("/usr/lib/rabbitmq/bin")
POSTGRES_BINS = Path("/usr/lib/postgresql")
PACKAGES = ("rabbitmq-server", "postgresql")

_POLICY = Path("/usr/sbin/policy-rc.d")  # asked by Debian's packages before they start a service
_INSTALL_LOCK = Path(tempfile.gettempdir()) / "postroom-tests-install.lock"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_START_TIMEOUT = 90.0
_STOP_TIMEOUT = 15.0


S = TypeVar("S", bound="Server")


class BrokerError(Exception):
    """A broker cannot be had here; the text says why, and what helps."""


@dataclass(frozen=True)
class Stack:
    """Where the private brokers listen."""

    amqp_url: str
    database_url: str


@contextmanager
def private_stack(*, durable: bool = False) -> Iterator[Stack]:
    """Yield a RabbitMQ and a PostgreSQL of our own; both are gone afterwards.

    Unless ``durable``, PostgreSQL does without fsync: a test does not pull the plug.
    """
    install_missing()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(_temporary_folder()))
        amqp_port, database_port = free_port(), free_port()
        rabbitmq = stack.enter_context(_rabbitmq(folder / "rabbitmq", amqp_port))
        postgres = stack.enter_context(
            _postgres(folder / "postgres", database_port, "on" if durable else "off")
        )
        postgres.wait_for(database_port)
        rabbitmq.wait_for(amqp_port)
        yield Stack(
            f"amqp://guest:guest@127.0.0.1:{amqp_port}/",
            f"postgresql+asyncpg://postgres@127.0.0.1:{database_port}/postgres",
        )


def install_missing() -> None:
    """Install the brokers that are not there."""
    found = zip(PACKAGES, (_has_rabbitmq, _has_postgres), strict=True)
    install(*(package for package, has in found if not has()), unless=_has_both)


def install(*packages: str, unless: Callable[[], bool] = lambda: False) -> None:
    """Install Debian's ``packages``; of several test runs at a time only one does it."""
    if not packages:
        return
    with _INSTALL_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if unless():
            return
        names = " ".join(packages)
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise BrokerError(f"the tests need {names}: install them (apt-get install {names})")
        _apt_install(list(packages))


def download(folder: Path, *packages: str) -> None:
    """Put Debian's ``packages`` into ``folder``, not installed."""
    with _INSTALL_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shutil.which("apt-get"):
            raise BrokerError(f"the tests need {' '.join(packages)}, from Debian's packages")
        _insist(["download", *packages], folder)


def _has_rabbitmq() -> bool:
    return (RABBITMQ_BIN / "rabbitmq-server").exists()


def _has_postgres() -> bool:
    return bool(list(POSTGRES_BINS.glob("*/bin/initdb")))


def _has_both() -> bool:
    return _has_rabbitmq() and _has_postgres()


def _apt_install(packages: list[str]) -> None:
    with _no_services_start():
        _insist(["install", "-y", "--no-install-recommends", *packages])


def _insist(words: list[str], folder: Path | None = None) -> None:
    """Let apt-get do it, with fresh lists of packages if it has to be."""
    done = _run_apt(words, folder)
    if done.returncode:
        _run_apt(["update"])
        done = _run_apt(words, folder)
    if done.returncode:
        last_words = (done.stdout.strip().splitlines() or ["nothing"])[-1]
        raise BrokerError(f"cannot {' '.join(words)}: apt-get said {last_words!r}")


def _run_apt(words: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", *words]
    print("+", *command, flush=True)  # noqa: T201 - this takes a while
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},  # noqa: TID251 - apt needs it whole
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@contextmanager
def _no_services_start() -> Iterator[None]:
    if _POLICY.exists():  # somebody has decided that already
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


@contextmanager
def _temporary_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="postroom-brokers-")
    Path(folder).chmod(0o711)  # the servers' users pass through
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """A process that runs as ``user`` (as ourselves if we are not root), in a group of its own."""

    def __init__(self, user: str, folder: Path, command: list[str], **env: str) -> None:
        self._log = folder / "output.log"
        self._name = Path(command[0]).name
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": _PATH, "HOME": str(folder), **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_user(user),
            )

    def wait_for(self, port: int) -> None:
        """Return once it answers on ``port``."""
        deadline = time.monotonic() + _START_TIMEOUT
        while not answers(port):
            if self._process.poll() is not None:
                raise BrokerError(f"{self._name} ended while starting: {self._last_words()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"{self._name} did not start in time: {self._last_words()}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals) -> None:
        """End it, and everything that it started."""
        self._signal(how)
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, how: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)

    def _last_words(self) -> str:
        return " / ".join(self._log.read_text(errors="replace").strip().splitlines()[-3:])


@contextmanager
def _running(server: S, how: signal.Signals = signal.SIGKILL) -> Iterator[S]:
    try:
        yield server
    finally:
        server.stop(how)


@dataclass(frozen=True)
class Broker:
    """A RabbitMQ of one test's own, which may be given trouble."""

    amqp_url: str
    server: "Rabbit"

    def control(self, *arguments: str) -> None:
        """Call ``rabbitmqctl``."""
        self.server.control(*arguments)


@contextmanager
def private_broker() -> Iterator[Broker]:
    """Yield a RabbitMQ that no other test uses."""
    install_missing()
    with _temporary_folder() as folder:
        port = free_port()
        with _rabbitmq(Path(folder) / "rabbitmq", port) as server:
            server.wait_for(port)
            yield Broker(f"amqp://guest:guest@127.0.0.1:{port}/", server)


class Rabbit(Server):
    """A RabbitMQ that can be given orders."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__("rabbitmq", folder, [str(RABBITMQ_BIN / "rabbitmq-server")], **env)
        self._folder = folder
        self._env = env

    def control(self, *arguments: str) -> None:
        done = subprocess.run(
            [RABBITMQ_BIN / "rabbitmqctl", *arguments],
            cwd=self._folder,
            env={"PATH": _PATH, "HOME": str(self._folder), **self._env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **as_user("rabbitmq"),
        )
        if done.returncode:
            raise BrokerError(f"rabbitmqctl {arguments[0]} failed: {done.stdout} {done.stderr}")


@contextmanager
def _rabbitmq(folder: Path, port: int) -> Iterator[Rabbit]:
    _make_folder(folder, "rabbitmq")
    epmd_port = free_port()
    (folder / "plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\n"
        "disk_free_limit.absolute = 50MB\n"
        "log.console = true\nlog.console.level = warning\nlog.file = false\n"
    )
    env = {
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"postroom-{port}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server, and ends with it
        "LANG": "C.UTF-8",
    }
    epmd = ["/usr/bin/epmd", "-port", str(epmd_port), "-address", "127.0.0.1"]
    with _running(Server("rabbitmq", folder, epmd)) as names:
        names.wait_for(epmd_port)
        with _running(Rabbit(folder, env)) as server:
            yield server


@contextmanager
def _postgres(folder: Path, port: int, fsync: str) -> Iterator[Server]:
    _make_folder(folder, "postgres")
    bin_ = max(POSTGRES_BINS.glob("*/bin"), key=lambda path: float(path.parent.name))
    data = folder / "data"
    made = subprocess.run(
        [bin_ / "initdb", "--no-sync", *f"-D {data} -U postgres -A trust -E UTF8".split()],
        env={"LC_ALL": "C.UTF-8"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **as_user("postgres"),
    )
    if made.returncode:
        raise BrokerError(f"initdb failed: {made.stderr.strip()}")
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
        "fsync": fsync,
        "max_connections": 200,
    }
    command = [str(bin_ / "postgres"), "-D", str(data)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with _running(Server("postgres", folder, command), signal.SIGINT) as server:
        yield server


def as_user(name: str) -> dict[str, object]:
    """Return the arguments of `subprocess.Popen` that run something as ``name``, if we may."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _make_folder(folder: Path, owner: str) -> None:
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, owner, owner)
