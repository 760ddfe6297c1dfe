"""Mail servers of others that take mail for ``remote.test``: Postfix, Exim, OpenSMTPD, Haraka.

Each keeps what it takes, and knows nobody called ``nobody``. Where users log in, ``members`` hear
from them alone.
"""

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support import exim, postfix
from tests.support.certificates import self_signed
from tests.support.clients import need
from tests.support.packages import need_libraries, need_user, run, unpacked
from tests.support.ports import answers, free_port
from tests.support.stack import wait_until

LOGIN, PASSWORD = "us", "a-secret-of-ours"
_HARAKA = "Haraka@3.1.0"  # the last that the Node.js of Debian 12 runs


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. ``inbox`` is what it has taken so far, as it keeps it."""

    port: int
    inbox: Callable[[], list[bytes]]


_POSTFIX = """\
smtpd_tls_cert_file = {folder}/there.pem
smtpd_tls_key_file = {folder}/there.pem
smtpd_tls_security_level = may
smtpd_recipient_restrictions = check_recipient_access texthash:{folder}/nobody
"""


@contextmanager
def postfix_server() -> Iterator[Server]:
    """Postfix: PIPELINING, CHUNKING, DSN, SMTPUTF8, STARTTLS."""
    with _folder("postfix") as folder:
        self_signed(folder)
        (folder / "nobody").write_text("nobody@remote.test 550 5.1.1 Nobody here\n")
        settings = postfix.keeping("remote.test") + _POSTFIX.format(folder=folder)
        with postfix.private(settings) as server:
            yield Server(server.port, lambda: server.mailbox("all"))


_EXIM = """\
primary_hostname = exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
exim_path = {program}
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts = *
tls_certificate = {folder}/there.pem
tls_privatekey = {folder}/there.pem
dsn_advertise_hosts = *
queue_only = false
acl_smtp_rcpt = accept_ours

begin acl
accept_ours:
  deny message = Nobody here
       local_parts = nobody
  deny message = Members alone
       local_parts = members
       !authenticated = *
  accept domains = remote.test

begin routers
everything:
  driver = accept
  transport = keep

begin transports
keep:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  create_directory
  envelope_to_add
  user = {user}

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
  server_advertise_condition = ${{if def:tls_in_cipher}}
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{login}}}{{{password}}}fail}}
  server_set_id = $auth1
