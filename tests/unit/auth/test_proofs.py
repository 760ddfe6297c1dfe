"""Proofs: what they show, and that it costs the same whether there is such a user or not."""

from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
from scramp import ScramClient

from kernel.model.questions import LoginQuestion
from services.auth.adapters import hashes
from services.auth.adapters.passwords import NOBODY, Passwords
from services.auth.adapters.sealing import Seal
from services.auth.core import cram, scram
from services.auth.core.directory import AppPassword, Purpose, User
from services.auth.proofs import Proofs, name_in
from tests.support.mail import ANN, NOON
from tests.support.sasl import cram_md5

SSHA = "{SSHA}PXw3VPn4O/utBDNSHh5/Ll/5RP2ZV9ya"
CHALLENGE = b"<1@ours.test>"
SCRAM = "SCRAM-SHA-256"


class Work:
    """Verifies hashes, and counts what was verified."""

    def __init__(self):
        self.done = []

    def __call__(self, stored, password):
        self.done.append("Argon2id" if stored.startswith("$argon2id$") else "other")
        return hashes.verify(stored, password)


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def passwords(work):
    with closing(Passwords(seal=Seal("a key that nobody guesses"), check=work)) as passwords:
        yield passwords


@pytest.fixture
def proofs(passwords):
    return Proofs(passwords, b"key")


@pytest.fixture
async def ann(passwords):
    return User("ann", ANN).with_secrets(await passwords.made_for("ann", "secret"))


async def with_app(passwords, user, name, *purposes):
    """Return the password, and the user who has it."""
    password, kept = await passwords.app_password(user.login, name, user.salt)
    app = AppPassword(name, frozenset(purposes), kept.hash, NOON, sealed=kept.sealed)
    with_it = replace(user, salt=kept.salt, app_passwords=(*user.app_passwords, app))
    return password, with_it


def plain(password, service="smtp"):
    return LoginQuestion(service, "submission", "192.0.2.1", "PLAIN", "ann", password)


def crammed(password, service="smtp"):
    client = cram_md5("ann", password)
    next(client)
    return LoginQuestion(
        service,
        "submission",
        "192.0.2.1",
        "CRAM-MD5",
        "ann",
        challenge=CHALLENGE,
        responses=(client.send(CHALLENGE),),
    )


def scrammed(*responses, service="smtp", mechanism=SCRAM):
    return LoginQuestion(
        service,
        "submission",
        "192.0.2.1",
        mechanism,
        challenge=b"ours",
        responses=tuple(response.encode() for response in responses),
    )


async def scram_proof(proofs, user, password, service="smtp"):
    """Return the proof at the end of a dialogue, and the client who has heard it."""
    client = ScramClient([SCRAM], "ann", password)
    first = client.get_client_first()
    salted = await proofs.judge(scrammed(first, service=service), "ann", user)
    assert salted.continues
    assert not salted.correct
    client.set_server_first(salted.message.decode())
    final = scrammed(first, client.get_client_final(), service=service)
    return await proofs.judge(final, "ann", user), client


async def shown(proofs, user, password, service="smtp"):
    """Return what each mechanism makes of the password: the app password's name, or whether."""
    found = [
        await proofs.judge(plain(password, service), "ann", user),
        await proofs.judge(crammed(password, service), "ann", user),
        (await scram_proof(proofs, user, password, service))[0],
    ]
    return [proof.app.name if proof.app else proof.correct for proof in found]


async def test_every_mechanism_knows_the_main_password(proofs, ann):
    assert await shown(proofs, ann, "secret") == [True, True, True]
    assert await shown(proofs, ann, "guess") == [False, False, False]
    assert await shown(proofs, None, "secret") == [False, False, False]


async def test_every_mechanism_knows_app_passwords_by_their_purpose(proofs, passwords, ann):
    phone, user = await with_app(passwords, ann, "phone", Purpose.COLLECT)
    printer, user = await with_app(passwords, user, "printer", Purpose.SEND)

    assert await shown(proofs, user, printer, "smtp") == ["printer"] * 3
    assert await shown(proofs, user, phone, "pop3") == ["phone"] * 3
    assert await shown(proofs, user, phone, "imap") == ["phone"] * 3
    assert await shown(proofs, user, phone, "smtp") == [False] * 3
    assert await shown(proofs, user, printer, "api") == [False] * 3
    assert await shown(proofs, user, "secret", "api") == [True] * 3


async def test_we_prove_to_a_scram_client_that_we_know_it_too(proofs, passwords, ann):
    phone, user = await with_app(passwords, ann, "phone", Purpose.SEND)

    for password in ("secret", phone):
        proof, client = await scram_proof(proofs, user, password)
        client.set_server_final(proof.message.decode())
    assert (await scram_proof(proofs, user, "guess"))[0].message == b""


async def test_without_a_secret_only_a_password_that_is_shown_will_do(proofs, ann):
    assert await shown(proofs, replace(ann, sealed=""), "secret") == [True, False, False]


