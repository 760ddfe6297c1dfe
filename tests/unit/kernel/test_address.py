"""Addresses are parsed once, as RFC 5321 §4.1.2 and RFC 6531 spell them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address, BadAddressError


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
