"""What is read from other servers' files."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.importing import BadFileError, Fault, read_users, style_of
from postroom.oldhashes import SCHEMES, secret_of
from services.auth.adapters import hashes

SSHA = "{SSHA}5yNT2sXdFxWqBHc8sVcfmGbR5Cm0Yh9l"
CRYPT = "$6$saltsalt$abc"


def read(text, **options):
    return read_users(text.encode(), **options)


def only(reading):
    (entry,) = reading.entries
    assert not reading.faults
    return entry


def why(text, **options):
    (fault,) = read(text, **options).faults
    return fault.why


def test_a_line_of_dovecot_is_a_user():
    entry = only(read(f"ann@a.test:{SSHA}:1000:1000:Ann Example,room 3:/home/ann::x=y\n"))

    assert (entry.line, entry.address, entry.login) == (1, "ann@a.test", "")
    assert entry.facts == {"full_name": "Ann Example", "password_hash": SSHA}


def test_a_short_line_will_do():
    assert only(read(f"ann@a.test:{CRYPT}")).facts == {"password_hash": CRYPT}


def test_who_has_no_domain_gets_the_one_that_is_named():
    entry = only(read(f"ann:{SSHA}", domain="a.test"))

    assert (entry.address, entry.login) == ("ann@a.test", "ann")


def test_who_has_no_domain_needs_one():
    assert why(f"ann:{SSHA}") == "the address has no domain: name one with --domain"


def test_a_password_in_clear_is_sent_as_one():
    assert only(read("ann@a.test:{PLAIN}se:cret")).facts["password"] == "se"
    assert only(read("ann@a.test:{plain.b64}c2VjcmV0")).facts["password"] == "secret"
    assert only(read("ann@a.test:{CLEARTEXT.HEX}736563726574")).facts["password"] == "secret"


def test_the_days_in_a_shadow_file_are_no_name():
    entry = only(read(f"ann:{CRYPT}:19000:0:99999:7:::", domain="a.test"))

    assert "full_name" not in entry.facts


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("", "has no password"),
        ("{SSHA}", "has no password"),
        ("*", "is locked"),
        ("!", "is locked"),
        ("!!", "is locked"),
        (f"!{CRYPT}", "is locked"),
        ("{CRYPT}!", "is locked"),
        ("*LK*", "is locked"),
        ("x", "has the password in another file, such as /etc/shadow"),
    ],
)
def test_who_cannot_log_in_is_passed_over_with_a_word(kept, said):
    assert read(f"ann@a.test:{kept}:1:1::/:").faults == (
        Fault(1, "ann@a.test", said, harmless=True),
    )


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("{NTLM}abc", "the scheme {NTLM} is not known here"),
        ("{scram-sha-256}4096,abc", "the scheme {scram-sha-256} is not known here"),
        ("ab01FAX.bQRSU", "the hash has no scheme that is known here: name it, as in {SSHA}"),
        ("{CRYPT}ab01FAX.b", "the hash has no scheme that is known here: name it, as in {SSHA}"),
        ("{crypt}$y$j9T$abc", "hashes that begin with $y$ are not known here"),
        ("$y$j9T$abc$def", "hashes that begin with $y$ are not known here"),
        ("$apr1$abc$def", "hashes that begin with $apr1$ are not known here"),
        ("{PLAIN.b64}%%%", "Only base64 data is allowed"),
        ("{PLAIN.rot13}abc", "rot13 is no way to write a password"),
    ],
)
def test_a_hash_that_cannot_be_checked_is_a_fault(kept, said):
    assert why(f"ann@a.test:{kept}") == said


def test_every_scheme_of_the_server_is_known_here():
    assert set(hashes.SCHEMES) | {"MD5"} == SCHEMES


def test_comments_and_empty_lines_count_as_lines_only():
    text = f"# users\r\n\r\n  # more\r\nann@a.test:{SSHA}\r\nbob\r\n"

    reading = read(text)

    assert [entry.line for entry in reading.entries] == [4]
    assert reading.faults == (Fault(5, "", "there is no colon in it"),)


def test_a_name_in_utf_8_or_in_latin_1_is_the_same():
    text = f"jörg@a.test:{SSHA}:::Jörg Müller::"

    one, other = read_users(text.encode()), read_users(text.encode("latin-1"))

    assert only(one) == only(other)
    assert only(one).facts["full_name"] == "Jörg Müller"
    assert (one.encoding, other.encoding) == ("UTF-8", "Latin-1")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_a_spreadsheet_puts_before_a_file_is_no_part_of_it(encoding):
    text = "login;address;password\r\nann;ann@a.test;Zauberwörter\r\n"

    entry = only(read_users(text.encode(encoding)))

    assert (entry.login, entry.facts) == ("ann", {"password": "Zauberwörter"})


def test_a_csv_file_tells_everything_about_a_user():
    entry = only(
        read(
            "Login,Email,Password-Hash,Full Name,May Relay,administrator,disabled,send_as,quota,"
            "aliases\n"
            f'ann,ann@a.test,{SSHA},"Example, ""Ann""",no,Yes,0,*@b.test c@d.test,1GiB,'
            '"info@a.test; sales@a.test"\n'
        )
    )

    assert (entry.line, entry.address, entry.login) == (2, "ann@a.test", "ann")
    assert entry.facts == {
        "password_hash": SSHA,
        "full_name": 'Example, "Ann"',
        "may_relay": False,
        "administrator": True,
        "disabled": False,
        "send_as": ["*@b.test", "c@d.test"],
        "quota": 1 << 30,
    }
    assert entry.aliases == ("info@a.test", "sales@a.test")


