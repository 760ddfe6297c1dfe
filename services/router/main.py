"""Router: decides where each recipient of a message goes next.

Consumes `MailAccepted` and `DirectoryChanged`; emits `MailRouted`, `MailTraced`, and
`MailDeferred` for what its sender holds back, and for what may have been routed before. Asks
auth where addresses are.
"""

import asyncio
from functools import partial

from kernel.http import Peer
from kernel.model.events import DirectoryChanged, MailAccepted
from kernel.platform import Platform
from kernel.runtime import Service, run
from services.router.adapters.directory import CachedDirectory
from services.router.service import Router
from services.router.settings import Settings


async def serve(platform: Platform, settings: Settings) -> None:
    """Route until cancelled."""
    token = platform.settings.service_token.get_secret_value()
    async with Peer(platform.settings.auth_url, token) as auth, asyncio.TaskGroup() as tasks:
        now = asyncio.get_running_loop().time
        directory = CachedDirectory(auth, now, remember=settings.remember.total_seconds())
        router = Router(platform, directory, settings.patience)
        platform.health.watch("router: auth", directory.trouble)
        tasks.create_task(platform.bus.listen(DirectoryChanged, directory.forget))
        tasks.create_task(
            platform.bus.consume(
                MailAccepted,
                router.accept,
                again=router.accept_again,
                concurrency=settings.concurrency,
            )
        )
        platform.health.ready("router")


def main() -> None:
    """Run the router alone in this process."""
    run(Service("router", partial(serve, settings=Settings())))
