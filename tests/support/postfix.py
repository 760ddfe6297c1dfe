"""A private Postfix: somebody else's mail server, to talk to and to be measured against."""

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

_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = postfix.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = none
message_size_limit = 104857600
"""

_MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix."""

    folder: Path
    port: int

    def mailbox(self, name: str) -> list[bytes]:
        """Return the messages of a virtual mailbox (`keeping`), as they lie on the disk."""
        return [p.read_bytes() for p in sorted((self.folder / "mail" / name / "new").glob("*"))]


def install_postfix() -> None:
    """Install Debian's package, its service not started, if it is not here."""
    if not shutil.which("smtp-source"):
        install("postfix")


def keeping(domain: str) -> str:
    """Return settings that put all mail for ``domain`` into one virtual mailbox, ``all``."""
    return f"""\
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {{folder}}/mail
virtual_mailbox_maps = static:all/
virtual_mailbox_limit = 0
mynetworks =
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
"""


@contextmanager
def private(settings: str) -> Iterator[Postfix]:
    """Run a Postfix with ``settings`` beyond a plain server's; ``{folder}`` is its own folder."""
    install_postfix()
    folder = Path(tempfile.mkdtemp(prefix="postroom-postfix-", dir="/var/tmp"))
    folder.chmod(0o755)
    for part in ("etc", "spool", "data", "mail"):
        (folder / part).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "mail").chmod(0o777)
    port = free_port()
    main_cf = _MAIN_CF.format(folder=folder) + settings.replace("{folder}", str(folder))
    (folder / "etc" / "main.cf").write_text(main_cf)
    (folder / "etc" / "master.cf").write_text(_MASTER_CF.format(port=port))
    command = ["postfix", "-c", str(folder / "etc")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*command, "start"], check=True, **quiet)
    try:
        yield Postfix(folder, port)
    finally:
        subprocess.run([*command, "stop"], check=False, **quiet)
        wait_until(lambda: not _lives(folder), "Postfix has ended")
        shutil.rmtree(folder, ignore_errors=True)


def _lives(folder: Path) -> bool:
    try:
        pid = int((folder / "spool" / "pid" / "master.pid").read_text())
    except (OSError, ValueError):
        return False
    return Path(f"/proc/{pid}").exists()