async def test_the_sealed_secrets_of_another_user_are_none(proofs, ann):
    assert await shown(proofs, replace(ann, login="bob"), "secret") == [True, False, False]


async def test_policy_can_keep_the_main_password_out_of_challenges(work, ann):
    with closing(Passwords(seal=Seal("a key that nobody guesses"), seals_main=False)) as passwords:
        phone, user = await with_app(passwords, ann, "phone", Purpose.SEND)
        proofs = Proofs(passwords, b"key")

        assert (await passwords.made_for("ann", "secret")).sealed == ""
        assert await shown(proofs, user, "secret") == [True, False, False]
        assert await shown(proofs, user, phone) == ["phone"] * 3


async def test_a_wrong_password_costs_one_argon2id_whoever_it_is_for(proofs, passwords, ann, work):
    _, several = await with_app(passwords, ann, "phone", Purpose.SEND)
    people = {
        "nobody": None,
        "ann": ann,
        "ann with an app password": several,
        "ann without": replace(ann, password=NOBODY),
    }
    for user in people.values():
        for guess in ("guess", "pra_abcdefgh_" + "a" * 26, "x" * 5000):
            work.done.clear()
            assert not (await proofs.judge(plain(guess), "ann", user)).correct
            assert work.done == ["Argon2id"]


async def test_an_old_hash_costs_an_argon2id_as_well_unless_it_fits(proofs, ann, work):
    user = replace(ann, password=SSHA)

    assert not (await proofs.judge(plain("guess"), "ann", user)).correct
    assert work.done == ["other", "Argon2id"]
    work.done.clear()
    assert (await proofs.judge(plain("päss wörd"), "ann", user)).correct
    assert (await proofs.judge(plain("päss wörd"), "ann", user)).correct
    assert work.done == ["other"]  # and was remembered


async def test_a_wrong_proof_is_tried_against_as_many_secrets_whoever_it_is_for(
    proofs, passwords, ann, monkeypatch
):
    _, several = await with_app(passwords, ann, "phone", Purpose.SEND)
    tried = []

    def counted(fits, *facts):
        tried.append(fits.__name__)
        return fits(*facts)

    monkeypatch.setattr(cram, "fits", partial(counted, cram.fits))
    monkeypatch.setattr(scram, "copy", partial(counted, scram.copy))
    costs = []
    for user in (None, ann, several, replace(ann, sealed="")):
        await proofs.judge(crammed("guess"), "ann", user)
        await scram_proof(proofs, user, "guess")
        costs.append((tried.count("fits"), tried.count("copy")))
        tried.clear()

    assert costs == [costs[0]] * 4
    assert costs[0][0] == costs[0][1] > 1


async def test_who_does_not_exist_has_a_salt_for_ever(passwords, proofs, ann):
    first = scrammed("n,,n=ann,r=theirs")

    async def salt(proofs, name, user=None):
        message = (await proofs.judge(first, name, user)).message.decode()
        return message.split(",")[1]

    again, elsewhere = Proofs(passwords, b"key"), Proofs(passwords, b"another key")
    assert await salt(proofs, "ghost") == await salt(again, "ghost")
    assert await salt(proofs, "ghost") != await salt(proofs, "spirit")
    assert await salt(proofs, "ghost") != await salt(elsewhere, "ghost")
    assert len(await salt(proofs, "ghost")) == len(await salt(proofs, "ann", ann))
    assert await salt(proofs, "ann", ann) == f"s={ann.salt}"


async def test_nobody_is_nobody_even_with_a_proof_that_fits_what_stands_in_for_secrets(proofs, ann):
    user = replace(ann, sealed="")
    known, tried = proofs._secrets(crammed(""), user)

    assert known == []
    assert len({secret.cram for secret in tried} | {bytes(32)}) == 2


@pytest.mark.parametrize(
    "question",
    [
        LoginQuestion("smtp", "mx", "192.0.2.1", "CRAM-MD5", "ann", challenge=CHALLENGE),
        LoginQuestion("smtp", "mx", "192.0.2.1", "XOAUTH2", "ann", "secret"),
        replace(crammed("secret"), responses=crammed("secret").responses * 2),
        scrammed("n,,n=ann,r=theirs", "c=biws,r=theirsours"),
        scrammed("n,,n=ann,r=theirs", "nonsense"),
        scrammed("n,,n=ann,r=theirs", "c=biws,r=theirsours,p=\xff"),
    ],
)
async def test_what_keeps_not_to_the_mechanism_proves_nothing(proofs, ann, question):
    proof = await proofs.judge(question, "ann", ann)

    assert not proof.correct
    assert not proof.continues


def test_the_name_is_where_the_mechanism_puts_it():
    assert name_in(plain("x")) == "ann"
    assert name_in(crammed("x")) == "ann"
    assert name_in(scrammed("n,,n=a=2Cb=3Dc,r=theirs")) == "a,b=c"
    assert name_in(scrammed("nonsense")) is None
    assert name_in(scrammed()) is None
