"""Mail clients that others wrote: each sends one letter, logged in as it is told.

Debian's packages are used, and installed where they are missing; nodemailer comes from npm.
"""

import atexit
import json
import shlex
import shutil
import smtplib
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support import sasl
from tests.support.brokers import BrokerError, install

HOST = "127.0.0.1"
NAME = "client.test"
_NODEMAILER = "nodemailer@7.0.13"
_TIMEOUT = 60


@dataclass(frozen=True)
class Letter:
    """What to send where, and who logs in how: nobody, if there is no ``mechanism``.

    ``tls`` is ``starttls``, ``implicit`` or ``none``.
    """

    port: int
    tls: str
    mechanism: str
    login: str
    password: str
    sender: str
    recipient: str
    source: str

    @property
    def text(self) -> str:
        return f"From: {self.sender}\r\nTo: {self.recipient}\r\nSubject: a letter\r\n\r\nhi\r\n"


@dataclass(frozen=True)
class Outcome:
    """Whether the letter went out, and what the client had to say."""

    sent: bool
    talk: str


def swaks(letter: Letter) -> Outcome:
    need("swaks", "swaks", "libnet-ssleay-perl", "libio-socket-ssl-perl")
    tls = {"starttls": ["--tls"], "implicit": ["-tlsc"], "none": []}[letter.tls]
    login = {"--auth": letter.mechanism, "--auth-user": letter.login}
    login["--auth-password"] = letter.password
    route = {"--server": f"{HOST}:{letter.port}", "--local-interface": letter.source}
    envelope = {"--from": letter.sender, "--to": letter.recipient, "--helo": NAME}
    options = (login if letter.mechanism else {}) | route | envelope
    return _run("swaks", *tls, *_flat(options))


def curl(letter: Letter) -> Outcome:
    need("curl")
    scheme = "smtps" if letter.tls == "implicit" else "smtp"
    options = {
        "--url": f"{scheme}://{HOST}:{letter.port}/{NAME}",
        "--user": f"{letter.login}:{letter.password}",
        "--login-options": f"AUTH={letter.mechanism}",
        "--interface": letter.source,
        "--mail-from": letter.sender,
        "--mail-rcpt": letter.recipient,
        "--upload-file": "-",
    }
    tls = [] if letter.tls == "none" else ["--ssl-reqd"]
    return _run("curl", "-v", "-sS", "--insecure", *tls, *_flat(options), given=letter.text)


def msmtp(letter: Letter) -> Outcome:
    need("msmtp")
    options = {
        "file": "/dev/null",
        "host": HOST,
        "port": str(letter.port),
        "source-ip": letter.source,
        "domain": NAME,
        "tls": "off" if letter.tls == "none" else "on",
        "tls-starttls": "on" if letter.tls == "starttls" else "off",
        "tls-certcheck": "off",
        "auth": letter.mechanism.lower(),
        "user": letter.login,
        "passwordeval": f"printf %s {shlex.quote(letter.password)}",
        "from": letter.sender,
    }
    command = [f"--{name}={value}" for name, value in options.items()]
    return _run("msmtp", "--debug", *command, "--", letter.recipient, given=letter.text)


_SEND = """
const { options, letter } = JSON.parse(process.argv[1]);
require("nodemailer").createTransport(options).sendMail(letter)
    .then(sent => console.log(sent.response), error => { console.log(error); process.exit(1); });
"""


def nodemailer(letter: Letter) -> Outcome:
    options = {
        "host": HOST,
        "port": letter.port,
        "localAddress": letter.source,
        "name": NAME,
        "secure": letter.tls == "implicit",
        "requireTLS": letter.tls == "starttls",
        "ignoreTLS": letter.tls == "none",
        "tls": {"rejectUnauthorized": False},
        "authMethod": letter.mechanism,
        "auth": {"user": letter.login, "pass": letter.password},
        "logger": True,
        "debug": True,
    }
    mail = {"from": letter.sender, "to": letter.recipient, "subject": "a letter", "text": "hi"}
    order = json.dumps({"options": options, "letter": mail})
    return _run("node", "-e", _SEND, order, folder=_nodemailer_folder())


