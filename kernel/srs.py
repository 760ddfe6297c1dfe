"""SRS: others' senders as mail that we forward names them (the Sender Rewriting Scheme).

SPF asks whether *we* may use the domain in MAIL FROM (RFC 7208 §4): so what an address of ours
sends on gets a sender of ours, which only we can make, and which leads back to the true one::

    ann@first.test          SRS0=<hash>=<day>=first.test=ann@ours.test
    SRS0=…@second.test      SRS1=<hash>=second.test==…@ours.test

``<hash>`` is 40 bits of an HMAC-SHA256 in base 32, ``<day>`` two digits of base 32. Case does not
matter: servers on the way may fold it. A sender that others have rewritten is not wrapped again
and again; it goes back to whoever was first (SRS1), who knows how old it is.
"""

import hmac
import re
from base64 import b32encode
from datetime import datetime

from kernel.model.address import Address

MAX_AGE = 21
"""Days for which a report may come back: longer than anybody keeps trying to send it."""
MAX_PATH = 254  # octets, RFC 5321 §4.5.3.1.3 without its brackets

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648 §6
_DAYS = len(_DIGITS) ** 2
_HASH = 5  # octets: eight characters
_SECONDS_A_DAY = 86_400
_FORM = re.compile(r"SRS([01])[=+-](.+)", re.IGNORECASE | re.DOTALL)
_OURS = re.compile(r"SRS0=([^=]{8})=([^=]{2})=([^=]+)=(.*)", re.IGNORECASE | re.DOTALL)
_OURS_AGAIN = re.compile(r"SRS1=([^=]{8})=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)
_THEIRS = re.compile(r"SRS0([=+-][^=]+=[^=]{2}=[^=]+=.*)", re.IGNORECASE | re.DOTALL)
_THEIRS_AGAIN = re.compile(r"SRS1[=+-][^=]+=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)


def is_sealed(address: Address) -> bool:
    """Return whether ``address`` looks like the work of SRS, whoever's."""
    return _FORM.match(address.local) is not None


def seal(sender: Address, domain: str, key: bytes, now: datetime) -> Address | None:
    """Return the address at ``domain`` that leads back to ``sender``; None if it got too long."""
    address = Address(_sealed(sender, key, now), domain)
    return address if len(str(address).encode()) <= MAX_PATH else None


def unseal(address: Address, key: bytes, now: datetime) -> Address | None:
    """Return whom ``address`` leads to; None if we have not made it with ``key``, or long ago."""
    if not key:
        return None
    if match := _OURS.fullmatch(address.local):
        hash_, day, domain, local = match.groups()
        made = _day_of(day, now)
        if made is None or not _is_right(hash_, key, str(made), domain, local):
            return None
        return Address(local, domain.lower())
    if match := _OURS_AGAIN.fullmatch(address.local):
        hash_, domain, rest = match.groups()
        return (
            Address(f"SRS0{rest}", domain.lower()) if _is_right(hash_, key, domain, rest) else None
        )
    return None


def _sealed(sender: Address, key: bytes, now: datetime) -> str:
    if match := _THEIRS_AGAIN.fullmatch(sender.local):
        return _again(key, *match.groups())
    if match := _THEIRS.fullmatch(sender.local):
        return _again(key, sender.domain, match[1])
    today = _today(now)
    hash_ = _hash(key, str(today), sender.domain, sender.local)
    return f"SRS0={hash_}={_spell(today)}={sender.domain}={sender.local}"


def _again(key: bytes, domain: str, rest: str) -> str:
    return f"SRS1={_hash(key, domain, rest)}={domain}={rest}"


def _hash(key: bytes, *parts: str) -> str:
    text = "\0".join(parts).lower().encode()
    return b32encode(hmac.digest(key, text, "sha256")[:_HASH]).decode()


def _is_right(hash_: str, key: bytes, *parts: str) -> bool:
    return hmac.compare_digest(hash_.upper().encode(), _hash(key, *parts).encode())


def _today(now: datetime) -> int:
    return int(now.timestamp()) // _SECONDS_A_DAY


def _spell(day: int) -> str:
    tens, ones = divmod(day % _DAYS, len(_DIGITS))
    return _DIGITS[tens] + _DIGITS[ones]


def _day_of(spelled: str, now: datetime) -> int | None:
    """Return which day is meant; None if that was too long ago. Another clock may be ahead."""
    tomorrow = _today(now) + 1
    days = range(tomorrow, tomorrow - MAX_AGE - 2, -1)
    return next((day for day in days if _spell(day) == spelled.upper()), None)
