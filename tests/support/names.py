"""A name server for a few names, on a free port of the loopback interface."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset

SERVFAIL = "SERVFAIL"
Zone = Mapping[tuple[str, str], list[str] | str]
"""What there is: ``("x.test", "TXT")`` to its records, or to `SERVFAIL`."""


class NameServer(asyncio.DatagramProtocol):
    """Answers from ``zone``, aliases included. While ``silent`` it hears and says nothing.

    It claims to have validated what is said of names in ``secure``, to who asks for it.
    """

    def __init__(self, zone: Zone, secure=()) -> None:
        self.zone = dict(zone)
        self.secure = set(secure)
        self.asked: list[tuple[str, str]] = []
        self.silent = False
        self.address = ""

    def connection_made(self, transport) -> None:
        self._transport = transport
        self.address = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text().rstrip(".").lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if not self.silent:
            self._transport.sendto(self._answer(query, question, name, kind).to_wire(), addr)

    def _answer(self, query, question, name, kind):
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        seen, owner = {name}, question.name
        while kind != "CNAME" and (name, "CNAME") in self.zone:
            (alias,) = self.zone[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", alias))
            owner = dns.name.from_text(alias)
            name = alias.rstrip(".").lower()
            seen.add(name)
        records = self.zone.get((name, kind))
        if records == SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            texts = [_strings(text) if kind == "TXT" else text for text in records]
            response.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if query.flags & dns.flags.AD and seen <= self.secure:
            response.flags |= dns.flags.AD
        return response


def _strings(text: str) -> str:
    """Return a TXT record as strings of up to 255 octets (RFC 1035 §3.3.14)."""
    return " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))


@asynccontextmanager
async def name_server(zone: Zone, secure=()) -> AsyncIterator[NameServer]:
    """Serve ``zone`` meanwhile."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(zone, secure), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
