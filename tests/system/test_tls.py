"""What TLS looks like from outside on every listener: to a scanner, and to who checks."""

import poplib
import shutil
import smtplib
import ssl
import subprocess
from xml.etree import ElementTree as ET

import pytest

from tests.support.brokers import install
from tests.support.certificates import Authority
from tests.support.stack import make_stack, wait_until

NAMES = ("mx.ours.test", "mail.other.test")
WAYS = {
    "mx": "--starttls-smtp",
    "submission": "--starttls-smtp",
    "submissions": "",
    "pop3": "--starttls-pop3",
    "pop3s": "",
}
WEAK = ("RC4", "3DES", "DES-CBC", "NULL", "EXP", "MD5", "ADH", "AECDH", "anon", "IDEA", "SEED")


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def live(tmp_path_factory, authority):
    """A folder as certbot keeps it."""
    live = tmp_path_factory.mktemp("live")
    for name in NAMES:
        authority.issue(live / name, name)
    return live


@pytest.fixture(scope="module")
def stack(tmp_path_factory, live):
    stack = make_stack("embedded", tmp_path_factory.mktemp("stack"), tls_certs=str(live))
    with stack.running():
        yield stack


@pytest.fixture(scope="module")
def scan(stack):
    install("sslscan", unless=lambda: shutil.which("sslscan") is not None)

    def scan(listener):
        options = [WAYS[listener], "--sni-name=mx.ours.test", "--no-colour", "--xml=-"]
        where = f"127.0.0.1:{stack.ports[listener]}"
        command = ["sslscan", *filter(None, options), where]
        done = subprocess.run(command, capture_output=True, check=True, timeout=120)
        return ET.fromstring(done.stdout).find("ssltest")

    return scan


@pytest.mark.parametrize("listener", WAYS)
def test_a_scanner_finds_nothing_old_and_nothing_weak(scan, listener):
    found = scan(listener)

    enabled = {
        p.get("type") + p.get("version") for p in found.iter("protocol") if p.get("enabled") == "1"
    }
    assert enabled == {"tls1.2", "tls1.3"}
    ciphers = [cipher for cipher in found.iter("cipher") if cipher.get("status") != "rejected"]
    assert ciphers
    for cipher in ciphers:
        assert int(cipher.get("bits")) >= 128
        assert not [weak for weak in WEAK if weak in cipher.get("cipher")]
        assert cipher.get("cipher").startswith(("TLS_", "ECDHE-", "DHE-"))  # forward secrecy
    assert not [x for x in found.iter("compression") if x.get("supported") != "0"]
    assert not [x for x in found.iter("renegotiation") if x.get("supported") != "0"]
    assert not [x for x in found.iter("heartbleed") if x.get("vulnerable") != "0"]


def connect(stack, listener, context):
    """Do the handshake, and return the certificate that was shown."""
    where = ("127.0.0.1", stack.ports[listener])
    if listener in ("mx", "submission"):
        with smtplib.SMTP(*where, timeout=10) as client:
            client.starttls(context=context)
            return client.sock.getpeercert(binary_form=True)
    if listener == "submissions":
        with smtplib.SMTP_SSL(*where, timeout=10, context=context) as client:
            return client.sock.getpeercert(binary_form=True)
    if listener == "pop3":
        client = poplib.POP3(*where, timeout=10)
        client.stls(context=context)
    else:
        client = poplib.POP3_SSL(*where, timeout=10, context=context)
    shown = client.sock.getpeercert(binary_form=True)
    client.quit()
    return shown


def asking_for(name, authority):
    """Return a context that asks for ``name``, and takes a complete chain for it alone.

    The libraries of mail ask for the name that they connect to; ours is an address.
    """

    class Asking(ssl.SSLContext):
        def wrap_socket(self, *args, server_hostname, **options):
            return super().wrap_socket(*args, server_hostname=name, **options)

    context = Asking(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    return context


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("listener", WAYS)
def test_who_trusts_the_authority_alone_is_shown_a_complete_chain_for_the_name(
    stack, authority, listener, name
):
    connect(stack, listener, asking_for(name, authority))


def test_a_name_that_is_not_ours_fails_the_check(stack, authority):
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(stack, "mx", asking_for("elsewhere.test", authority))


def test_a_renewed_certificate_is_shown_everywhere_without_a_restart(stack, authority, live):
    context = asking_for(NAMES[0], authority)
    with stack.smtp() as staying:
        renewed = authority.issue(live / NAMES[0], NAMES[0])
        for listener in WAYS:
            wait_until(lambda at=listener: connect(stack, at, context) == renewed, listener)

        assert staying.noop()[0] == 250
