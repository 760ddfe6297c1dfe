"""What auth says of mail that leaves us, kept fresh; its last word counts while it is away."""

import asyncio
from contextlib import suppress

import structlog

from kernel.http import Peer, PeerUnavailableError
from kernel.model.events import DirectoryChanged
from kernel.model.sending import Sending

REFRESH, RETRY = 10.0, 0.5  # seconds
KINDS = frozenset({"routes", "domains", "dkim-keys"})
"""The resources of auth that it is made of."""

_log = structlog.get_logger("delivery")


class Orders:
    """The administrator's orders for mail that leaves us."""

    def __init__(self, auth: Peer) -> None:
        self._auth = auth
        self._now: Sending | None = None
        self._stale = asyncio.Event()
        self._known = asyncio.Event()
        self._trouble = "auth has not said yet where mail is to go"

    @property
    def now(self) -> Sending:
        """What stands; nothing before auth has ever answered: wait until it is `known`."""
        return self._now or Sending()

    async def known(self) -> None:
        """Wait for auth's first answer: mail for a smart host must not go another way."""
        await self._known.wait()

    def trouble(self) -> str:
        """Return why mail must wait, or an empty string. What is known counts for ever."""
        return "" if self._now else self._trouble

    async def notice(self, change: DirectoryChanged) -> None:
        """Ask again at once, if it is about anything of ours."""
        if change.kind in KINDS:
            self._stale.set()

    async def follow(self) -> None:
        """Keep it fresh, until cancelled."""
        while True:
            self._stale.clear()
            answered = await self._ask()
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH if answered else RETRY):
                    await self._stale.wait()

    async def _ask(self) -> bool:
        try:
            fresh = await self._auth.get("/internal/sending", Sending)
        except PeerUnavailableError as error:
            if self._trouble != str(error):
                _log.warning("auth does not answer", why=str(error))
            self._trouble = str(error)
            return False
        self._trouble = ""
        self._now = fresh
        self._known.set()
        return True