@cache
def _nodemailer_folder() -> Path:
    """Install nodemailer where nobody else looks; it goes when the tests end."""
    need("npm", "nodejs", "npm")
    folder = tempfile.TemporaryDirectory(prefix="postroom-nodemailer-")
    atexit.register(folder.cleanup)
    quiet = ["--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error"]
    done = _run("npm", "install", *quiet, _NODEMAILER, folder=Path(folder.name))
    if not done.sent:
        raise BrokerError(f"cannot install {_NODEMAILER}: npm said {done.talk.strip()!r}")
    return Path(folder.name)


def python(letter: Letter) -> Outcome:
    """Python's smtplib; SCRAM, which it cannot do alone, with `scramp`."""
    context = ssl._create_unverified_context()
    kind = smtplib.SMTP_SSL if letter.tls == "implicit" else smtplib.SMTP
    options = {"context": context} if letter.tls == "implicit" else {}
    source = (letter.source, 0)
    with kind(HOST, letter.port, NAME, timeout=20, source_address=source, **options) as session:
        if letter.tls == "starttls":
            session.starttls(context=context)
        session.ehlo()
        try:
            session.auth(letter.mechanism, _answers(session, letter))
            session.sendmail(letter.sender, letter.recipient, letter.text)
        except smtplib.SMTPException as error:
            return Outcome(sent=False, talk=f"AUTH {letter.mechanism}: {error}")
    return Outcome(sent=True, talk=f"AUTH {letter.mechanism}")


def _answers(session: smtplib.SMTP, letter: Letter) -> Callable[..., str]:
    session.user, session.password = letter.login, letter.password
    own = {
        "PLAIN": session.auth_plain,
        "LOGIN": session.auth_login,
        "CRAM-MD5": session.auth_cram_md5,
    }
    if letter.mechanism in own:
        return own[letter.mechanism]
    certificate = b"" if letter.tls == "none" else session.sock.getpeercert(binary_form=True)
    client = sasl.client(letter.mechanism, letter.login, letter.password, certificate)

    def answer(challenge: bytes | None = None) -> str:
        return client.send(challenge).decode()

    return answer


def mutt(letter: Letter, certificate: Path) -> Outcome:
    """Mutt in batch mode; it trusts ``certificate``, which it could ask nobody about."""
    need("mutt")
    scheme = "smtps" if letter.tls == "implicit" else "smtp"
    login = letter.login.replace("@", "%40")
    settings = {
        "smtp_url": f"{scheme}://{login}@{HOST}:{letter.port}/",
        "smtp_pass": letter.password,
        "smtp_authenticators": letter.mechanism.lower(),
        "from": letter.sender,
        "hostname": NAME,
        "use_envelope_from": "yes",
        "ssl_force_tls": "yes",
        "ssl_verify_host": "no",
        "certificate_file": str(certificate),
        "copy": "no",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".muttrc") as file:
        file.writelines(f'set {name} = "{value}"\n' for name, value in settings.items())
        file.flush()
        command = ["mutt", "-n", "-F", file.name, "-s", "a letter"]
        return _run(*command, "--", letter.recipient, given="hi\n")


def need(program: str, *packages: str) -> None:
    """Install ``packages`` (or the one of its name) if there is no ``program``."""
    if not shutil.which(program):
        install(*(packages or (program,)), unless=lambda: shutil.which(program) is not None)


def _flat(options: Mapping[str, str]) -> list[str]:
    return [word for option in options.items() for word in option]


def _run(*command: str, given: str = "", folder: Path | None = None) -> Outcome:
    done = subprocess.run(
        command,
        input=given,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    return Outcome(done.returncode == 0, done.stdout)
