"""DKIM: what a signature says, and which octets it covers (RFC 6376; RFC 8301, RFC 8463)."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kernel.dkim.canon import Canon, chosen, octets_to_sign, relaxed, simple
from kernel.dkim.fields import HeaderField
from kernel.dkim.tags import BadTagsError, parse_tags

SIGNATURE = "dkim-signature"
MAX_SIGNATURES = 5
"""More of them are not looked at: each costs a question to DNS and some arithmetic."""

_ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}  # RFC 8301 §3.1: no SHA-1
_REQUIRED = ("v", "a", "b", "bh", "d", "h", "s")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_KEY_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})+")


class BadSignatureError(ValueError):
    """The signature, or its key, is not what RFC 6376 allows. ``result`` is RFC 8601's word."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result


@dataclass(frozen=True, slots=True)
class Signer:
    """Who has signed something, and the signature."""

    key_type: str
    domain: str
    selector: str
    signature: bytes
    identity: str

    @property
    def key_name(self) -> str:
        """Where its key stands in DNS (§3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class Signature(Signer):
    """A signature of a message as it stands in its field."""

    field: HeaderField
    body_hash: bytes
    relaxed_header: bool
    canon: Canon
    names: tuple[str, ...]
    expires: int | None


@dataclass(frozen=True, slots=True)
class Key:
    """A public key as it stands in DNS (§3.6.1)."""

    type: str
    octets: bytes
    strict: bool


def signatures_in(fields: Iterable[HeaderField]) -> list[Signature | BadSignatureError]:
    """Return the first signatures of a header, each read or the reason why it cannot be."""
    found = [field for field in fields if field.name == SIGNATURE][:MAX_SIGNATURES]
    return [_read(field) for field in found]


def _read(field: HeaderField) -> Signature | BadSignatureError:
    try:
        return parse_signature(field)
    except BadSignatureError as error:
        return error
    except (BadTagsError, ValueError) as error:
        return BadSignatureError("neutral", f"syntax: {error}")


def parse_signature(field: HeaderField) -> Signature:
    """Return the signature of a field (§6.1.1). Raises `BadSignatureError`, or `ValueError`."""
    tags = parse_tags(field.value.decode("utf-8"))
    require(tags, _REQUIRED)
    if tags["v"] != "1":
        raise BadSignatureError("neutral", "lacks v=1")
    return read_signature(field, tags)


def require(tags: Mapping[str, str], names: Iterable[str]) -> None:
    """Raise `BadSignatureError` unless all of ``names`` are among ``tags``."""
    missing = [name for name in names if not tags.get(name)]
    if missing:
        raise BadSignatureError("neutral", f"lacks {', '.join(missing)}")


def read_signature(field: HeaderField, tags: Mapping[str, str]) -> Signature:
    """Return the signature that ``tags`` tell of. Raises `BadSignatureError`, or `ValueError`."""
    signer = read_signer(tags)
    header, _, body = tags.get("c", "simple/simple").partition("/")
    names = tuple(name.strip().lower() for name in tags["h"].split(":"))
    if "from" not in names:
        raise BadSignatureError("permerror", "From is not signed")
    return Signature(
        signer.key_type,
        signer.domain,
        signer.selector,
        signer.signature,
        signer.identity,
        field,
        body_hash=_unbase64(tags["bh"]),
        relaxed_header=_is_relaxed(header),
        canon=Canon(_is_relaxed(body or "simple"), int(tags["l"]) if "l" in tags else None),
        names=names,
        expires=int(tags["x"]) if "x" in tags else None,
    )


def read_signer(tags: Mapping[str, str]) -> Signer:
    """Return who has signed. Raises `BadSignatureError`."""
    if tags["a"] not in _ALGORITHMS:
        raise BadSignatureError("policy", "unacceptable algorithm")
    signer = Signer(
        key_type=_ALGORITHMS[tags["a"]],
        domain=tags["d"].lower(),
        selector=tags["s"].lower(),
        signature=_unbase64(tags["b"]),
        identity=tags.get("i", "@" + tags["d"]).rpartition("@")[2].lower(),
    )
    if not is_below(signer.identity, signer.domain):
        raise BadSignatureError("permerror", "i= is not below d=")
    if not _KEY_NAME.fullmatch(signer.key_name):
        raise BadSignatureError("neutral", "malformed d= or s=")
    if "dns/txt" not in [way.strip() for way in tags.get("q", "dns/txt").split(":")]:
        raise BadSignatureError("neutral", "no known way to the key")
    return signer


def parse_key(text: str, signer: Signer) -> Key:
    """Return the key of ``signer`` that a TXT record holds. Raises `BadSignatureError`."""
    try:
        tags = parse_tags(text)
        octets = _unbase64(tags["p"])
    except (BadTagsError, ValueError, KeyError):
        raise BadSignatureError("permerror", "malformed key") from None
    key = Key(tags.get("k", "rsa"), octets, "s" in _words(tags.get("t", "")))
    if tags.get("v", "DKIM1") != "DKIM1" or key.type != signer.key_type:
        raise BadSignatureError("permerror", "inapplicable key")
    if "sha256" not in _words(tags.get("h", "sha256")):
        raise BadSignatureError("permerror", "inapplicable hash")
    if not {"*", "email"} & _words(tags.get("s", "*")):
        raise BadSignatureError("permerror", "inapplicable service")
    if not octets:
        raise BadSignatureError("permerror", "key revoked")
    if key.strict and signer.identity != signer.domain:
        raise BadSignatureError("permerror", "i= is not d=")
    return key


def is_below(domain: str, parent: str) -> bool:
    """Return whether ``domain`` is ``parent`` or one of its subdomains."""
    return domain == parent or domain.endswith(f".{parent}")


def signed_octets(signature: Signature, fields: Sequence[HeaderField]) -> bytes:
    """Return the octets of the header that the signature covers (§3.7, §5.4.2)."""
    canonical = relaxed if signature.relaxed_header else simple
    return octets_to_sign(chosen(signature.names, fields), signature.field, canonical)


def _is_relaxed(name: str) -> bool:
    if name not in {"simple", "relaxed"}:
        raise BadSignatureError("neutral", "unknown canonicalization")
    return name == "relaxed"


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(":")}


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise BadSignatureError("neutral", "malformed base64") from None
