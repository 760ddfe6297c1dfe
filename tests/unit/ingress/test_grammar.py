import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address
from kernel.model.envelope import Recipient
from kernel.model.reply import Reply
from services.ingress.core import replies
from services.ingress.core.grammar import (
    BdatCommand,
    MailCommand,
    parse_bdat,
    parse_helo,
    parse_mail,
    parse_rcpt,
)
from tests.support.mail import ANN, BOB


def mail(argument, *, extended=True):
    return parse_mail(argument, extended=extended)


def rcpt(argument, *, extended=True, smtputf8=False):
    return parse_rcpt(argument, extended=extended, smtputf8=smtputf8, domain="ours.test")


@pytest.mark.parametrize(
    ("argument", "sender"),
    [
        ("FROM:<bob@elsewhere.test>", BOB),
        ("from: <bob@elsewhere.test>", BOB),
        ("FROM:<@a.test,@b.test:bob@elsewhere.test>", BOB),
        ("FROM:<@[192.0.2.1],@[IPv6:2001:db8::1]:bob@elsewhere.test>", BOB),
        ("FROM:<>", None),
        ('FROM:<"a b>c"@elsewhere.test>', Address("a b>c", "elsewhere.test")),
        ("FROM:<bob@[192.0.2.1]>", Address("bob", "[192.0.2.1]")),
        ("FROM:<bob@[IPv6:2001:db8::1]>", Address("bob", "[ipv6:2001:db8::1]")),
        ("FROM:<BoB@elsewhere.test>", Address("BoB", "elsewhere.test")),
        ('FROM:<""@x.test>', Address("", "x.test")),
        (r'FROM:<"\a\"\\"@x.test>', Address('a"\\', "x.test")),
        ("FROM:<bob@[IPv6:::ffff:192.0.2.1]>", Address("bob", "[192.0.2.1]")),
        (f"FROM:<bob@{'a.' * 123}test>", Address("bob", f"{'a.' * 123}test")),
        ("FROM:<!#$%&'*+-/=?^_`{|}~@x.test>", Address("!#$%&'*+-/=?^_`{|}~", "x.test")),
    ],
)
def test_paths(argument, sender):
    assert mail(argument) == MailCommand(sender)


@pytest.mark.parametrize(
    "argument",
    [
        "", "FROM", "FROM:", "FROM:bob@elsewhere.test", "FROM:<bob@elsewhere.test",
        "FROM:<bob@elsewhere.test>x", "FROM:<a b@elsewhere.test>", "FROM:  <bob@elsewhere.test>",
        "TO:<bob@elsewhere.test>",
    ],
)  # fmt: skip
def test_what_is_no_path_is_a_syntax_error(argument):
    assert mail(argument) == replies.BAD_MAIL


@pytest.mark.parametrize(
    "path", ["bob", "@elsewhere.test", "bob@", "a..b@x.test", "bob@-x.test", "b@x.test.",
             "a@b@c.test", "bob@[192.0.2.256]", "@a.test,b.test:bob@x.test",
             "@a.test:@b.test:bob@x.test", "@:bob@x.test", "@a@b.test:bob@x.test",
             "bob@192.0.2.1", "a.test!bob", "bob%a.test",
             "bob@[2001:db8::1]", "bob@[IPv6:192.0.2.1]", "bob@[x-tag:y]", "bob@[192.0.2.1]x",
             "bob@[192.0.2]", "bob@[192.0.2.01]", "bob@a_b.test", f"bob@{'a.' * 124}test",
             '"a\x7fb"@x.test', "@a.test:", '"a"b@x.test', "x" * 65 + "@x.test"],
)  # fmt: skip
def test_what_is_no_address_is_refused_as_such(path):
    assert mail(f"FROM:<{path}>") == replies.BAD_SENDER
    assert rcpt(f"TO:<{path}>") == replies.BAD_RECIPIENT


def test_postmaster_needs_no_domain():
    assert rcpt("TO:<Postmaster>") == Recipient(Address("Postmaster", "ours.test"))
    assert mail("FROM:<postmaster>") == replies.BAD_SENDER


@pytest.mark.parametrize("domain", ["OURS.Test", "ours.test"])
def test_a_bare_postmaster_is_in_our_domain_however_that_was_written(domain):
    read = parse_rcpt("TO:<postmaster>", extended=True, smtputf8=False, domain=domain)

    assert read == Recipient(Address("postmaster", "ours.test"))


def test_parameters_keep_their_case():
    command = mail("FROM:<bob@elsewhere.test> envid=AbC+3D ret=full")

    assert command == MailCommand(BOB, envid="AbC+3D", ret="FULL")
    assert rcpt("TO:<ann@ours.test> ORCPT=RFC822;Ann@Ours.test") == Recipient(
        ANN, orcpt="RFC822;Ann@Ours.test"
    )


