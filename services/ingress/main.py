"""Ingress: takes mail from the network and makes it ours.

Emits `MailAccepted`. Asks auth who may do what.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from kernel.http import Peer
from kernel.listening import HANDSHAKE, Listening, listen
from kernel.model.envelope import MailId, new_mail_id
from kernel.model.events import DirectoryChanged
from kernel.model.questions import Listener
from kernel.model.reply import Reply
from kernel.platform import Platform
from kernel.proxied import Balancers
from kernel.runtime import Service, run
from kernel.sasl import fresh_nonce
from kernel.tls import Certificates, open_certificates
from services.ingress import metrics, outlook
from services.ingress.adapters.directory import HttpDirectory
from services.ingress.adapters.visiting import Caller
from services.ingress.checks.panel import Panel, open_panel
from services.ingress.core import replies
from services.ingress.core.doorway import Doorway
from services.ingress.core.probes import Names
from services.ingress.crowd import Crowd
from services.ingress.edge import Connection
from services.ingress.entrance import Entrance
from services.ingress.intake import Intake
from services.ingress.limits import Budget, Handshakes, Limits
from services.ingress.policies import Policies
from services.ingress.ports import Directory
from services.ingress.pressure import Pressure
from services.ingress.selftest import SelfTest
from services.ingress.settings import Settings

_log = structlog.get_logger("ingress")


@dataclass(frozen=True, slots=True)
class Ingress:
    """Ingress at work. ``addresses`` tells where each listener can be reached."""

    addresses: Mapping[str, tuple[str, int]]
    policies: Policies
    crowd: Crowd


@dataclass(frozen=True, slots=True)
class _House:
    """What the entrances are made of."""

    platform: Platform
    settings: Settings
    policies: Policies
    directory: Directory
    crowd: Crowd
    pressure: Pressure
    panel: Panel
    certificates: Certificates
    limits: Limits
    budget: Budget
    handshakes: Handshakes
    callers: set[Caller] = field(default_factory=set)

    def entrance(self, name: str) -> Entrance:
        made: Doorway | None = None

        def doorway() -> Doorway | None:
            nonlocal made
            listener = self.policies.current(name)
            if listener is None or self.crowd.is_leaving:
                return None
            if made is None or made.listener is not listener:
                made = self._doorway(listener)
            return made

        intake = Intake(self.platform, self.pressure, self.panel)
        return Entrance(
            name,
            doorway,
            self.directory,
            intake,
            self.crowd,
            self.certificates,
            self.limits,
            self.budget,
            self.handshakes,
            self.callers,
        )

    def lookout(self) -> outlook.Lookout:
        uptime = asyncio.get_running_loop().time
        return outlook.Lookout(
            self.policies, self.panel, self.limits, self.crowd, self.platform.clock, uptime
        )

    def chores(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield what has to be done for as long as anybody may come in."""
        yield self.platform.bus.listen(DirectoryChanged, self.policies.notice)
        yield self.crowd.look_after()
        yield self.pressure.follow()
        for name in self.settings.listeners:
            yield self.policies.follow(name)

    def _doorway(self, listener: Listener) -> Doorway:
        if listener.client_certificates and self.settings.client_cas is None:
            _log.warning(
                "no client is asked for a certificate: client_cas is not set",
                listener=listener.name,
            )
        return Doorway(
            listener,
            hostname=self.platform.settings.hostname,
            domain=self.platform.settings.domain,
            now=self.platform.clock,
            new_id=self._new_id,
            new_nonce=partial(fresh_nonce, self.platform.settings.hostname),
            at_door=self.pressure.at_door,
            at_mail=self._at_mail,
            at_data=self._at_data,
            max_errors=self.settings.max_errors,
            max_unknown=self.settings.max_unknown,
            max_hops=self.settings.max_hops,
            trusts=Balancers(self.settings.xclient).__contains__,
            max_hold=self.settings.max_hold,
        )

    def _at_mail(self) -> Reply | None:
        if self.budget.is_spent:
            return replies.NO_ROOM
        return self.pressure.at_mail()

    def _at_data(self) -> Reply | None:
        return replies.NO_ROOM if self.budget.is_spent else self.pressure.at_data()

    def _new_id(self) -> MailId:
        return new_mail_id(self.platform.clock(), os.urandom)


