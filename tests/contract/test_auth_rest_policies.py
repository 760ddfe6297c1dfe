"""Networks, listeners and grants over the REST API of auth: what would be silent is said."""

import pytest

from services.auth.settings import Settings
from tests.support.auth import SECRET_KEY, served_auth

ANN = {"address": "ann@ours.test", "password": "a secret"}
CLIENT = "198.51.100.7"


async def test_a_network_that_is_never_in_the_lan_is_refused(url):
    never = ("198.51.100.1/32", "2001:db8:1::/48")
    settings = Settings(secret_key=SECRET_KEY, lan_never=never)
    async with served_auth(url, auth=settings) as auth:
        for cidr in ("198.51.100.1", "2001:db8:1:2::/64", "2001:db8:1::7"):
            answer = await auth.call("POST", "/v1/networks", {"cidr": cidr})
            assert (answer.status, answer.body["field"]) == (422, "cidr")
            assert "POSTROOM_LAN_NEVER" in answer.body["detail"]

        for cidr in ("198.51.100.0/24", "198.51.100.2", "2001:db8::/32"):
            await auth.made("/v1/networks", {"cidr": cidr})


async def test_mechanisms_may_be_named_in_any_case(auth):
    names = {"mechanisms": ["plain", "Scram-Sha-256", "CRAM-md5"]}

    changed = await auth.changed("/v1/listeners/mx", names)

    assert changed["mechanisms"] == ["PLAIN", "SCRAM-SHA-256", "CRAM-MD5"]


async def test_a_fingerprint_may_be_written_as_openssl_prints_it(auth):
    printed = "SHA256 Fingerprint=" + ":".join(["C0"] * 32)
    fingerprints = {"trusted_certificates": [printed, 32 * "c1"]}

    changed = await auth.changed("/v1/listeners/mx", fingerprints)
    refused = await auth.call(
        "PATCH", "/v1/listeners/mx", {"trusted_certificates": ["sha256:c0ffee"]}
    )

    assert changed["trusted_certificates"] == ["sha256:" + 32 * d for d in ("c0", "c1")]
    assert (refused.status, refused.body["field"]) == (422, "trusted_certificates.0")
    assert "openssl" in refused.body["detail"]


async def test_an_explanation_counts_the_certificate(auth):
    certificate = "sha256:" + 32 * "c0"
    changes = {"client_certificates": True, "trusted_certificates": [certificate]}
    await auth.changed("/v1/listeners/mx", changes)
    asked = {"listener": "mx", "client": CLIENT, "sender": "a@b.test", "recipient": "c@d.test"}

    with_it = await auth.call("POST", "/v1/explain", {**asked, "certificate": certificate})
    without = await auth.call("POST", "/v1/explain", asked)

    assert (with_it.body["rule"], without.body["rule"]) == ("certificate", "relay-denied")


LISTENER_SETTINGS = [
    ("tls", "implicit"),
    ("access", ["lan", "!192.0.2.0/24"]),
    ("plaintext_auth", "lan"),
    ("require_auth", "to-relay"),
    ("own_addresses_only", False),
    ("collection_grants", True),
    ("relay_nonlocal_senders", False),
    ("always_relay_senders", ["x.test"]),
    ("reject_local_helo_spoof", False),
    ("max_message_size", 100_000),
    ("max_connections_per_ip", 3),
    ("bare_line_ends", "normalise"),
    ("message_rate_per_ip", ["60/minute", "1000/hour"]),
    ("recipient_rate_per_user", []),
    ("greet_pause", 5),
    ("client_certificates", True),
    ("trusted_certificates", ["sha256:" + 32 * "c0"]),
]


async def test_a_change_of_a_listener_carries_what_it_changes_alone(auth):
    for field, value in LISTENER_SETTINGS:
        before = (await auth.call("GET", "/v1/listeners/submission")).body

        after = await auth.changed("/v1/listeners/submission", {field: value})

        assert after == {**before, field: value}


WRONG = [
    ({"max_recipients": "200"}, "max_recipients"),
    ({"max_recipients": True}, "max_recipients"),
    ({"max_message_size": 2**60}, "max_message_size"),
    ({"relay_nonlocal_senders": "no"}, "relay_nonlocal_senders"),
    ({"always_relay_recipients": ["a.test", "b.test", "*"]}, "always_relay_recipients.2"),
    ({"access": ["any", 5]}, "access.1"),
    ({"message_rate_per_ip": ["60/minute", "lots"]}, "message_rate_per_ip.1"),
    ({"plaintext_auth": True}, "plaintext_auth"),
]


async def test_a_wrong_setting_is_named_to_its_place_in_a_list(auth):
    for change, field in WRONG:
        answer = await auth.call("PATCH", "/v1/listeners/mx", change)

        assert (answer.status, answer.body["field"]) == (422, field)


@pytest.mark.parametrize("end", ["disabled", "removed"])
async def test_grants_end_with_their_user(auth, end):
    await auth.made("/v1/users", ANN)
    await auth.changed("/v1/listeners/mx", {"collection_grants": True})
    report = {"service": "imap", "user": "ann@ours.test", "client": CLIENT}
    assert (await auth.call("POST", "/v1/logins", report)).body["granted"]
    assert len((await auth.call("GET", "/v1/grants")).body["items"]) == 1

    if end == "disabled":
        await auth.changed("/v1/users/ann@ours.test", {"disabled": True})
    else:
        await auth.call("DELETE", "/v1/users/ann@ours.test")

    assert (await auth.call("GET", "/v1/grants")).body["items"] == []
    written = (await auth.call("GET", "/v1/audit?limit=2")).body["items"]
    assert CLIENT in str(written)
