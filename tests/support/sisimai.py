"""Sisimai, which reads reports of nearly every mail system there is: Debian's, asked by Perl."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.brokers import install

_PERL = ["perl", "-MSisimai"]
_READ = 'for my $file (@ARGV) { print Sisimai->dump($file, delivered => 1) || "[]", "\\n" }'


def understood(*files: Path) -> list[list[dict[str, Any]]]:
    """Return what Sisimai finds in each of ``files``: a finding for each recipient."""
    _install()
    command = [*_PERL, "-e", _READ, *map(str, files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


@cache
def _install() -> None:
    if not _is_here():
        install("libsisimai-perl", unless=_is_here)


def _is_here() -> bool:
    asked = subprocess.run([*_PERL, "-e", "1"], check=False, capture_output=True, timeout=60)
    return asked.returncode == 0
