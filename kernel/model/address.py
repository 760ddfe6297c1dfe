"""Address: a mailbox name, parsed once at the edge and never a string again.

The grammar is RFC 5321 §4.1.2 (``Mailbox``) with RFC 6531's UTF-8 extension.
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

MAX_LOCAL_PART = 64  # octets, RFC 5321 §4.5.3.1.1
MAX_SEALED = 254  # octets of a local part that holds an address: a path has no room for more
MAX_DOMAIN = 255  # octets, RFC 5321 §4.5.3.1.2

_ATEXT = r"A-Za-z0-9!#$%&'*+\-/=?^_`{|}~"
_UTF8 = "\u00a0-\u2027\u202a-\ud7ff\ue000-\U0010ffff"
"""Beyond ASCII, without its controls and line ends, and without surrogates (RFC 5198 §2)."""
_SEALED = re.compile(r"SRS[01][=+-]", re.IGNORECASE)
"""How forwarders spell a sender of others (`kernel.srs`): with a whole address in it."""
_DOT_STRING = re.compile(rf"[{_ATEXT}{_UTF8}]+(?:\.[{_ATEXT}{_UTF8}]+)*")
_QUOTED = re.compile(rf'"((?:[\x20\x21\x23-\x5b\x5d-\x7e{_UTF8}]|\\[\x20-\x7e])*)"')
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*(?!\d+$){_LABEL}")
"""The last label is no number (RFC 3696 §2): ``192.0.2.1`` is an address without its brackets."""
_PLAIN = re.compile(rf"([{_ATEXT}]+(?:\.[{_ATEXT}]+)*)@((?:{_LABEL}\.)*(?!\d+$){_LABEL})")
"""What nearly all addresses look like, in one look."""
_IPV6_TAG = "ipv6:"  # RFC 5321 §4.1.3
_A_LABEL = "xn--"  # RFC 5890 §2.3.2.1
_AMBIGUOUS = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")
"""ß, ς and the joiners: the codec's IDNA 2003 makes another domain of these than IDNA 2008."""


class BadAddressError(ValueError):
    """The text is not a mailbox name (RFC 5321 §4.1.2)."""


@dataclass(frozen=True, slots=True)
class Address:
    """``local@domain``.

    ``local`` is the meaning of the local part: without quotes, case kept
    (RFC 5321 §2.4). ``domain`` is lower-case ASCII (A-labels), or a literal
    such as ``[192.0.2.1]`` or ``[ipv6:2001:db8::1]``. Whoever compares two of these
    compares meanings: quotes, case, U-labels and ways to write a number are gone.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address that ``text`` spells, or raise `BadAddressError`."""
        if len(text) <= MAX_LOCAL_PART and (plain := _PLAIN.fullmatch(text)) is not None:
            local, domain = plain[1], plain[2].lower()
            if _A_LABEL not in domain:
                return cls(local, domain)
        local, domain = _split(text)
        longest = MAX_SEALED if _SEALED.match(local) else MAX_LOCAL_PART
        if len(local.encode()) > longest:
            raise BadAddressError(f"the local part is longer than {longest} octets")
        return cls(local, parse_domain(domain))

    @property
    def is_ascii(self) -> bool:
        """Whether a server without SMTPUTF8 can be told this address (RFC 6531 §3.5)."""
        return self.local.isascii()

    def __str__(self) -> str:
        if _DOT_STRING.fullmatch(self.local):
            return f"{self.local}@{self.domain}"
        quoted = self.local.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"@{self.domain}'


def parse_domain(text: str) -> str:
    """Return the canonical form of a domain or address literal, or raise `BadAddressError`."""
    if text.startswith("["):
        return _literal(text)
    if len(text) > MAX_DOMAIN:
        raise BadAddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    domain = text.lower() if text.isascii() else _a_labels(text)
    if len(domain) > MAX_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise BadAddressError("the domain is malformed")
    if _A_LABEL in domain and any(map(_is_fake, domain.split("."))):
        raise BadAddressError("the domain has a label that only looks internationalized")
    return domain


def _split(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        match = _QUOTED.match(text)
        if match is None or text[match.end() : match.end() + 1] != "@":
            raise BadAddressError("the quoted local part is malformed")
        return re.sub(r"\\(.)", r"\1", match[1]), text[match.end() + 1 :]
    local, at, domain = text.partition("@")
    if not at or not _DOT_STRING.fullmatch(local):
        raise BadAddressError("the local part is malformed")
    return local, domain


def _literal(text: str) -> str:
    inner = text[1:-1].lower() if text.endswith("]") else ""
    tagged = inner.startswith(_IPV6_TAG)
    try:
        address = ip_address(inner.removeprefix(_IPV6_TAG))
    except ValueError:
        raise BadAddressError("the address literal is malformed") from None
    if isinstance(address, IPv6Address) != tagged or "%" in inner:
        raise BadAddressError("the address literal is malformed")
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is not None:  # RFC 4291 §2.5.5.2: the same host
        return f"[{mapped}]"
    return f"[{_IPV6_TAG if tagged else ''}{address}]"


def _a_labels(text: str) -> str:
    """Return the A-labels of ``text``, unless they could be somebody else's (RFC 5894 §7.2).

    The codec's Unicode is that of 2002: what has been added since it neither folds nor composes.
    """
    if _AMBIGUOUS.search(text):
        raise BadAddressError("the domain must be written in A-labels (xn--...)")
    try:
        domain, folded = (_to_ascii(form) for form in (text, _folded(text)))
    except UnicodeError:
        raise BadAddressError("the domain is malformed") from None
    if domain != folded:
        raise BadAddressError("the domain must be written in A-labels (xn--...)")
    return domain


def _to_ascii(text: str) -> str:
    return text.encode("idna").decode("ascii").lower()


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _is_fake(label: str) -> bool:
    """Return whether ``label`` claims to be an A-label, and is none (RFC 5891 §4.2.1, §5.4)."""
    if not label.startswith(_A_LABEL):
        return False
    try:
        spelled = label.removeprefix(_A_LABEL).encode().decode("punycode")
    except UnicodeError:
        return True
    return spelled.isascii() or spelled != unicodedata.normalize("NFKC", spelled.lower())
