"""Other servers' own tools, and the hashes that they make of a password."""

import shutil
import subprocess

from tests.support.brokers import install

PACKAGES = {
    "doveadm": "dovecot-core",
    "htpasswd": "apache2-utils",
    "slappasswd": "slapd",
    "openssl": "openssl",
}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def hash_of(command: str, password: str) -> str:
    """Return what a command prints; ``{}`` in it stands for ``password``."""
    name, *words = command.split()
    program = shutil.which(name, path=_PATH)
    if program is None:
        install(PACKAGES[name])
        program = shutil.which(name, path=_PATH)
    argv = [program, *(password if word == "{}" else word for word in words)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip().removeprefix("user:")