@asynccontextmanager
async def open_ingress(platform: Platform, settings: Settings) -> AsyncIterator[Ingress]:
    """Take mail meanwhile; at the end see everybody out."""
    async with (
        _open_house(platform, settings) as house,
        asyncio.TaskGroup() as group,
        AsyncExitStack() as stack,
    ):
        tasks = [group.create_task(chore) for chore in house.chores()]
        stack.callback(_cancel, tasks)
        stack.push_async_callback(house.crowd.see_out, platform.settings.grace.total_seconds())
        platform.health.answerers[outlook.NAME] = house.lookout().answer
        entrances = {name: house.entrance(name) for name in settings.listeners}
        addresses = {}
        for name, where in settings.listeners.items():
            listening = await _listen(entrances[name], where, settings)
            stack.callback(listening.close)
            addresses[name] = listening.address
        if settings.self_test:
            test = _self_test(house, entrances, addresses)
            tasks.append(group.create_task(test.follow()))
            tasks.append(group.create_task(platform.bus.listen(DirectoryChanged, test.notice)))
        yield Ingress(addresses, house.policies, house.crowd)


@asynccontextmanager
async def _open_house(platform: Platform, settings: Settings) -> AsyncIterator[_House]:
    common = platform.settings
    peer = Peer(common.auth_url, common.service_token.get_secret_value())
    async with (
        open_certificates(
            settings, common.hostname, platform.clock, clients=settings.client_cas
        ) as certificates,
        HttpDirectory(peer) as directory,
        open_panel(settings, common.hostname, directory) as panel,
    ):
        pressure, budget = Pressure(platform, settings.max_backlog), Budget(settings.max_octets)
        metrics.octets_held.set_function(lambda: budget.held)
        platform.health.watch("pressure", pressure.trouble)
        yield _House(
            platform,
            settings,
            Policies(directory, settings.listeners),
            directory,
            Crowd(settings.times),
            pressure,
            panel,
            certificates,
            limits=Limits(settings.guesses, settings.shut_out.total_seconds()),
            budget=budget,
            handshakes=Handshakes(settings.max_handshakes, HANDSHAKE),
        )


def _self_test(
    house: _House, entrances: Mapping[str, Entrance], addresses: Mapping[str, tuple[str, int]]
) -> SelfTest:
    """Let health say whether strangers can relay.

    Of processes that share a port, another one might take the visits of this one.
    """
    common = house.platform.settings
    is_shared = house.settings.reuse_port
    places = {name: f"[{host}]:{port}" for name, (host, port) in addresses.items()}
    test = SelfTest(
        house.directory,
        {name: entrance.doorway for name, entrance in entrances.items()},
        Names(common.domain, common.hostname),
        places={} if is_shared else places,
        callers=house.callers,
    )
    house.platform.health.watch("open relay", test.trouble)
    return test


async def _listen(entrance: Entrance, where: str, settings: Settings) -> Listening:
    listening = await listen(
        partial(Connection, entrance),
        where,
        balancers=settings.balancers,
        reuse_port=settings.reuse_port,
    )
    _log.info("listening", listener=entrance.name, on=where)
    return listening


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def serve(platform: Platform, settings: Settings) -> None:
    """Take mail until cancelled."""
    async with open_ingress(platform, settings) as ingress:
        await ingress.policies.all_known()
        platform.health.ready("ingress")
        await asyncio.Event().wait()


def main() -> None:
    """Run ingress alone in this process."""
    run(Service("ingress", partial(serve, settings=Settings())))
