"""A private clamd, whose only signature is one of ours: the real ones would have to be fetched."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.brokers import install
from tests.support.stack import wait_until

MALWARE = b"THIS-IS-WHAT-OUR-TESTS-CALL-MALWARE"
_CLAMD = "/usr/sbin/clamd"
_CONFIGURATION = """\
Foreground yes
LocalSocket {folder}/clamd.sock
DatabaseDirectory {folder}/signatures
TemporaryDirectory {folder}
StreamMaxLength 1M
Bytecode no
"""


@contextmanager
def clamd() -> Iterator[str]:
    """Run a clamd meanwhile; yield the path of its socket."""
    if not shutil.which(_CLAMD):
        install("clamav-daemon", unless=lambda: shutil.which(_CLAMD) is not None)
    with TemporaryDirectory(prefix="postroom-clamd-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "signatures").mkdir()
        (folder / "signatures" / "ours.ndb").write_text(f"Ours:0:*:{MALWARE.hex()}\n")
        settings = folder / "clamd.conf"
        settings.write_text(_CONFIGURATION.format(folder=folder))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([_CLAMD, "-c", settings], stdout=log, stderr=log)
        try:
            socket = folder / "clamd.sock"
            wait_until(lambda: socket.exists() or _ended(process, folder / "log"), "clamd listens")
            yield str(socket)
        finally:
            process.terminate()
            process.wait(20)


def _ended(process: subprocess.Popen, log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"clamd ended with {process.returncode}: {log.read_text()[-2000:]}")
    return False
