"""What SPF makes of our own mail (RFC 7208). Evaluated by spftrace, as ingress does for others."""

from spftrace import BaseResolver, DnsError, Evaluator, Limits

from kernel.names import NameServers, NamesUnavailableError

_QUERIES = 50


class _Lookups(BaseResolver):
    """spftrace's questions, asked of our name servers."""

    def __init__(self, names: NameServers, patience: float) -> None:
        self._names = names
        self._patience = patience

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        try:
            answer = await self._names.ask(name, rtype, self._patience)
        except NamesUnavailableError as error:
            raise DnsError(str(error)) from error
        if rtype == "MX":  # spftrace wants the names alone
            return "NOERROR", [record.partition(" ")[2] for record in answer.records]
        return "NOERROR", list(answer.records)


async def spf_verdict(
    names: NameServers, address: str, domain: str, hostname: str, patience: float
) -> str:
    """Return what ``domain`` says of mail from ``address``, such as ``pass``."""
    limits = Limits(time_limit=patience, max_queries=_QUERIES)
    evaluator = Evaluator(_Lookups(names, patience), limits, receiver=hostname)
    result = await evaluator.evaluate(address, f"postmaster@{domain}", hostname)
    return str(result.verdict)
