"""XCLIENT: a front that is trusted says whose connection it passes on (Postfix's XCLIENT_README).

Its address alone is believed: from it follows what the client may. A name is looked up by us or
not at all, a greeting is said by EHLO, and a login is proved by a password: LOGIN is not offered.
"""

import re
from ipaddress import IPv6Address, ip_address

ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO")
OFFER = " ".join(("XCLIENT", *ATTRIBUTES))

_ATTRIBUTE = re.compile(r"([A-Za-z]+)=((?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})+)")  # xtext, RFC 1891 §5
_HEX = re.compile(r"\+(..)")
_IPV6 = "ipv6:"
_LOGIN, _UNAVAILABLE = "LOGIN", "[UNAVAILABLE]"


def parse_xclient(argument: str, client: str) -> str | None:
    """Return the address of whom this is about, or None if there is no believing it.

    Without ADDR it is still ``client``: what does not fit in one command comes in several.
    """
    values: dict[str, str] = {}
    for word in filter(None, argument.split(" ")):
        match = _ATTRIBUTE.fullmatch(word)
        if match is None or match[1].upper() in values:
            return None
        values[match[1].upper()] = _HEX.sub(lambda code: chr(int(code[1], 16)), match[2])
    if values.pop(_LOGIN, _UNAVAILABLE).upper() != _UNAVAILABLE:
        return None
    if not argument or not values.keys() <= set(ATTRIBUTES):
        return None
    return _address(values["ADDR"]) if "ADDR" in values else client


def _address(text: str) -> str | None:
    is_tagged = text.lower().startswith(_IPV6)
    try:
        address = ip_address(text[len(_IPV6) :] if is_tagged else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) != is_tagged or "%" in text:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)  # RFC 4291 §2.5.5.2: the same host
