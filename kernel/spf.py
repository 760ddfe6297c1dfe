"""SPF: may this client use this sender's domain (RFC 7208). Evaluated by spftrace."""

from collections.abc import Awaitable, Callable, Sequence

from spftrace import BaseResolver, DnsError, Evaluator, Limits

from kernel.names import NamesUnavailableError

_QUERIES = 50

Ask = Callable[[str, str], Awaitable[Sequence[str]]]
"""Returns the records of a name and a kind; raises `NamesUnavailableError`."""


class _Lookups(BaseResolver):
    """spftrace's questions, asked of our name servers."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        try:
            records = await self._ask(name, rtype)
        except NamesUnavailableError as error:
            raise DnsError(str(error)) from error
        if rtype == "MX":  # spftrace wants the names alone
            return "NOERROR", [record.rpartition(" ")[2] for record in records]
        return "NOERROR", list(records)


async def spf_verdict(
    ask: Ask, client: str, sender: str, helo: str, *, receiver: str, patience: float
) -> str:
    """Return what the sender's domain says of ``client``, such as ``pass``.

    It is the domain of HELO if ``sender`` is empty (§2.4). ``patience`` is in seconds.
    """
    limits = Limits(time_limit=patience, max_queries=_QUERIES)
    evaluator = Evaluator(_Lookups(ask), limits, receiver=receiver)
    return str((await evaluator.evaluate(client, sender, helo)).verdict)
