"""Hosts: where a server is, by its name, and what signed DNS says of its certificate."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import chain

from kernel.names import Answer, NameServers, NamesUnavailableError
from services.delivery.core.dane import Dane
from services.delivery.core.routes import Family, Host, in_turn

BOTH = (Family.IPV4, Family.IPV6)
MOST_ADDRESSES = 8
"""Of a server with more of them, others can be tried another time."""


class Hosts:
    """Looks servers up. ``families`` are those of which we use addresses, the preferred first."""

    def __init__(self, names: NameServers, families: Sequence[Family] = BOTH) -> None:
        self.names = names
        self._families = families

    async def find(self, name: str, port: int, *, signed: bool = False) -> tuple[Host, ...]:
        """Return the server's addresses, in the order to dial them; none if it has none.

        Where ``signed`` DNS has named it, what DNS says of its certificate counts, and not to
        know that is not to know the server (RFC 7672 §2.1). Raises `NamesUnavailableError`.
        """
        kinds = ("AAAA" if family is Family.IPV6 else "A" for family in self._families)
        asked = (self.names.ask(name, kind) for kind in kinds)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        known = [answer for answer in answers if isinstance(answer, Answer)]
        records = tuple(chain.from_iterable(answer.records for answer in known))
        broken = next((answer for answer in answers if isinstance(answer, BaseException)), None)
        if broken is not None and not records:
            raise broken
        dane = None
        if signed and records and all(answer.secure for answer in known):
            dane = await self._dane(dict.fromkeys([known[0].name, name]), port)
        addresses = in_turn(records, self._families)[:MOST_ADDRESSES]
        return tuple(Host(name, address, port, dane) for address in addresses)

    async def find_named(self, name: str, port: int) -> tuple[Host, ...]:
        """Return the addresses of a server that an operator has named.

        It may be an address. The system may know names that DNS does not: of containers, and
        those in a file.
        """
        if _is_address(name):
            return (Host(name, name, port),)
        try:
            found = await self.find(name, port, signed=True)
        except NamesUnavailableError:
            known = await self._ask_system(name, port)
            if not known:
                raise
            return known
        return found or await self._ask_system(name, port)

    async def _dane(self, names: Sequence[str] | dict[str, None], port: int) -> Dane | None:
        """Return what is said of the server: by where its alias leads, else by its own name."""
        for base in names:
            answer = await self.names.ask(f"_{port}._tcp.{base}", "TLSA")
            if answer.records and answer.secure:
                return Dane.of(base, answer.records)
        return None

    async def _ask_system(self, name: str, port: int) -> tuple[Host, ...]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return ()
        addresses = [str(place[0]) for *_, place in found]
        return tuple(Host(name, a, port) for a in in_turn(addresses, self._families))


def is_this_machine(address: str) -> bool:
    """Return whether one of our interfaces has this address: what leads there comes from there."""
    family = socket.AF_INET6 if Family.of(address) is Family.IPV6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as nothing_is_sent:
        try:
            nothing_is_sent.connect((address, 25))
        except OSError:
            return False
        return bool(ip_address(nothing_is_sent.getsockname()[0]) == ip_address(address))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