@pytest.mark.parametrize(
    "parameters",
    ["SIZE", "SIZE=", "SIZE=-1", "SIZE=٣", "SIZE=" + "9" * 21, "BODY", "BODY=BINARY",
     "SMTPUTF8=1", "RET", "RET=ALL", "ENVID=a b=", "ENVID=a+b", "ENVID=" + "a" * 101,
     "SIZE=1 size=1", "=1", "AUTH", "ENVID=a+00", "ENVID=a+2b", "ENVID=a+7F"],
)  # fmt: skip
def test_bad_values_of_mail(parameters):
    assert mail(f"FROM:<bob@elsewhere.test> {parameters}") == replies.BAD_PARAMETER


@pytest.mark.parametrize(
    "parameters",
    ["NOTIFY", "NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=SOMETIMES", "ORCPT", "ORCPT=ann@ours.test",
     "ORCPT=rfc822;", "ORCPT=rfc822;a+b", "ORCPT=rfc822;" + "a" * 500],
)  # fmt: skip
def test_bad_values_of_rcpt(parameters):
    assert rcpt(f"TO:<ann@ours.test> {parameters}") == replies.BAD_PARAMETER


def test_unknown_parameters():
    assert mail("FROM:<bob@elsewhere.test> X=1") == replies.UNKNOWN_PARAMETER
    assert rcpt("TO:<ann@ours.test> SIZE=1") == replies.UNKNOWN_PARAMETER
    assert mail("FROM:<bob@elsewhere.test> SIZE=1", extended=False) == replies.UNKNOWN_PARAMETER


def test_requiretls_is_there_under_tls_alone():
    argument = "FROM:<bob@elsewhere.test> REQUIRETLS"

    assert parse_mail(argument, extended=True, tls=True) == MailCommand(BOB, requiretls=True)
    assert parse_mail(argument + "=1", extended=True, tls=True) == replies.BAD_PARAMETER
    assert parse_mail(argument, extended=True) == replies.UNKNOWN_PARAMETER


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_mail_is_held_until_a_moment_that_everybody_can_name(moment):
    argument = f"FROM:<{BOB}> HOLDUNTIL={moment}"

    assert parse_mail(argument, extended=True, holds=True) == replies.BAD_PARAMETER


def test_a_value_may_hold_what_is_space_beyond_ascii_alone():
    recipient = rcpt("TO:<ann@ours.test> ORCPT=utf-8;a\u3000b@x.test")

    assert recipient == Recipient(ANN, orcpt="utf-8;a\u3000b@x.test")


@pytest.mark.parametrize(
    ("argument", "command"),
    [
        ("14", BdatCommand(14)),
        ("14 LAST", BdatCommand(14, is_last=True)),
        ("0  last", BdatCommand(0, is_last=True)),
        ("14 FIRST", BdatCommand(14, is_malformed=True)),
        ("14 LAST LAST", BdatCommand(14, is_malformed=True)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("0x10", None),
        ("\u0661", None),
        ("1" * 21, None),
        ("LAST", None),
        ("14LAST", None),
    ],
)
def test_chunks(argument, command):
    assert parse_bdat(argument) == command


def test_addresses_beyond_ascii_need_smtputf8():
    assert mail("FROM:<jürgen@elsewhere.test>") == replies.NEEDS_SMTPUTF8
    assert mail("FROM:<bob@bücher.test>") == replies.NEEDS_SMTPUTF8
    command = mail("FROM:<jürgen@bücher.test> SMTPUTF8")
    assert command == MailCommand(Address("jürgen", "xn--bcher-kva.test"), smtputf8=True)
    assert rcpt("TO:<jürgen@ours.test>") == replies.NEEDS_SMTPUTF8
    assert rcpt("TO:<jürgen@ours.test>", smtputf8=True).address.local == "jürgen"


@pytest.mark.parametrize(
    "name", ["x", "a.test", "[192.0.2.1]", "[IPv6:2001:db8::1]", "under_score"]
)
def test_a_name_that_can_stand_in_a_header_is_taken(name):
    assert parse_helo(name) == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a(b)", "a\tb", "bücher.test", "a" * 256, "<a>", "a;b"]
)
def test_a_name_that_cannot_is_not(name):
    assert parse_helo(name) is None


@given(st.text(max_size=200))
def test_every_argument_has_an_answer(text):
    assert isinstance(mail(f"FROM:<{text}>"), Reply | MailCommand)
    assert isinstance(rcpt(f"TO:<ann@ours.test> {text}"), Reply | Recipient)
