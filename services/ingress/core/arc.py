"""ARC: does the chain of those who handled a message before hold (RFC 8617 §5.2)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kernel.dkim.arc import SEAL, ArcSet, BadChainError, chain_of, has_sets, sealed_octets
from kernel.dkim.fields import HeaderField
from kernel.dkim.tags import parse_tags
from services.ingress.core.dkim import Signature, Signer, read_signature, read_signer, require

_NONE, _PASS, _FAIL = "none", "pass", "fail"
_OF_A_SEAL = ("a", "b", "d", "s")
_OF_A_MESSAGE = (*_OF_A_SEAL, "bh", "h")


@dataclass(frozen=True, slots=True)
class Seal:
    """Who sealed, and the octets that the seal covers."""

    signer: Signer
    octets: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """What has to verify: the latest signature of the message, and every seal."""

    message: Signature
    seals: tuple[Seal, ...]


def chain_in(fields: Sequence[HeaderField]) -> Chain | BadChainError | None:
    """Return the chain of a message, or why it cannot hold; None if there is none."""
    if not has_sets(fields):
        return None
    try:
        return _read(chain_of(fields))
    except BadChainError as error:
        return error
    except ValueError as error:  # of tags and signatures as well
        return BadChainError(f"syntax: {error}")


def _read(sets: Sequence[ArcSet]) -> Chain:
    if sets[-1].chain == _FAIL:  # step 2
        raise BadChainError("found broken before")
    if [one.chain for one in sets] != [_NONE, *[_PASS] * (len(sets) - 1)]:  # step 3
        raise BadChainError("sealed although it did not hold")
    return Chain(_message(sets[-1].message), tuple(_seals(sets)))


def _seals(sets: Iterable[ArcSet]) -> Iterator[Seal]:
    before = b""
    for one in sets:
        yield _seal(before, one)
        before += one.octets


def _message(field: HeaderField) -> Signature:
    tags = _tags(field, _OF_A_MESSAGE)
    signature = read_signature(field, tags)
    if SEAL in signature.names:  # §4.1.2
        raise BadChainError("a message signature that covers a seal")
    return signature


def _seal(before: bytes, latest: ArcSet) -> Seal:
    tags = _tags(latest.seal, _OF_A_SEAL)
    if "h" in tags:  # §4.1.3
        raise BadChainError("a seal with h=")
    return Seal(read_signer(tags), sealed_octets(before, latest))


def _tags(field: HeaderField, required: Iterable[str]) -> Mapping[str, str]:
    """Return the tags; ``i=`` numbers the set here, and is no identity."""
    tags = parse_tags(field.value.decode("utf-8"))
    require(tags, required)
    return {name: value for name, value in tags.items() if name != "i"}
