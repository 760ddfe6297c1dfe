"""Authors: the domains that a message says it is from (RFC 5322 §3.6.2, RFC 7489 §6.6.1)."""

from collections.abc import Iterable
from email.utils import getaddresses

from kernel.dkim.fields import HeaderField
from kernel.model.address import BadAddressError, parse_domain

_LONGEST, _DEEPEST = 4_096, 20
_NESTED = "(:"  # comments and groups, into which the parser recurses


def author_domains(fields: Iterable[HeaderField]) -> frozenset[str] | None:
    """Return the domains in From; None if it is there twice, or one cannot be read.

    One that seems to name somebody, and no address is found in it, is shown to people all the same.
    """
    values = [field.value.decode("utf-8", "replace") for field in fields if field.name == "from"]
    if len(values) > 1 or any(map(_is_monstrous, values)):
        return None
    unfolded = [value.replace("\r\n", "").strip() for value in values]
    found = [address for _, address in getaddresses(unfolded) if address]
    if not found and any("@" in value for value in unfolded):
        return None
    try:
        return frozenset(map(_domain_of, found))
    except BadAddressError:
        return None


def _is_monstrous(value: str) -> bool:
    """Return whether no honest From looks like that; a parser would lose itself in it."""
    return len(value) > _LONGEST or any(value.count(sign) > _DEEPEST for sign in _NESTED)


def _domain_of(address: str) -> str:
    return parse_domain(address.rpartition("@")[2])
