"""DKIM keys over the REST API of auth: made, published, signing, retired, removed."""

from base64 import b64encode
from datetime import timedelta

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from kernel.model.sending import Sending
from services.auth.settings import Settings
from tests.support.auth import SECRET_KEY, served_auth
from tests.support.mail import MESSAGE
from tests.support.names import name_server
from tests.support.signing import rsa_key

KEYS = "/v1/domains/ours.test/dkim"
PEM = rsa_key(2048)[0].decode()


@pytest.fixture
def file_url(tmp_path):
    """A database of one kind, where it does not matter which."""
    return f"sqlite+aiosqlite:///{tmp_path}/postroom.db"


@pytest.fixture
async def asked(file_url, clock):
    """A name server without any names, and an auth that asks it."""
    async with name_server({}) as names:
        settings = Settings(secret_key=SECRET_KEY, name_servers=(names.address,))
        async with served_auth(file_url, clock=clock, auth=settings) as auth:
            yield names, auth


async def states(auth):
    keys = (await auth.call("GET", KEYS)).body["items"]
    return {key["selector"]: key["state"] for key in keys}


async def signing(auth):
    return {key.selector for key in (await auth.peer.get("/internal/sending", Sending)).keys}


async def refused(auth, method, path, body=None):
    answer = await auth.call(method, path, body)
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status, answer.body.get("field")


async def test_a_key_is_made_with_the_record_to_publish(auth):
    made = await auth.call("POST", KEYS, {})

    key = made.body
    assert made.status == 201
    assert (key["selector"], key["algorithm"], key["bits"]) == ("2026a", "rsa", 2048)
    assert (key["domain"], key["state"]) == ("ours.test", "prepared")
    assert key["record"]["name"] == "2026a._domainkey.ours.test"
    assert key["record"]["text"].startswith("v=DKIM1; k=rsa; p=MIIBIjAN")
    assert "".join(key["record"]["strings"]) == key["record"]["text"]
    assert len(key["record"]["strings"]) == 2
    assert made.headers["Location"] == f"{KEYS}/2026a"
    found = await auth.call("GET", f"{KEYS}/2026A")
    assert (found.body, found.headers["ETag"]) == (key, made.headers["ETag"])
    assert await signing(auth) == set()


