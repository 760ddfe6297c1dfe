"""Hashes that other servers made of a password: they are verified as they are."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.adapters.hashes import SCHEMES, BadHashError, scheme_of, verify

PASSWORD = "päss wörd".encode()
# Made by Dovecot 2.3 and OpenSSL 3.0.
HASHES = {
    "{SSHA}PXw3VPn4O/utBDNSHh5/Ll/5RP2ZV9ya": "SSHA",
    "{SSHA.HEX}7675d0b5bfcde6cef724d6a7222ccb9ec0f1606b1cab3490": "SSHA",
    "{SHA}/i4CfWuUyOmLaC9O8e9k/TBfbK8=": "SHA",
    "{sha1.hex}fe2e027d6b94c8e98b682f4ef1ef64fd305f6caf": "SHA1",
    "{SHA256}nZeOKZw+IphR1Bgwa5CX4YW3jBofBqPGXszHb5xN75k=": "SHA256",
    "{SHA512}wPSLvqJa09dVpu1yACeVU+xsmRLkw8NS+HnXqihn8FjsLrCFi3LTzyVZvUP6Rejv6swr/Ao2OINvzQwmYVv"
    "wDg==": "SHA512",
    "{SSHA256}keQNEjFdsjTIbxMuqMcqMmZXIqeSbNoX66MMreYVJoQVR5iQ": "SSHA256",
    "{SSHA512}3tS7YreLHa1oQ1bEoji2NY2HThxKBpO3VjxZ6Ypt+3iFJjCJDRWp1XXIMt0+8JUSb12n/CUdXqRx0xP/IVB"
    "WDt/tFrY=": "SSHA512",
    "{SMD5}tuByqtE5BjshQZT5gJuGckMuwBA=": "SMD5",
    "{LDAP-MD5}dXVbOF+Z2Dhtyx7XTnx1JQ==": "LDAP-MD5",
    "{MD5}dXVbOF+Z2Dhtyx7XTnx1JQ==": "LDAP-MD5",
    "{PLAIN-MD5}75755b385f99d8386dcb1ed74e7c7525": "PLAIN-MD5",
    "{MD5-CRYPT}$1$i6hi2EiD$Mo0LVopGJNLMAvSnb2amw.": "MD5-CRYPT",
    "{MD5}$1$i6hi2EiD$Mo0LVopGJNLMAvSnb2amw.": "MD5-CRYPT",
    "$1$i6hi2EiD$Mo0LVopGJNLMAvSnb2amw.": "CRYPT",
    "$apr1$hKGagYgJ$q4wKUpKYP7S8VaahE7nHS/": "CRYPT",
    "{SHA256-CRYPT}$5$OG1RPW3WR7SetgGp$DCplDpGj3ioIIZV1t8DxFTnQxwDq38xiAs/KKQfc.v1": "SHA256-CRYPT",
    "{SHA512-CRYPT}$6$GcQ6/UsLRWWKP/0s$.NBizRxvzGqJRMx.DOX14YhNYXKjLVo0ngZ0HJSkekedWVPDgYhuynzjp1"
    "TuT2lFbrSYWblFdvQn6QaSAJ64b.": "SHA512-CRYPT",
    "$6$GcQ6/UsLRWWKP/0s$.NBizRxvzGqJRMx.DOX14YhNYXKjLVo0ngZ0HJSkekedWVPDgYhuynzjp1TuT2lFbrSYWblF"
    "dvQn6QaSAJ64b.": "CRYPT",
    "{BLF-CRYPT}$2y$05$mawCTXTkEH0D7YOhSyqjg.wJi0/9/v2wNzZtPYjHfeVJYcOTff48e": "BLF-CRYPT",
    "$2b$05$mawCTXTkEH0D7YOhSyqjg.wJi0/9/v2wNzZtPYjHfeVJYcOTff48e": "CRYPT",
    "{CRYPT}$2a$05$mawCTXTkEH0D7YOhSyqjg.wJi0/9/v2wNzZtPYjHfeVJYcOTff48e": "CRYPT",
    "{CRYPT.B64}JDJ5JDA1JE1YSG9ZUDQvYlJWeU5yczNNV0FqOS5INFZwVUdCYzVieWFkOS8xcUpzaS84VlNSYUFuQi5l":
    "CRYPT",
    "{PBKDF2}$1$1diTtoR0NmYgFkYr$5000$7e232d448ee03f6f0781947bd3884490b8ff5b4b": "PBKDF2",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$7iLUJutnANYosrq2r2b1ew$qRLmAQwK956A3ax/sSs/HE/2fm4p"
    "V+3G1C4uoOIcwNg": "ARGON2ID",
    "$argon2id$v=19$m=65536,t=3,p=1$7iLUJutnANYosrq2r2b1ew$qRLmAQwK956A3ax/sSs/HE/2fm4pV+3G1C4uoO"
    "IcwNg": "CRYPT",
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$Oy90ucASmJ1bbqnnu1A9xA$Q2pZ+j6a3mogOboZ0Bgk49V0wBWYGx"
    "8AVl8IjBQ2eIQ": "ARGON2I",
    "{PLAIN}päss wörd": "PLAIN",
    "{CLEARTEXT}päss wörd": "CLEARTEXT",
    "{PLAIN.b64}cMOkc3Mgd8O2cmQ=": "PLAIN",
}  # fmt: skip


@pytest.mark.parametrize(("text", "scheme"), HASHES.items())
def test_a_hash_fits_its_password_and_no_other(text, scheme):
    assert scheme_of(text) == scheme
    assert verify(text, PASSWORD)
    assert not verify(text, b"pass word")
    assert not verify(text, b"")


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_bcrypt_reads_72_octets_however_long_the_password(prefix):
    text = f"{prefix}05$mawCTXTkEH0D7YOhSyqjg.wJi0/9/v2wNzZtPYjHfeVJYcOTff48e"

    assert not verify(text, PASSWORD * 40)
    assert not verify(text, PASSWORD + b"\0")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("secret", "write the scheme"),
        ("", "write the scheme"),
        ("q79nnHR46jCiI", "write the scheme"),
        ("{DES-CRYPT}q79nnHR46jCiI", "DES-CRYPT is not known"),
        ("{CRYPT}q79nnHR46jCiI", "kind of crypt"),
        ("{SCRAM-SHA-1}4096,cyecssf4", "SCRAM-SHA-1 is not known"),
        ("{SSHA}not base64!", "is not b64"),
        ("{SSHA.hex}xyz", "is not hex"),
        ("{SSHA}/i4CfWuUyOmLaC9O8e9k/TBfbK8=", "20 octets"),
        ("{SHA}PXw3VPn4O/utBDNSHh5/Ll/5RP2ZV9ya", "24 octets"),
        ("{PLAIN}", "empty"),
        ("$6$GcQ6/UsLRWWKP/0s", "CRYPT"),
        ("{MD5-CRYPT}$6$GcQ6/UsLRWWKP/0s$.NBizRxvzGqJRMx", "MD5-CRYPT"),
        ("$2b$05$tooshort", "bcrypt"),
        ("{PBKDF2}$1$salt$5000$short", "salt"),
        ("$argon2id$v=19$m=65536,t=3,p=1$x$y", "Argon2"),
        ("{PLAIN}" + "x" * 250, "255 characters"),
    ],
)
def test_what_cannot_be_verified_is_no_hash(text, why):
    with pytest.raises(BadHashError, match=why):
        scheme_of(text)


ABSURD = [
    (
        "$6$rounds=999999999$GcQ6/UsLRWWKP/0s$.NBizRxvzGqJRMx.DOX14YhNYXKjLVo0ngZ0HJSkekedWVPDgYhuynz"
        "jp1TuT2lFbrSYWblFdvQn6QaSAJ64b."
    ),
    "$5$rounds=1000001$OG1RPW3WR7SetgGp$DCplDpGj3ioIIZV1t8DxFTnQxwDq38xiAs/KKQfc.v1",
    "$2b$31$mawCTXTkEH0D7YOhSyqjg.wJi0/9/v2wNzZtPYjHfeVJYcOTff48e",
    "{PBKDF2}$1$1diTtoR0NmYgFkYr$999999999$7e232d448ee03f6f0781947bd3884490b8ff5b4b",
    "{PBKDF2}$1$1diTtoR0NmYgFkYr$0$7e232d448ee03f6f0781947bd3884490b8ff5b4b",
    "$argon2id$v=19$m=4194304,t=3,p=1$7iLUJutnANYosrq2r2b1ew$qRLmAQwK956A3ax/sSs/HE/2fm4pV+3G1C4u",
    "$argon2id$v=19$m=65536,t=9999,p=1$7iLUJutnANYosrq2r2b1ew$qRLmAQwK956A3ax/sSs/HE/2fm4pV+3G1C4u",
    "$argon2id$v=19$m=65536,t=3,p=255$7iLUJutnANYosrq2r2b1ew$qRLmAQwK956A3ax/sSs/HE/2fm4pV+3G1C4u",
]


@pytest.mark.parametrize("text", ABSURD)
def test_a_hash_that_costs_absurdly_much_is_refused_at_once(text):
    before = time.process_time()

    with pytest.raises(BadHashError):
        scheme_of(text)

    assert time.process_time() - before < 0.1


texts = st.one_of(
    st.text(max_size=40),
    st.builds("{{{}}}{}".format, st.sampled_from(sorted(SCHEMES)), st.text(max_size=40)),
    st.builds("${}${}".format, st.sampled_from(["1", "5", "6", "2b"]), st.text(max_size=40)),
)


@given(texts)
def test_whatever_is_given_as_a_hash_is_one_or_is_refused(text):
    try:
        assert scheme_of(text) in SCHEMES
    except BadHashError:
        return
    assert not verify(text, b"some password that is not in there")
