"""DKIM: by which keys a message of ours is signed, and what of it (RFC 6376; RFC 8301, RFC 8463).

`SIGNED` and `OVERSIGNED` say which fields are covered. A signature stands in a field of its own,
which ends in ``b=``: what goes behind that is reckoned from all that stands before it.
"""

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from kernel.dkim.authors import author_domains
from kernel.dkim.canon import chosen, octets_to_sign
from kernel.dkim.fields import HeaderField
from kernel.model.sending import Sending, SigningKey

SIGNATURE = "DKIM-Signature"
RSA = "rsa"

OVERSIGNED = (
    "from",
    "reply-to",
    "subject",
    "date",
    "to",
    "cc",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
)
"""Signed as often as they are there and once more: nobody can add another (RFC 6376 §8.15)."""

SIGNED = (
    "sender",
    "in-reply-to",
    "references",
    "content-id",
    "content-description",
    "content-disposition",
    "auto-submitted",
    "resent-date",
    "resent-from",
    "resent-sender",
    "resent-to",
    "resent-cc",
    "resent-message-id",
    "list-id",
    "list-help",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
)
"""Signed if they are there (RFC 6376 §5.4.1, RFC 8058 §4); lists and forwarders add their own."""

Sign = Callable[[bytes], bytes]

_WIDTH = 72
_FOLD = "\r\n\t "


@dataclass(frozen=True, slots=True)
class Covered:
    """What signatures cover: a header, and a body by its hash. ``at`` counts seconds since 1970."""

    fields: Sequence[HeaderField]
    body_hash: bytes
    at: int


def keys_for(fields: Sequence[HeaderField], sending: Sending) -> tuple[SigningKey, ...]:
    """Return the keys that sign for the author of a message: all that are in use there.

    They are those of the domain in From, or of the nearest one above it (RFC 7489 §3.1.1).
    Nobody signs for several authors' domains, and never where there is not one From: which
    of two is shown to people is anybody's guess (RFC 6376 §8.15).
    """
    authors = author_domains(fields)
    if authors is None or len(authors) != 1:
        return ()
    (domain,) = authors
    while domain:
        if found := keys_of(domain, sending):
            return found
        domain = domain.partition(".")[2]
    return ()


def keys_of(domain: str, sending: Sending) -> tuple[SigningKey, ...]:
    """Return the keys in use of a domain of ours; none if it is not ours."""
    if domain not in sending.domains:
        return ()
    return tuple(key for key in sending.keys if key.domain == domain)


def names_to_sign(fields: Iterable[HeaderField]) -> tuple[str, ...]:
    """Return the names for ``h=``: each as often as its field is to be signed."""
    there = Counter(field.name for field in fields)
    once_more = (name for name in OVERSIGNED for _ in range(there[name] + 1))
    as_it_is = (name for name in SIGNED for _ in range(there[name]))
    return (*once_more, *as_it_is)


def signature(key: SigningKey, covered: Covered, sign: Sign) -> HeaderField:
    """Return the field of a DKIM signature (§3.5)."""
    names = names_to_sign(covered.fields)
    tags = ("v=1", *tags_of(key, covered.at), *what_is_signed(names, covered.body_hash))
    field = unsigned(SIGNATURE, tags)
    return signed(field, sign(octets_to_sign(chosen(names, covered.fields), field)))


def tags_of(key: SigningKey, at: int) -> tuple[str, ...]:
    """Return who signs, when, and how."""
    return (
        f"a={key.algorithm}-sha256",
        "c=relaxed/relaxed",
        f"d={key.domain}",
        f"s={key.selector}",
        f"t={at}",
    )


def what_is_signed(names: Sequence[str], body_hash: bytes) -> tuple[str, ...]:
    """Return the tags that tell what a signature covers."""
    lines = wrap(": ".join(names), _WIDTH, break_on_hyphens=False, break_long_words=False)
    return (
        f"h={_FOLD.join(line.replace(': ', ':') for line in lines)}",
        f"bh={_base64(body_hash)}",
    )


def unsigned(name: str, tags: Sequence[str]) -> HeaderField:
    """Return a signature's field up to its ``b=``. Raises `ValueError` for what is not ASCII."""
    lines = [f"{name}: {tags[0]}"]
    for tag in (*tags[1:], "b="):
        if len(lines[-1]) + len(tag) < _WIDTH and tag != "b=":
            lines[-1] += f"; {tag}"
        else:
            lines.append(tag)
    return HeaderField(name.lower(), ";\r\n\t".join(lines).encode("ascii"))


def signed(field: HeaderField, signature: bytes) -> HeaderField:
    """Return the field with its signature, in lines that everybody can take."""
    octets = _FOLD.join(wrap(_base64(signature), _WIDTH)).encode()
    return HeaderField(field.name, field.raw + octets)


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
