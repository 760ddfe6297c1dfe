"""Signed DNS: Debian's nsd serves zones that we sign, and its unbound validates them."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import dns.dnssec
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from kernel.clock import system_clock
from tests.support.brokers import install
from tests.support.ports import answers, free_port
from tests.support.stack import wait_until

_NSD, _UNBOUND = "/usr/sbin/nsd", "/usr/sbin/unbound"
_WEEK = 7 * 86_400
_HEAD = "@ 60 IN SOA ns hostmaster 1 3600 600 86400 60\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n"
_NSD_CONF = """\
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  server-count: 1
remote-control:
  control-enable: no
"""
_UNBOUND_CONF = """\
server:
  interface: 127.0.0.1@{port}
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  local-zone: "test." nodefault
remote-control:
  control-enable: no
"""


@dataclass(frozen=True)
class SignedZone:
    """Records as in a zone file. ``forged`` ones take the place of signed ones."""

    records: str
    signed: bool = True
    forged: tuple[tuple[str, str], ...] = ()


@contextmanager
def validating(zones: Mapping[str, SignedZone]) -> Iterator[str]:
    """Serve ``zones`` meanwhile; yield the place of the resolver that validates them."""
    missing = [program for program in (_NSD, _UNBOUND) if not shutil.which(program)]
    install(*(Path(program).name for program in missing), unless=_are_there)
    with TemporaryDirectory(prefix="postroom-names-", dir="/var/tmp") as name, ExitStack() as stack:
        folder, authority, resolver = Path(name), free_port(), free_port()
        nsd = _NSD_CONF.format(port=authority, folder=folder)
        unbound = _UNBOUND_CONF.format(port=resolver, folder=folder)
        for origin, zone in zones.items():
            anchor = _write(folder / origin, origin, zone)
            nsd += f'zone:\n  name: "{origin}"\n  zonefile: "{origin}"\n'
            unbound += f'stub-zone:\n  name: "{origin}"\n  stub-addr: 127.0.0.1@{authority}\n'
            if anchor:
                unbound = unbound.replace("server:\n", f'server:\n  trust-anchor: "{anchor}"\n', 1)
        stack.enter_context(_running(_NSD, folder, nsd, authority))
        stack.enter_context(_running(_UNBOUND, folder, unbound, resolver))
        yield f"127.0.0.1:{resolver}"


def _are_there() -> bool:
    return all(shutil.which(program) for program in (_NSD, _UNBOUND))


def _write(file: Path, origin: str, zone: SignedZone) -> str:
    """Write the zone file; return the anchor for it, if it is signed."""
    parsed = dns.zone.from_text(_HEAD + zone.records, origin=f"{origin}.", relativize=False)
    anchor = _sign(parsed) if zone.signed else ""
    text = parsed.to_text(relativize=False)
    for true, false in zone.forged:
        assert true in text
        text = text.replace(true, false)
    file.write_text(text)
    return anchor


def _sign(zone: dns.zone.Zone) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(
        key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, dns.dnssec.Flag.ZONE | 1
    )
    now = system_clock().timestamp()
    dns.dnssec.sign_zone(
        zone,
        keys=[(key, public)],
        inception=now - 3600,
        expiration=now + _WEEK,
        dnskey_ttl=60,
        add_dnskey=True,
    )
    return f"{zone.origin} IN DNSKEY {public}"


@contextmanager
def _running(program: str, folder: Path, settings: str, port: int) -> Iterator[None]:
    name = Path(program).name
    file, log = folder / f"{name}.conf", folder / f"{name}.log"
    file.write_text(settings)
    with log.open("wb") as output:
        command = [program, "-d", "-c", str(file)]
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        wait_until(lambda: answers(port) or _ended(process, log), f"{name} listens")
        yield
    finally:
        process.terminate()
        process.wait(20)


def _ended(process: subprocess.Popen, log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"it ended with {process.returncode}: {log.read_text()[-2000:]}")
    return False
