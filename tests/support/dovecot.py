"""A private Dovecot: it keeps mailboxes, takes mail for them by LMTP, and hands it out by POP3."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.brokers import install
from tests.support.ports import free_port
from tests.support.stack import wait_until

_CONF = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = lmtp pop3
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
mail_location = maildir:{folder}/mail/%u
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
default_internal_user = dovecot
default_login_user = dovenull
hostname = dovecot.test
postmaster_address = postmaster@dovecot.test
quota_full_tempfail = no
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Dovecot:
    """A running Dovecot, its ports and its LMTP socket."""

    folder: Path
    lmtp: int
    pop3: int

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "lmtp"

    @property
    def log(self) -> str:
        return (self.folder / "dovecot.log").read_text()


@contextmanager
def running(*users: str) -> Iterator[Dovecot]:
    """Yield a Dovecot with mailboxes for ``users``; every password is ``secret``."""
    if not (shutil.which("dovecot") and Path("/usr/lib/dovecot/lmtp").exists()):
        install("dovecot-core", "dovecot-lmtpd", "dovecot-pop3d")
    folder = Path(tempfile.mkdtemp(prefix="postroom-dovecot-", dir="/var/tmp"))
    dovecot = Dovecot(folder, free_port(), free_port())
    _write(dovecot, users)
    command = ["dovecot", "-F", "-c", str(folder / "dovecot.conf")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until(dovecot.socket.exists, "Dovecot listens")
            yield dovecot
        finally:
            process.terminate()
            process.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


def _write(dovecot: Dovecot, users: tuple[str, ...]) -> None:
    folder = dovecot.folder
    folder.chmod(0o755)
    mail = folder / "mail"
    mail.mkdir()
    shutil.chown(mail, "nobody", "nogroup")
    (folder / "users").write_text("".join(f"{user}:::::/nonexistent::\n" for user in users))
    settings = _CONF.format(folder=folder, lmtp=dovecot.lmtp, pop3=dovecot.pop3)
    (folder / "dovecot.conf").write_text(settings)