@pytest.mark.parametrize("body", [{}, {"private_key": PEM}])
async def test_what_is_signed_with_a_key_verifies_by_its_record(auth, body):
    key = await auth.made(KEYS, body)
    await auth.changed(f"{KEYS}/2026a", {"state": "active"})

    (signer,) = (await auth.peer.get("/internal/sending", Sending)).keys

    assert (signer.domain, signer.selector, signer.algorithm) == ("ours.test", "2026a", "rsa")
    form = (Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    pem = load_pem_private_key(signer.private.encode(), None).private_bytes(*form)
    signature = dkim.sign(MESSAGE, b"2026a", b"ours.test", pem)
    record = key["record"]["text"].encode()
    assert dkim.verify(signature + MESSAGE, dnsfunc=lambda *_, **__: record)


async def test_the_record_of_an_ed25519_key_is_its_bare_public_half(auth):
    key = await auth.made(KEYS, {"algorithm": "ed25519"})
    await auth.changed(f"{KEYS}/2026a", {"state": "active"})

    (signer,) = (await auth.peer.get("/internal/sending", Sending)).keys

    private = load_pem_private_key(signer.private.encode(), None)
    public = b64encode(private.public_key().public_bytes_raw()).decode()
    assert signer.algorithm == "ed25519"
    assert key["record"]["text"] == f"v=DKIM1; k=ed25519; p={public}"
    assert key["record"]["strings"] == [key["record"]["text"]]


async def test_keys_take_turns_and_one_of_each_algorithm_signs(auth):
    for body in ({}, {"algorithm": "ed25519"}, {"selector": "S3.next", "bits": 3072}):
        await auth.made(KEYS, body)
    for selector in ("2026a", "2026b"):
        await auth.changed(f"{KEYS}/{selector}", {"state": "active"})
    assert await signing(auth) == {"2026a", "2026b"}

    await auth.changed(f"{KEYS}/s3.next", {"state": "active"})
    assert await states(auth) == {"2026a": "retired", "2026b": "active", "s3.next": "active"}
    assert await signing(auth) == {"2026b", "s3.next"}

    await auth.changed(f"{KEYS}/2026a", {"state": "active"})
    await auth.changed(f"{KEYS}/2026b", {"state": "retired"})
    assert await states(auth) == {"2026a": "active", "2026b": "retired", "s3.next": "retired"}
    assert await signing(auth) == {"2026a"}


async def test_a_key_that_signs_is_not_removed_by_mistake(auth):
    await auth.made(KEYS, {"algorithm": "ed25519"})
    await auth.changed(f"{KEYS}/2026a", {"state": "active"})

    assert (await refused(auth, "DELETE", f"{KEYS}/2026a"))[0] == 409

    await auth.changed(f"{KEYS}/2026a", {"state": "retired"})
    assert (await auth.call("DELETE", f"{KEYS}/2026a")).status == 204
    assert await states(auth) == {}


async def test_the_next_selector_is_free_and_of_its_year(auth, clock):
    for _ in range(2):
        await auth.made(KEYS, {"algorithm": "ed25519"})
    clock.advance(timedelta(days=365))
    await auth.made(KEYS, {"algorithm": "ed25519"})

    assert list(await states(auth)) == ["2026a", "2026b", "2027a"]
    page = (await auth.call("GET", f"{KEYS}?limit=2")).body
    rest = (await auth.call("GET", f"{KEYS}?after={page['next']}")).body
    assert [key["selector"] for key in rest["items"]] == ["2027a"]


def pem_of(key, encryption=None):
    form = (Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return key.private_bytes(*form).decode()


LOCKED = pem_of(load_pem_private_key(PEM.encode(), None), BestAvailableEncryption(b"x"))
WRONG = [
    ({"selector": "a_b"}, 422, "selector"),
    ({"selector": "2026A"}, 409, "selector"),
    ({"algorithm": "dsa"}, 422, "algorithm"),
    ({"bits": 1024}, 422, "bits"),
    ({"algorithm": "ed25519", "bits": 2048}, 422, "bits"),
    ({"private_key": "hello"}, 422, "private_key"),
    ({"private_key": LOCKED}, 422, "private_key"),
    ({"private_key": pem_of(generate_ec_key(SECP256R1()))}, 422, "private_key"),
    ({"private_key": PEM, "algorithm": "ed25519"}, 422, "algorithm"),
    ({"private_key": PEM, "bits": 4096}, 422, "bits"),
]


async def test_what_will_not_do_is_named(auth):
    await auth.made(KEYS, {"algorithm": "ed25519"})

    for body, status, field in WRONG:
        assert await refused(auth, "POST", KEYS, body) == (status, field), body
    for state in ("prepared", "gone"):
        answer = await refused(auth, "PATCH", f"{KEYS}/2026a", {"state": state})
        assert answer == (422, "state")


async def test_what_is_not_there_is_not_found(auth):
    for path in ("/v1/domains/x.test/dkim", "/v1/domains/a%20b/dkim", f"{KEYS}/nothing"):
        assert (await auth.call("GET", path)).status == 404
    assert (await auth.call("POST", "/v1/domains/x.test/dkim", {})).status == 404


async def test_keys_go_with_their_domain(auth):
    await auth.made("/v1/domains", {"name": "two.test"})
    key = await auth.made("/v1/domains/two.test/dkim", {"algorithm": "ed25519"})
    await auth.changed(f"/v1/domains/two.test/dkim/{key['selector']}", {"state": "active"})
    assert await signing(auth) == {key["selector"]}

    assert (await auth.call("DELETE", "/v1/domains/two.test")).status == 204

    assert await signing(auth) == set()
    (removed,) = (await auth.call("GET", "/v1/audit?key=two.test&limit=1")).body["items"]
    assert removed["before"]["dkim_keys"] == [key["selector"]]


async def test_a_change_is_made_on_what_was_seen_written_down_and_told(auth):
    await auth.made(KEYS, {"private_key": PEM})
    path = f"{KEYS}/2026a"
    seen = (await auth.call("GET", path)).headers["ETag"]
    for status in (200, 412):
        change = {"state": "active"}
        answer = await auth.call("PATCH", path, change, **{"If-Match": seen})
        assert answer.status == status
    await auth.changed(path, {"state": "retired"})
    await auth.call("DELETE", path)

    written = (await auth.call("GET", "/v1/audit?kind=dkim-keys")).body["items"]

    assert {entry["key"] for entry in written} == {"ours.test 2026a"}
    assert [entry["action"] for entry in written] == ["removed", "changed", "changed", "added"]
    assert "PRIVATE" not in str(written)
    assert "sealed" not in str(written)
    assert PEM.splitlines()[-3] not in str(written)
    assert {notice.kind for notice in auth.platform.bus.notices} == {"dkim-keys"}


async def test_without_a_secret_key_no_key_can_be_kept(file_url):
    async with served_auth(file_url, auth=Settings()) as auth:
        assert await refused(auth, "POST", KEYS, {}) == (409, "private_key")


async def test_dns_is_asked_whether_it_has_the_record(asked):
    names, auth = asked
    await auth.made(KEYS, {})
    path = f"{KEYS}/2026a/published"
    assert (await auth.call("GET", path)).body == {
        "published": False,
        "why": "DNS has no such record",
        "found": [],
    }

    names.zone["2026a._domainkey.ours.test", "TXT"] = "SERVFAIL"
    assert (await refused(auth, "GET", path))[0] == 503


async def test_what_dns_has_is_the_key(asked):
    names, auth = asked
    key = await auth.made(KEYS, {})
    names.zone["2026a._domainkey.ours.test", "TXT"] = [key["record"]["text"]]

    answer = (await auth.call("GET", f"{KEYS}/2026a/published")).body

    assert (answer["published"], answer["why"]) == (True, "")
    assert answer["found"] == [key["record"]["text"]]
