"""Addresses are parsed once, as RFC 5321 §4.1.2 and RFC 6531 spell them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address, BadAddressError, parse_domain


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("ann@ours.test", "ann", "ours.test"),
        ("Ann.Lee@OURS.Test", "Ann.Lee", "ours.test"),
        ("a+tag@ours.test", "a+tag", "ours.test"),
        ("!#$%&'*+-/=?^_`{|}~@ours.test", "!#$%&'*+-/=?^_`{|}~", "ours.test"),
        ('"ann lee"@ours.test', "ann lee", "ours.test"),
        ('"a@b"@ours.test', "a@b", "ours.test"),
        (r'"a\"b\\c"@ours.test', 'a"b\\c', "ours.test"),
        ('""@ours.test', "", "ours.test"),
        ("ann@[192.0.2.1]", "ann", "[192.0.2.1]"),
        ("ann@[IPv6:2001:DB8::1]", "ann", "[ipv6:2001:db8::1]"),
        ("jürgen@bücher.test", "jürgen", "xn--bcher-kva.test"),
        ("ann@localhost", "ann", "localhost"),
        (f"SRS0={'x' * 249}@ours.test", f"SRS0={'x' * 249}", "ours.test"),
    ],
)
def test_an_address_is_understood(text, local, domain):
    assert Address.parse(text) == Address(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@ours.test",
        "ann@",
        "ann@@ours.test",
        ".ann@ours.test",
        "ann.@ours.test",
        "a..n@ours.test",
        "ann lee@ours.test",
        "ann@ours..test",
        "ann@-ours.test",
        "ann@ours.test.",
        "ann@ours_x.test",
        '"ann@ours.test',
        '"ann"lee@ours.test',
        "ann@[192.0.2.256]",
        "ann@[2001:db8::1]",
        "ann@[IPv6:192.0.2.1]",
        "ann@[192.0.2.1",
        "ann@ours.test\r\n",
        "a\x00n@ours.test",
        "ann@ours.test>",
        "a" * 65 + "@ours.test",
        f"SRS0={'x' * 250}@ours.test",
        f"SRS2={'x' * 60}@ours.test",
        "ann@" + "a." * 127 + "test",
        "\udc80@ours.test",
        '"\ud800"@ours.test',
        "ann@stra\u00dfe.test",
        "ann@\u03c2.test",
        "ann@ou\u200drs.test",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(BadAddressError):
        Address.parse(text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=0, max_size=30))
def test_what_is_written_is_read_back(local):
    address = Address(local, "ours.test")

    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("domain", ["ours.test", "OURS.test", "XN--Bcher-2pa.test", "a.1", "-.a"])
@given(st.text("aZ0.-+'xn", min_size=1, max_size=70))
def test_a_plain_address_means_what_its_quoted_form_means(domain, local):
    quoted = _read(f'"{local}"@{domain}')
    is_dot_string = all(local.split("."))

    assert _read(f"{local}@{domain}") == (quoted if is_dot_string else None)


def _read(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except BadAddressError:
        return None


@given(st.text(max_size=100))
def test_no_text_breaks_the_parser(text):
    try:
        address = Address.parse(text)
    except BadAddressError:
        return
    assert Address.parse(str(address)) == address


def test_only_an_ascii_local_part_can_be_told_to_every_server():
    assert Address.parse("ann@bücher.test").is_ascii
    assert not Address.parse("jürgen@ours.test").is_ascii


@pytest.mark.parametrize(
    "text",
    [
        '"ann"@ours.test',
        r'"a\n\n"@ours.test',
        "ann@OURS.TEST",
        "ann@\uff4f\uff55\uff52\uff53.test",
        "ann@ours\u3002test",
        "ann@ours\u2024test",
    ],
)
def test_ann_in_disguise_is_ann(text):
    assert Address.parse(text) == Address("ann", "ours.test")


@pytest.mark.parametrize(
    "domain",
    [
        "b\u00fccher.test",
        "bu\u0308cher.test",
        "B\u00dcCHER.Test",
        "xn--bcher-kva.test",
        "XN--BCHER-KVA.TEST",
    ],
)
def test_a_domain_has_one_name_however_it_is_written(domain):
    assert parse_domain(domain) == "xn--bcher-kva.test"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("[127.0.0.1]", "[127.0.0.1]"),
        ("[IPv6:::ffff:127.0.0.1]", "[127.0.0.1]"),
        ("[ipv6:::FFFF:7f00:1]", "[127.0.0.1]"),
        ("[IPV6:2001:0DB8:0:0:0:0:0:1]", "[ipv6:2001:db8::1]"),
        ("[IPv6:2001:db8::0.0.0.1]", "[ipv6:2001:db8::1]"),
    ],
)
def test_an_address_literal_has_one_spelling(text, literal):
    assert parse_domain(text) == literal


@pytest.mark.parametrize(
    "domain",
    [
        "127.0.0.1",
        "2130706433",
        "[127.1]",
        "[127.000.000.001]",
        "[IPv6:fe80::1%eth0]",
        "[x400:c=gb]",
        "ours.test.",
        "ours.test\u3002",
        "ours.test (a comment)",
        " ours.test",
        "xn--ours-.test",
        "xn--bcher-2pa.test",
        "a\u1d2cb.test",
        "\u0131" * 300,
    ],
)
def test_a_domain_in_a_doubtful_disguise_is_refused(domain):
    with pytest.raises(BadAddressError):
        parse_domain(domain)


@pytest.mark.parametrize("control", ["\x00", "\x1f", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"])
@pytest.mark.parametrize("form", ["a{}n@ours.test", '"a{}n"@ours.test', "ann@ou{}rs.test"])
def test_control_characters_and_line_ends_have_no_place_in_an_address(form, control):
    with pytest.raises(BadAddressError):
        Address.parse(form.format(control))


def test_a_name_of_newer_unicode_may_come_in_a_labels():
    assert parse_domain("xn--strae-oqa.test") == "xn--strae-oqa.test"


@given(st.text(max_size=80))
def test_a_domain_is_its_own_canonical_form(text):
    try:
        domain = parse_domain(text)
    except BadAddressError:
        return
    assert parse_domain(domain) == domain
    assert parse_domain(domain.upper()) == domain