def test_what_a_csv_file_does_not_say_is_not_said():
    entry = only(read("address,password,full_name,may_relay\nann@a.test,x,,\n"))

    assert entry.facts == {"password": "x"}


def test_spaces_are_part_of_a_password_and_of_nothing_else():
    entry = only(read("address, password\n ann@a.test , open sesame \n"))

    assert (entry.address, entry.facts) == ("ann@a.test", {"password": " open sesame "})


def test_a_file_without_passwords_can_still_change_users():
    assert only(read("address,quota\nann@a.test,5MB\n")).facts == {"quota": 5_000_000}


def test_a_row_is_known_by_the_line_it_begins_on():
    text = 'address,password,full_name\n\nann@a.test,x,"Ann\nExample"\n#bob,,\nbob,x,Bob\n'

    reading = read(text)

    assert [entry.line for entry in reading.entries] == [3]
    assert [fault.line for fault in reading.faults] == [6]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("ann@a.test,x,,yes,more", "it has 5 columns, and the header 4"),
        ("ann@a.test,x", "it has 2 columns, and the header 4"),
        (",x,,", "it names nobody"),
        ("a b@a.test,x,,", "no address: "),
        ("ann@a.test,x,,perhaps", "'perhaps' is neither yes nor no"),
        (f"ann@a.test,x,{SSHA},", "there is a password, and a hash as well"),
        (f"ann@a.test,{SSHA},,", "the password looks like a hash"),
        (f"ann@a.test,{CRYPT},,", "the password looks like a hash"),
        ('ann@a.test,"x"y,,', "',' expected after '\"'"),
        ('ann@a.test,"x,,', "unexpected end of data"),
    ],
)
def test_a_row_that_is_wrong_is_a_fault_with_its_reason(row, said):
    assert why(f"address,password,password_hash,may_relay\n{row}\n").startswith(said)


def test_a_wrong_row_ends_nothing():
    text = 'address,password\nann@a.test,"x"y\nbob@a.test,x\ncat@a.test,x,x\ndan@a.test,x\n'

    reading = read(text)

    assert [entry.address for entry in reading.entries] == ["bob@a.test", "dan@a.test"]
    assert [fault.line for fault in reading.faults] == [2, 4]


def test_a_login_like_an_address_is_the_users_own():
    assert "must be the user's own" in why("login,address,password\nb@a.test,a@a.test,x\n")
    assert only(read("login,address,password\nA@a.test,a@A.test,x\n")).login == ""


@pytest.mark.parametrize("second", ["ann@a.test:{PLAIN}y", "ANN@A.TEST:{PLAIN}y", "ann:{PLAIN}y"])
def test_of_those_who_stand_there_twice_the_first_counts(second):
    reading = read(f"ann@a.test:{SSHA}\n{second}\n", domain="a.test")

    assert [entry.line for entry in reading.entries] == [1]
    assert [(f.line, f.why) for f in reading.faults] == [(2, "stands on line 1 already")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("address,password,colour\n", "there is no column colour"),
        ("address,email\n", "a column stands there twice"),
        ("full_name,password\n", "neither a column login nor a column address"),
        ('address,"pass"word\n', "line 1: "),
    ],
)
def test_a_header_that_is_wrong_spoils_the_file(text, said):
    with pytest.raises(BadFileError, match=said):
        read(text, style="csv")


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("login,password\n", "csv"),
        ("# users\n\nName;E-Mail;Login\n", "csv"),
        ('"address"\t"password"\n', "csv"),
        ("mail:x:8:8:mail,mail:/var/mail:\n", "passwd"),
        ("", "passwd"),
    ],
)
def test_the_first_line_tells_the_kind_of_file(text, style):
    assert style_of(text) == style


def test_an_empty_file_names_nobody():
    assert read("").entries == ()


@given(st.binary(max_size=300), st.sampled_from(["csv", "passwd", None]))
def test_no_file_whatsoever_does_harm(content, style):
    try:
        reading = read_users(content, style, "a.test")
    except BadFileError:
        return

    for entry in reading.entries:
        assert "@" in entry.address


@given(st.text(max_size=40))
def test_whatever_is_kept_is_a_secret_or_a_fault(kept):
    with suppress(ValueError):
        assert len(secret_of(kept)) == 1
