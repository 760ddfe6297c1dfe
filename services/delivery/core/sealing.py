"""ARC: the seal on what we forward, so that others may believe what we found out (RFC 8617).

What we found out stands in the ``Authentication-Results`` field that ingress put on top, and what
became of the chain so far stands there as well: DNS is not asked again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kernel.dkim.arc import (
    MAX_SETS,
    RESULTS,
    ArcSet,
    BadChainError,
    chain_of,
    has_sets,
    instances,
    sealed_octets,
)
from kernel.dkim.canon import chosen, octets_to_sign
from kernel.dkim.fields import HeaderField
from kernel.model.events import MailRouted
from kernel.model.sending import Sending, SigningKey
from services.delivery.core.forwarding import is_forwarded
from services.delivery.core.signing import (
    RSA,
    Covered,
    Sign,
    keys_of,
    names_to_sign,
    signed,
    tags_of,
    unsigned,
    what_is_signed,
)

_FOUND = "authentication-results"
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_OF_THE_CHAIN = re.compile(r"\s*arc\s*=\s*([a-z]+)")
_NONE, _PASS, _FAIL = "none", "pass", "fail"
_DKIM = "dkim-signature"


@dataclass(frozen=True, slots=True)
class Chain:
    """The sets that a new seal is upon, its number, and what we found of them (``cv=``).

    Of a chain that is broken a seal covers none: they cannot be trusted, nor even read (§5.1.2).
    """

    instance: int
    state: str
    results: bytes
    earlier: tuple[ArcSet, ...] = ()


def sealing_key(leg: MailRouted, sending: Sending, home: str) -> SigningKey | None:
    """Return the key that seals what goes out on ``leg``: that of our domain, if any (§4.1.3).

    What somebody whom we know has submitted needs no seal: nothing was to be found out.
    """
    if not is_forwarded(leg) or leg.envelope.submitted:
        return None
    return next((key for key in keys_of(home, sending) if key.algorithm == RSA), None)


def chain_to_seal(fields: Sequence[HeaderField], hostname: str) -> Chain | None:
    """Return the chain that our set goes on with; None if there is to be none.

    That is so if nothing was checked, if we could not tell whether the chain holds, if it is
    too long, and if an earlier handler has found it broken: there it ends (§5.2, step 2).
    """
    results = _our_results(fields, hostname)
    if results is None:
        return None
    if not has_sets(fields):
        return Chain(1, _NONE, results)
    number = max(number for number, _ in instances(fields)) + 1
    return _continued(fields, results, number) if 1 < number <= MAX_SETS else None


def _continued(fields: Sequence[HeaderField], results: bytes, number: int) -> Chain | None:
    state = _state_in(results)
    try:
        earlier = chain_of(fields)
        if earlier[-1].chain == _FAIL:
            return None
    except BadChainError:
        earlier = ()
    if state == _PASS and earlier:
        return Chain(number, _PASS, results, earlier)
    return Chain(number, _FAIL, results) if state == _FAIL else None


def arc_set(chain: Chain, key: SigningKey, covered: Covered, sign: Sign) -> tuple[HeaderField, ...]:
    """Return the fields of our set, in the order in which they go before the message (§4.1)."""
    number = f"i={chain.instance}"
    results = HeaderField(
        RESULTS, f"ARC-Authentication-Results: {number};".encode() + chain.results
    )
    message = _message_signature(number, key, covered, sign)
    # a seal knows one way alone to be made: no c= (§4.1.3)
    who = (tag for tag in tags_of(key, covered.at) if not tag.startswith("c="))
    before = b"".join(one.octets for one in chain.earlier)
    seal = unsigned("ARC-Seal", (number, f"cv={chain.state}", *who))
    seal = signed(seal, sign(sealed_octets(before, ArcSet(results, message, seal))))
    return (seal, message, results)


def _message_signature(number: str, key: SigningKey, covered: Covered, sign: Sign) -> HeaderField:
    """Return a signature like DKIM's, which covers those of DKIM as well (§4.1.2)."""
    fields = covered.fields
    names = (*names_to_sign(fields), *(field.name for field in fields if field.name == _DKIM))
    tags = (number, *tags_of(key, covered.at), *what_is_signed(names, covered.body_hash))
    field = unsigned("ARC-Message-Signature", tags)
    return signed(field, sign(octets_to_sign(chosen(names, fields), field)))


def _our_results(fields: Sequence[HeaderField], hostname: str) -> bytes | None:
    """Return what ingress wrote: what stands below our own Received may be anybody's."""
    for field in fields:
        if field.name == "received":
            return None
        if field.name == _FOUND and _is_by(field, hostname):
            return field.value
    return None


def _is_by(field: HeaderField, hostname: str) -> bool:
    author = field.value.partition(b";")[0].strip().decode("utf-8", "replace")
    return author.lower() == hostname.lower()


def _state_in(results: bytes) -> str:
    text = _QUOTED.sub("", results.decode("utf-8", "replace"))
    matches = (_OF_THE_CHAIN.match(part) for part in text.split(";"))
    return next((match[1] for match in matches if match), "")
