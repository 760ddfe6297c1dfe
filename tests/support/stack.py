"""A whole Postroom as an administrator starts it: real processes, real ports, real files.

`embedded` is one process on SQLite and files; `brokered` is one process for each service,
two delivery workers, RabbitMQ and PostgreSQL. Scenarios are the same on both.
"""

import base64
import json
import os
import signal
import smtplib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
DOMAIN = "ours.test"
PASSWORD = "a long enough password"
TOKEN = "the services' own credential"
SECRET_KEY = "a key that nobody guesses"
LAN_CLIENT, STRANGER = "127.0.0.1", "127.0.0.2"

_OUTER = dict(os.environ)  # noqa: TID251 - what the processes inherit

SERVICES = ("auth", "ledger", "router", "delivery", "ingress", "collect")
READY_WITHIN = 60


def wait_until(holds: Callable[[], Any], what: str, within: float = 30) -> Any:
    """Return the first true value of ``holds``; fail, naming ``what``, if none comes in time."""
    deadline = time.monotonic() + within
    while True:
        if value := holds():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(0.05)


@dataclass
class Program:
    """One process of the stack."""

    name: str
    argv: list[str]
    env: dict[str, str]
    log: Path
    process: subprocess.Popen | None = None

    @property
    def health(self) -> str:
        return f"http://{self.env['POSTROOM_HEALTH_LISTEN']}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=self.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, within: float = 40) -> int:
        return self.process.wait(within)

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(
                f"{self.name} ended with {self.process.returncode}:\n{self.tail()}"
            )
        try:
            with urllib.request.urlopen(f"{self.health}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


@dataclass
class Stack:
    """The processes, and how to talk to them."""

    folder: Path
    kind: str
    programs: dict[str, Program]
    ports: Mapping[str, int]
    env: Mapping[str, str]
    prepare: list[list[str]] = field(default_factory=list)

    def start(self) -> None:
        """Start everything that does not run, and return once it is ready."""
        for argv in self.prepare:
            subprocess.run(argv, env=dict(self.env), cwd=ROOT, check=True, timeout=60)
        for program in self.programs.values():
            if program.process is None or program.process.poll() is not None:
                program.start()
        self.wait_ready()

    def wait_ready(self, names: Iterable[str] = ()) -> None:
        for name in names or self.programs:
            program = self.programs[name]
            try:
                wait_until(program.is_ready, f"{name} is ready", READY_WITHIN)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{program.tail()}") from None

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start everything, and stop it in the end."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def stop(self) -> dict[str, int]:
        """Ask everything to stop; return the exit codes."""
        running = [p for p in self.programs.values() if p.process and p.process.poll() is None]
        for program in reversed(running):
            program.send(signal.SIGTERM)
        return {program.name: program.wait() for program in running}

    def kill(self, name: str) -> None:
        """Kill -9."""
        program = self.programs[name]
        program.send(signal.SIGKILL)
        program.wait()

    def restart(self, name: str) -> None:
        """Start a program that was killed, and wait until it is ready."""
        self.programs[name].start()
        self.wait_ready([name])

    def call(
        self,
        service: str,
        path: str,
        body: object = None,
        method: str = "",
        password: str = PASSWORD,
    ) -> Any:
        """Call the REST API as the administrator; return (status, parsed answer)."""
        credential = base64.b64encode(f"admin:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[service]}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credential}", "Content-Type": "application/json"},
            method=method or ("GET" if body is None else "POST"),
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def add_user(self, address: str, **facts: object) -> None:
        status, answer = self.call(
            "auth", "/v1/users", {"address": address, "password": PASSWORD, **facts}
        )
        assert status == 201, answer

    @contextmanager
    def smtp(
        self, listener: str = "mx", client: str = LAN_CLIENT, login: str = "", timeout: float = 20
    ) -> Iterator[smtplib.SMTP]:
        """Yield an SMTP session from ``client``, logged in under TLS if ``login`` is given."""
        kind = smtplib.SMTP_SSL if listener == "submissions" else smtplib.SMTP
        extra = {"context": _trusting()} if listener == "submissions" else {}
        connection = kind(
            "127.0.0.1",
            self.ports[listener],
            local_hostname="client.test",
            timeout=timeout,
            source_address=(client, 0),
            **extra,
        )
        with connection as session:
            if login:
                if listener != "submissions":
                    session.starttls(context=_trusting())
                session.login(login, PASSWORD)
            session.ehlo_or_helo_if_needed()
            yield session

    def mail(self, mail_id: str) -> dict:
        """Return what the ledger knows of a mail, or an empty dictionary."""
        status, answer = self.call("ledger", f"/v1/mails/{mail_id}")
        return answer if status == 200 else {}

    def stages(self, mail_id: str) -> dict[str, str]:
        return {r["recipient"]: r["stage"] for r in self.mail(mail_id).get("recipients", [])}

    def waiting(self) -> list[dict]:
        status, answer = self.call("ledger", "/v1/waiting")
        assert status == 200, answer
        return answer["items"]

    def balance(self) -> dict[str, int]:
        status, answer = self.call("ledger", "/v1/balance")
        assert status == 200, answer
        return answer

    def mailbox(self, address: str) -> list[bytes]:
        """Return the messages in a local mailbox, as they lie on the disk."""
        local, _, domain = address.partition("@")
        folder = self.folder / "var" / "mail" / domain / local
        return [p.read_bytes() for part in ("new", "cur") for p in sorted(folder.glob(f"{part}/*"))]


def queued_id(reply: tuple[int, bytes]) -> str:
    """Return the mail id that our 250 names; any other answer is smtplib's error."""
    code, text = reply
    if code != 250:
        raise smtplib.SMTPDataError(code, text)
    return text.split()[-1].decode()


def send(session: smtplib.SMTP, sender: str, recipients: list[str], message: bytes) -> str:
    """Send a message over a session; return its mail id. Raises smtplib's errors."""
    code, text = session.mail(sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, text, sender)
    for recipient in recipients:
        code, text = session.rcpt(recipient)
        if code not in (250, 251):
            raise smtplib.SMTPRecipientsRefused({recipient: (code, text)})
    return queued_id(session.data(message))


def make_stack(
    kind: str, folder: Path, urls: Mapping[str, str] | None = None, **settings: str
) -> Stack:
    """Return a stack of ``kind`` (``embedded`` or ``brokered``), not yet started.

    ``urls`` gives a brokered stack its ``bus`` and ``database``; ``settings`` are further
    ``POSTROOM_*`` variables.
    """
    names = ("mx", "submission", "submissions", "pop3", "pop3s", "auth", "ledger")
    ports = {name: free_port() for name in names}
    env = _environment(folder, ports) | {f"POSTROOM_{k.upper()}": v for k, v in settings.items()}
    if kind == "embedded":
        argv = [sys.executable, "-m", "postroom", "serve"]
        programs = {"all": _program("all", argv, env, folder)}
        return Stack(folder, kind, programs, ports, env)
    env |= {
        "POSTROOM_BUS_URL": urls["bus"],
        "POSTROOM_DATABASE_URL": urls["database"],
        "POSTROOM_SERVICE_TOKEN": TOKEN,
        "POSTROOM_AUTH_SECRET_KEY": SECRET_KEY,
    }
    workers = [name for name in SERVICES if name != "delivery"] + ["delivery-1", "delivery-2"]
    programs = {
        name: _program(name, [sys.executable, "-m", f"services.{name.split('-')[0]}"], env, folder)
        for name in workers
    }
    migrate = [sys.executable, "-m", "migrations"]
    return Stack(folder, kind, programs, ports, env, prepare=[migrate])


def _environment(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    var = folder / "var"
    inherited = {k: v for k, v in _OUTER.items() if not k.startswith("POSTROOM_")}
    return inherited | {
        "POSTROOM_VAR": str(var),
        "POSTROOM_HOSTNAME": "mx.ours.test",
        "POSTROOM_DOMAIN": DOMAIN,
        "POSTROOM_LAN": json.dumps([f"{LAN_CLIENT}/32"]),
        "POSTROOM_ADMIN_PASSWORD": PASSWORD,
        "POSTROOM_MAILBOXES_URL": f"maildir:///{var}/mail",
        "POSTROOM_BLOBS_URL": f"file:///{var}/blobs",
        "POSTROOM_TLS_FOLDER": f"{var}/tls",
        "POSTROOM_AUTH_URL": f"http://127.0.0.1:{ports['auth']}",
        "POSTROOM_AUTH_LISTEN": f"127.0.0.1:{ports['auth']}",
        "POSTROOM_LEDGER_URL": f"http://127.0.0.1:{ports['ledger']}",
        "POSTROOM_LEDGER_LISTEN": f"127.0.0.1:{ports['ledger']}",
        "POSTROOM_INGRESS_LISTEN_MX": f"127.0.0.1:{ports['mx']}",
        "POSTROOM_INGRESS_LISTEN_SUBMISSION": f"127.0.0.1:{ports['submission']}",
        "POSTROOM_INGRESS_LISTEN_SUBMISSIONS": f"127.0.0.1:{ports['submissions']}",
        "POSTROOM_COLLECT_LISTEN_POP3": f"127.0.0.1:{ports['pop3']}",
        "POSTROOM_COLLECT_LISTEN_POP3S": f"127.0.0.1:{ports['pop3s']}",
        "POSTROOM_LEDGER_TICK": "0.2",
        "POSTROOM_DNS": "127.0.0.1:9",  # nobody: there is no DNS in a test
        "POSTROOM_LOG_FORMAT": "json",
    }


def _program(name: str, argv: list[str], env: Mapping[str, str], folder: Path) -> Program:
    own = {"POSTROOM_HEALTH_LISTEN": f"127.0.0.1:{free_port()}"}
    return Program(name, argv, {**env, **own}, folder / f"{name}.log")


def _trusting() -> ssl.SSLContext:
    """Our first certificate is signed by ourselves."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
