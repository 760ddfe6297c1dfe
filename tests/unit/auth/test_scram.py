"""SCRAM-SHA-256: the server's part, judged by a client that knows the standard."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scramp import ScramClient, ScramException

from services.auth.core import scram
from services.auth.core.scram import BINDING, BadScramError, Exchange, keys_of, name_of, proven
from services.auth.core.secrets import ChallengeSecrets

SALT = b"0123456789abcdef"
CERTIFICATE = b"what both ends of TLS see"
PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"


def secret_of(password):
    return ChallengeSecrets(b"", *keys_of(password, SALT))


def client_of(mechanism, password, binding=b"", name="ann"):
    channel = (BINDING, binding) if binding else None
    return ScramClient([mechanism], name, password, channel_binding=channel)


def talk(client, secrets, *, mechanism=PLAIN, binding=b""):
    """Return the exchange after both have said what they have to, and what came of it."""
    first = Exchange(mechanism, "ours", (client.get_client_first().encode(),), binding)
    client.set_server_first(scram.salted(first, SALT).decode())
    final = client.get_client_final().encode()
    exchange = Exchange(mechanism, "ours", (*first.responses, final), binding)
    return exchange, proven(exchange, SALT, secrets)


def test_the_example_of_rfc_7677(monkeypatch):
    monkeypatch.setattr(scram, "ITERATIONS", 4096)
    salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    secret = ChallengeSecrets(b"", *keys_of("pencil", salt))
    first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    final = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

    assert name_of(Exchange(PLAIN, nonce, (first,))) == "user"
    assert scram.salted(Exchange(PLAIN, nonce, (first,)), salt) == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert proven(Exchange(PLAIN, nonce, (first, final)), salt, [secret]) == (
        0,
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    )


@pytest.mark.parametrize(("mechanism", "binding"), [(PLAIN, b""), (PLUS, CERTIFICATE)])
def test_a_client_who_knows_the_password_proves_it_and_so_do_we(mechanism, binding):
    client = client_of(mechanism, "pencil", binding)

    _, (place, message) = talk(
        client, [secret_of("pen"), secret_of("pencil")], mechanism=mechanism, binding=binding
    )

    assert place == 1
    client.set_server_final(message.decode())


def test_we_prove_nothing_to_who_proves_nothing():
    assert talk(client_of(PLAIN, "guess"), [secret_of("pencil")])[1] == (None, b"")
    assert talk(client_of(PLAIN, "guess"), [])[1] == (None, b"")


def test_a_proof_is_good_for_our_nonce_alone():
    exchange, (place, _) = talk(client_of(PLAIN, "pencil"), [secret_of("pencil")])
    assert place == 0

    replayed = Exchange(PLAIN, "another", exchange.responses)
    assert proven(replayed, SALT, [secret_of("pencil")]) == (None, b"")


def test_somebody_between_us_and_the_client_is_noticed():
    client = client_of(PLUS, "pencil", b"the certificate of somebody between")

    _, (place, _) = talk(client, [secret_of("pencil")], mechanism=PLUS, binding=CERTIFICATE)

    assert place is None


def test_who_was_made_to_believe_that_we_cannot_bind_is_refused():
    first = b"y,,n=ann,r=theirs"

    with pytest.raises(BadScramError):
        name_of(Exchange(PLAIN, "ours", (first,), CERTIFICATE))
    assert name_of(Exchange(PLAIN, "ours", (first,))) == "ann"


@pytest.mark.parametrize(
    ("mechanism", "first", "binding"),
    [
        (PLUS, b"n,,n=ann,r=theirs", CERTIFICATE),
        (PLUS, b"p=tls-server-end-point,,n=ann,r=theirs", b""),
        (PLUS, b"p=tls-unique,,n=ann,r=theirs", CERTIFICATE),
        (PLAIN, b"n,a=bob,n=ann,r=theirs", b""),
        (PLAIN, b"n,,n=,r=theirs", b""),
        (PLAIN, b"n,,m=new,n=ann,r=theirs", b""),
        (PLAIN, b"n,,n=ann", b""),
        (PLAIN, b"n,,n=\xff,r=theirs", b""),
        (PLAIN, b"", b""),
    ],
)
def test_what_keeps_not_to_the_mechanism_is_no_first_message(mechanism, first, binding):
    with pytest.raises(BadScramError):
        name_of(Exchange(mechanism, "ours", (first,), binding))


@pytest.mark.parametrize("responses", [(), (b"n,,n=ann,r=theirs",) * 3])
def test_one_message_too_few_or_too_many_is_malformed(responses):
    with pytest.raises(BadScramError):
        name_of(Exchange(PLAIN, "ours", responses))


@given(st.lists(st.binary(max_size=60), max_size=3).map(tuple), st.sampled_from([b"", CERTIFICATE]))
def test_no_message_of_a_client_is_too_strange_to_be_refused(responses, binding):
    for mechanism in (PLAIN, PLUS):
        with pytest.raises(BadScramError):
            name_of(Exchange(mechanism, "ours", responses, binding))


@given(st.binary(max_size=80))
def test_nobody_gets_in_with_a_strange_last_message(final):
    exchange = Exchange(PLAIN, "ours", (b"n,,n=ann,r=theirs", final))

    assert proven(exchange, SALT, [secret_of("pencil")]) == (None, b"")


def test_a_name_longer_than_any_is_not_even_prepared():
    first = b"n,,n=" + b"x" * 9000 + b",r=abcdef"

    with pytest.raises(BadScramError, match="long"):
        name_of(Exchange(PLAIN, "ours", (first,)))


def test_passwords_are_prepared_alike_by_both():
    assert talk(client_of(PLAIN, "\u2168"), [secret_of("IX")])[1][0] == 0  # RFC 4013 §3


def test_a_password_that_cannot_be_prepared_has_no_keys():
    assert keys_of("tab\tin it", SALT) == (b"", b"")
    assert keys_of("\ud800", SALT) == (b"", b"")
    with pytest.raises(ScramException):
        client_of(PLAIN, "tab\tin it")
