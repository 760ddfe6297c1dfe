"""Whatever stands in RCPT TO is judged by what it means: ours in disguise is never remote."""

import unicodedata
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.model.address import Address, BadAddressError, parse_domain
from kernel.model.envelope import Recipient
from kernel.model.questions import Place
from kernel.model.reply import Reply
from services.auth.core.directory import Domain, resolve
from services.ingress.core.grammar import parse_rcpt

NAMES = ("ours.test", "bücher.test", "[192.0.2.7]", "[IPv6:2001:db8::7]")
DOMAINS = {parse_domain(name): Domain(parse_domain(name)) for name in NAMES}

IDNA_DOTS = ".\u3002\uff0e\uff61"
ATEXT = "abcABC019!#$%&'*+-/=?^_`{|}~"
UTF8 = "äßжℌ漢"


def rcpt(argument):
    return parse_rcpt(f"TO:{argument}", extended=True, smtputf8=True, domain="ours.test")


def place_of(read):
    return resolve(read.address, DOMAINS, {}).place


@st.composite
def any_case(draw, text):
    return "".join(draw(st.sampled_from([c.lower(), c.upper()])) for c in text)


@st.composite
def names_of_ours(draw):
    """One of our domains, in letters of any case, width and composition."""
    name = draw(st.sampled_from(["ours.test", "bücher.test", "xn--bcher-kva.test"]))
    name = draw(any_case(name))
    if not name.lower().startswith("xn--"):
        name = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), name)
        name = name.replace(".", draw(st.sampled_from(IDNA_DOTS)))
        if draw(st.booleans()):
            name = "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalpha() else c for c in name)
    return name + draw(st.sampled_from(["", "", "."]))


@st.composite
def literals_of_ours(draw):
    """One of our addresses, in any of its spellings."""
    v4, v6 = ip_address("192.0.2.7"), ip_address("2001:db8::7")
    spelled = [
        f"[{v4}]",
        f"[IPv6:::ffff:{v4}]",
        f"[IPv6:0:0:0:0:0:ffff:{v4}]",
        "[IPv6:::ffff:c000:207]",
        f"[IPv6:{v6}]",
        f"[IPv6:{v6.exploded}]",
        "[IPv6:2001:0DB8::0.0.0.7]",
        f"{v4}",
        "[192.0.2.007]",
    ]
    return draw(any_case(draw(st.sampled_from(spelled))))


@st.composite
def local_parts(draw):
    """Any local part, in quotes or not, with what reads like another address in it."""
    text = draw(st.text(st.sampled_from(ATEXT + UTF8 + '.@ "\\:,<>()'), max_size=20))
    if draw(st.booleans()):
        return text
    pair = st.sampled_from(["{}", "\\{}"])
    return (
        '"'
        + "".join(
            f"\\{c}" if c in '"\\' else draw(pair).format(c) if c.isascii() else c for c in text
        )
        + '"'
    )


routes = st.sampled_from(
    ["", "@elsewhere.test:", "@ours.test,@elsewhere.test:", "@[IPv6:2001:db8::1]:", "@a:@b:"]
)


@given(routes, local_parts(), st.one_of(names_of_ours(), literals_of_ours()))
def test_a_domain_of_ours_in_disguise_is_local_or_refused(route, local, domain):
    read = rcpt(f"<{route}{local}@{domain}>")

    assert isinstance(read, Reply) or place_of(read) is not Place.REMOTE


@given(local_parts(), names_of_ours())
def test_most_disguises_are_seen_through(local, domain):
    """The property above would be kept by a server that refuses everybody, too."""
    plain = rcpt(f"<{local}@ours.test>")
    disguised = rcpt(f"<{local}@{domain}>")

    assert isinstance(plain, Reply) or isinstance(disguised, Recipient) or domain.endswith(".")


@given(st.text(max_size=60), st.text(max_size=40))
def test_what_is_taken_is_written_as_it_is_read(local, domain):
    for path in (f"<{local}@{domain}>", f'<"{local}"@{domain}>', f"<{local}@ours.test>", local):
        read = rcpt(path)
        if isinstance(read, Recipient):
            assert Address.parse(str(read.address)) == read.address


@given(st.text(max_size=60))
def test_an_address_and_its_spelling_are_one(text):
    for spelled in (text, f"{text}@ours.test", f"ann@{text}", f'"{text}"@ours.test'):
        try:
            address = Address.parse(spelled)
        except BadAddressError:
            continue
        assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "path",
    [
        "<ann%elsewhere.test@ours.test>",
        "<elsewhere.test!ann@ours.test>",
        '<"ann@elsewhere.test"@ours.test>',
        "<@elsewhere.test:ann@ours.test>",
        "<ann%elsewhere.test@OURS.test>",
        "<ann@elsewhere.test>",
    ],
)
def test_who_is_meant_is_what_stands_after_the_last_at(path):
    read = rcpt(path)

    remote = "ann@elsewhere" in path and '"' not in path
    assert place_of(read) is (Place.REMOTE if remote else Place.UNKNOWN)


@pytest.mark.parametrize(
    "path",
    [
        "<ann@ours.test(x)>",
        "<(x)ann@ours.test>",
        "< ann@ours.test>",
        "<ann@ours.test >",
        "<ann @ours.test>",
        "<ann@ours.test\x00>",
        "<ann\x00@ours.test>",
        '<"ann\x00"@ours.test>',
        '<"ann\r\nDATA"@ours.test>',
        '<"ann\x85"@ours.test>',
        "<ann@ours.test\u00a0>",
        "<ann\uff20ours.test>",
        "<" + "a" * 65 + "@ours.test>",
        '<"' + "a" * 65 + '"@ours.test>',
        "<ann@" + "a." * 126 + "test>",
    ],
)
def test_blanks_comments_controls_and_what_is_too_long_are_refused(path):
    assert isinstance(rcpt(path), Reply)