"""


@contextmanager
def exim_server() -> Iterator[Server]:
    """Exim: PIPELINING, CHUNKING, DSN, STARTTLS, AUTH by CRAM-MD5, and PLAIN under TLS."""
    program, port = exim.program(), free_port()
    with _folder("exim") as folder:
        self_signed(folder)
        (folder / "there.pem").chmod(0o644)
        shutil.chown(folder, exim.USER)
        settings = folder / "exim.conf"
        settings.write_text(
            _EXIM.format(
                folder=folder,
                program=program,
                port=port,
                user=exim.USER,
                login=LOGIN,
                password=PASSWORD,
            )
        )
        with _running([str(program), "-C", str(settings), "-bdf", "-oP", ""], port, folder / "log"):
            yield Server(port, lambda: _maildir(folder / "mail"))


_OPENSMTPD = """\
listen on 127.0.0.1 port {port} hostname opensmtpd.test
action "keep" maildir "{folder}/mail" virtual {{ "@remote.test" = nobody }}
match from any for rcpt-to "nobody@remote.test" reject
match from any for domain "remote.test" action "keep"
"""

_AMONG_ITS_OWN = """\
set -e
mount -t tmpfs none /var/spool && mkdir -m 711 /var/spool/smtpd
mount -t tmpfs none /run
mount -t tmpfs none /usr/libexec && cp -r {program}/usr/libexec/opensmtpd /usr/libexec/
mkdir -p /var/lib/opensmtpd/empty
exec {program}/usr/sbin/smtpd -d -f {folder}/smtpd.conf
"""  # its paths are built in; in a mount namespace of its own nobody else sees what stands there


@contextmanager
def opensmtpd_server() -> Iterator[Server]:
    """OpenSMTPD: one command at a time, DSN."""
    program, port = unpacked("opensmtpd"), free_port()
    need_libraries(program / "usr/sbin/smtpd", {"libevent-2.1.so.7": "libevent-2.1-7"})
    for user in ("opensmtpd", "opensmtpq"):
        need_user(user)
    with _folder("opensmtpd") as folder:
        mail = folder / "mail"
        mail.mkdir()
        shutil.chown(mail, "nobody")
        (folder / "smtpd.conf").write_text(_OPENSMTPD.format(port=port, folder=folder))
        script = _AMONG_ITS_OWN.format(program=program, folder=folder)
        with _running(["unshare", "--mount", "sh", "-c", script], port, folder / "log"):
            yield Server(port, lambda: _maildir(mail))


_KEEP = """\
const fs = require("fs");
exports.hook_rcpt = (next, connection, params) => {
    const user = params[0].user;
    const welcome = user === "members" ? connection.relaying : user !== "nobody";
    welcome ? next(OK) : next(DENY, "Nobody here");
};
exports.hook_queue = exports.hook_queue_outbound = function (next, connection) {
    const file = `%s/mail/${connection.transaction.uuid}`;
    const out = fs.createWriteStream(`${file}.part`);
    out.on("close", () => fs.rename(`${file}.part`, file, () => next(OK)));
    connection.transaction.message_stream.pipe(out, { line_endings: "\\r\\n" });
};
"""


@contextmanager
def haraka_server() -> Iterator[Server]:
    """Haraka: PIPELINING, SMTPUTF8, STARTTLS, AUTH."""
    program, port = _haraka(), free_port()
    with _folder("haraka") as folder:
        (folder / "mail").mkdir()
        (folder / "config").mkdir()
        (folder / "plugins").mkdir()
        self_signed(folder)
        (folder / "plugins" / "keep.js").write_text(_KEEP % folder)
        pem = folder / "there.pem"
        files = {
            "smtp.ini": f"listen=127.0.0.1:{port}\nnodes=0\n",
            "me": "haraka.test\n",
            "plugins": "tls\nauth/flat_file\nkeep\n",
            "tls.ini": f"key={pem}\ncert={pem}\n",
            "auth_flat_file.ini": f"[core]\nmethods=CRAM-MD5,PLAIN\n[users]\n{LOGIN}={PASSWORD}\n",
            "host_list": "remote.test\n",
        }
        for name, text in files.items():
            (folder / "config" / name).write_text(text)
        defaults = program.parents[1] / "config" / "connection.ini"
        shutil.copy(defaults, folder / "config")  # without it, it does not start
        with _running(["node", str(program), "-c", str(folder)], port, folder / "log"):
            yield Server(port, lambda: _files(folder / "mail"))


SERVERS = {
    "postfix": postfix_server,
    "exim": exim_server,
    "opensmtpd": opensmtpd_server,
    "haraka": haraka_server,
}
SMART_HOSTS = {name: SERVERS[name] for name in ("exim", "haraka")}


@cache
def _haraka() -> Path:
    """Install Haraka where nobody else looks; it goes when the tests end."""
    need("npm", "nodejs", "npm")
    folder = tempfile.TemporaryDirectory(prefix="postroom-haraka-")
    atexit.register(folder.cleanup)
    quiet = ("--silent", "--no-audit", "--no-fund", "--omit=optional")
    run("npm", "install", *quiet, _HARAKA, folder=Path(folder.name))
    return Path(folder.name) / "node_modules/Haraka/bin/haraka"


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"postroom-{name}-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process,
    ):
        try:
            wait_until(lambda: answers(port) or process.poll() is not None, "the server listens")
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(20)


def _maildir(folder: Path) -> list[bytes]:
    return _files(folder / "new")


def _files(folder: Path) -> list[bytes]:
    files = (path for path in sorted(folder.glob("*")) if path.suffix != ".part")
    return [path.read_bytes() for path in files]
