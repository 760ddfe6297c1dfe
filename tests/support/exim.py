"""A private Exim that sends: Debian's, unpacked beside the Postfix with which it cannot live."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.packages import need_libraries, need_user, unpacked

USER = "Debian-exim"  # without whom it does not start
_PACKAGES = ("exim4-daemon-light", "exim4-base")
_LIBRARIES = {
    "libdb-5.3.so": "libdb5.3",
    "libidn.so.12": "libidn12",
    "libgnutls-dane.so.0": "libgnutls-dane0",
}
_SETTINGS = """\
primary_hostname = client.test
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
exim_path = {program}
keep_environment =
dsn_advertise_hosts = *
smtp_enforce_sync = false
log_selector = +pipelining
acl_smtp_rcpt = accept

begin acl
accept:
  accept

begin routers
everything:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = onwards

begin transports
onwards:
  driver = smtp
  port = {port}
  hosts_require_tls = *
  tls_verify_hosts =
  tls_try_verify_hosts =
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """What Exim wrote to its log."""

    log: str


def send(port: int, dialogue: str) -> Sent:
    """Hand Exim mail as a client would say it (SMTP), let it send that to ``port``."""
    exim = program()
    folder = Path(tempfile.mkdtemp(prefix="postroom-exim-", dir="/var/tmp"))
    try:
        folder.chmod(0o755)
        shutil.chown(folder, USER)
        settings = folder / "exim.conf"
        settings.write_text(_SETTINGS.format(folder=folder, port=port, program=exim))
        command = [str(exim), "-C", str(settings), "-odf", "-bs"]
        done = subprocess.run(
            command, input=dialogue.encode(), capture_output=True, timeout=60, check=False
        )
        log = folder / "mainlog"
        return Sent(log.read_text() if log.exists() else f"{done.stdout!r} {done.stderr!r}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def program() -> Path:
    """Return the program, unpacked; who it runs as exists."""
    unpacked_at = unpacked(*_PACKAGES) / "usr/sbin/exim4"
    need_libraries(unpacked_at, _LIBRARIES)
    need_user(USER)
    return unpacked_at
