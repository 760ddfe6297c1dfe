"""Rspamd: has a message scored, over HTTP (rspamd's protocol, ``/checkv2``)."""

from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp

from kernel.model.reply import Reply
from services.ingress.checks.port import Arrival, CheckUnavailableError
from services.ingress.core.checks import Finding
from services.ingress.core.effects import Offer

SPAM = Reply(554, "5.7.1", "The message looks like spam")
NOT_YET = Reply(451, "4.7.1", "Try again later")
_ANSWERS: dict[str, tuple[Reply | None, bool]] = {
    "reject": (SPAM, False),
    "soft reject": (NOT_YET, False),
    "greylist": (NOT_YET, False),
    "add header": (None, True),
    "rewrite subject": (None, True),
    "no action": (None, False),
}
"""What each action means to us: a refusal, and whether the message is marked."""


@dataclass(frozen=True, slots=True)
class Rspamd:
    """The check. ``url`` is that of rspamd's normal worker."""

    session: aiohttp.ClientSession
    url: str
    limit: float
    name: str = "rspamd"

    def preview(self, _: Arrival) -> None:
        """Return None: without a message there is nothing to look at."""

    async def examine(self, arrival: Arrival) -> Finding:
        """Return what rspamd wants to happen to the message."""
        action = await self._ask(arrival)
        if action not in _ANSWERS:
            raise CheckUnavailableError(f"rspamd: an unknown action {action!r}")
        refusal, suspicious = _ANSWERS[action]
        return Finding(self.name, action, refusal=refusal, suspicious=suspicious)

    async def _ask(self, arrival: Arrival) -> str:
        url = f"{self.url.rstrip('/')}/checkv2"
        facts = [("Content-Length", str(arrival.size)), *_facts(arrival.offer)]
        try:
            async with self.session.post(url, data=arrival.content(), headers=facts) as answer:
                answer.raise_for_status()
                return str((await answer.json(content_type=None))["action"])
        except (aiohttp.ClientError, ValueError, LookupError, TypeError) as error:
            raise CheckUnavailableError(f"rspamd: {error!r}") from error


def _facts(offer: Offer) -> Iterator[tuple[str, str]]:
    """Yield what rspamd wants to know of the envelope, as header fields of HTTP."""
    yield "IP", offer.client
    yield "Helo", offer.helo
    yield "From", str(offer.sender or "")
    yield "Queue-Id", offer.id
    for recipient in offer.recipients:
        yield "Rcpt", str(recipient.address)
