"""Addresses as the DSN extension spells them (RFC 3461 §4, RFC 6533 §3)."""

import re

from kernel.model.address import Address

_HIGHEST = 0x10FFFF


def typed(address: Address) -> str:
    """Return an address with its type, spelt in ASCII (RFC 3464 §2.3.2, RFC 6533 §3)."""
    if address.is_ascii:
        return f"rfc822; {address}"
    spelt = re.sub(r"[^!-~]|[+=\\]", lambda c: f"\\x{{{ord(c[0]):X}}}", str(address))
    return f"utf-8; {spelt}"


def said(text: str) -> str:
    """Return what an xtext says (RFC 3461 §4)."""
    return re.sub(r"\+([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), text)


def original_of(orcpt: str) -> str:
    """Return the address that an ORCPT parameter names, in its own letters."""
    kind, _, text = orcpt.partition(";")
    if kind.lower() != "utf-8":
        return said(text)
    return re.sub(r"\\x\{([0-9A-F]{2,6})\}", _letter, said(text))


def _letter(code: re.Match[str]) -> str:
    number = int(code[1], 16)
    return chr(number) if number <= _HIGHEST else code[0]
