"""Counts TLS with other servers, logs what fails, and writes a report of each day (RFC 8460)."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Counter

from kernel.clock import Clock
from kernel.model.reply import printable
from services.delivery.core.tlsrpt import Failure, Policy, Tally

LOOK_EVERY = 60.0  # seconds: whether a new day has begun
LONGEST_WHY = 300  # characters: others may have chosen them

_SESSIONS = Counter(
    "postroom_delivery_tls_sessions_total",
    "Conversations with other servers, by what said how to talk to them and what came of TLS.",
    ["policy", "result"],
)
_log = structlog.get_logger("delivery")


class TlsReports:
    """Hears of every conversation. Without a ``folder`` it counts and logs alone."""

    def __init__(
        self, clock: Clock, our_name: str, contact: str = "", folder: Path | None = None
    ) -> None:
        self._clock = clock
        self._our_name = our_name
        self._contact = contact
        self._folder = folder
        self._tally = Tally(clock())

    def succeeded(self, policy: Policy) -> None:
        """Note a conversation that was as secret as it should be."""
        _SESSIONS.labels(policy.kind.value, "ok").inc()
        self._tally.succeed(policy)

    def failed(self, policy: Policy, failure: Failure) -> None:
        """Note one that was not, or a policy that is not to be had."""
        failure = replace(failure, why=printable(failure.why)[:LONGEST_WHY])
        _SESSIONS.labels(policy.kind.value, failure.result.value).inc()
        self._tally.fail(policy, failure)
        _log.warning(
            "tls failed",
            domain=policy.domain,
            policy=policy.kind.value,
            result=failure.result.value,
            host=failure.host,
            address=failure.address,
            why=failure.why,
        )

    async def follow(self) -> None:
        """Write the report of each day (UTC) when it is over, and of the last one at our end."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY)
                if self._clock().date() != self._tally.since.date():
                    await self.write()
        finally:
            await self.write()

    async def write(self) -> None:
        """Write what has been counted, a file for each domain, and begin anew."""
        now = self._clock()
        done, self._tally = self._tally, Tally(now)
        if self._folder is None:
            return
        span = f"{int(done.since.timestamp())}!{int(now.timestamp())}!{os.getpid()}"
        files = {
            f"{self._our_name}!{domain}!{span}.json": report  # RFC 8460 §5.1
            for domain, report in done.reports(self._our_name, self._contact, now).items()
        }
        troubles = await asyncio.to_thread(_write, self._folder, files)
        if troubles:
            _log.error("cannot write reports of TLS", lost=len(troubles), why=troubles[0])


def _write(folder: Path, files: dict[str, dict[str, Any]]) -> list[str]:
    """Write what can be written; return why the rest cannot, such as a name that is too long."""
    troubles = []
    for name, report in files.items():
        draft = folder / f".{name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(report, indent=1), encoding="utf-8")
            draft.replace(folder / name)
        except OSError as error:
            troubles.append(str(error))
    return troubles
