"""Finds out what domains say of their mail servers: by DNS and HTTPS, and remembers it (RFC 8461).

A policy that was once had counts until it ends, whatever stands between us and its domain.
"""

import asyncio
import json
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

from kernel.clock import Clock
from kernel.mtasts import Mode, StsPolicy, parse_policy, policy_id
from kernel.names import NamesUnavailableError
from kernel.policyfile import HTTPS, NotShownError, located, policy_session, policy_text
from services.delivery.adapters.hosts import Hosts
from services.delivery.adapters.securing import trusting
from services.delivery.adapters.tlsrpt import TlsReports
from services.delivery.core.tlsrpt import Failure, Policy, PolicyKind, Result

MOST_POLICIES = 10_000
REFRESH = timedelta(days=1)  # a policy is asked for again long before it ends (RFC 8461 §3.3)
PATIENCE = timedelta(minutes=5)  # until a policy that was not to be had is asked for again
TIMEOUT = 20.0  # seconds

_log = structlog.get_logger("delivery")


@dataclass(frozen=True, slots=True)
class Kept:
    """A policy, what its domain calls it, and when we had it."""

    id: str
    policy: StsPolicy
    fetched: datetime

    def is_alive(self, now: datetime) -> bool:
        """Return whether it counts."""
        return now < self.fetched + self.policy.max_age

    def is_fresh(self, now: datetime) -> bool:
        """Return whether it need not be fetched again."""
        return self.is_alive(now) and now < self.fetched + REFRESH


@dataclass(frozen=True, slots=True)
class Web:
    """Where policies are fetched. ``trust`` tells which certificates are good, as the system."""

    port: int = HTTPS
    trust: ssl.SSLContext | None = None
    timeout: float = TIMEOUT


class StsPolicies:
    """Domains' policies. With a ``folder`` they outlive us. An async context manager."""

    def __init__(
        self,
        hosts: Hosts,
        clock: Clock,
        reports: TlsReports,
        folder: Path | None = None,
        web: Web | None = None,
    ) -> None:
        self._hosts = hosts
        self._clock = clock
        self._reports = reports
        self._folder = folder
        self._web = web or Web()
        self._kept: dict[str, Kept] = {}
        self._failed: dict[tuple[str, str], datetime] = {}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = policy_session(
            _WebResolver(self._hosts), self._web.trust or trusting(), self._web.timeout
        )
        if self._folder is not None:
            self._kept = await asyncio.to_thread(_load, self._folder, self._clock())
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._session.close()

    async def find(self, domain: str) -> StsPolicy | None:
        """Return the domain's policy, if it has one that is to be had."""
        now = self._clock()
        kept = self._kept.get(domain)
        if kept is not None and not kept.is_alive(now):
            kept = self._kept.pop(domain, None) and None
        fresh = await self._fresh(domain, kept, now)
        policy = fresh.policy if fresh else None
        return None if policy is None or policy.mode is Mode.NONE else policy

    async def _fresh(self, domain: str, kept: Kept | None, now: datetime) -> Kept | None:
        """Return the policy as the domain has it now; what we have if that is not to be had."""
        try:
            answer = await self._hosts.names.ask(f"_mta-sts.{domain}", "TXT")
        except NamesUnavailableError:
            return kept
        called = policy_id(answer.records)
        if called is None or (kept and kept.id == called and kept.is_fresh(now)):
            return kept
        if self._failed.get((domain, called), now) > now:
            return kept
        fetched = await self._fetch(domain)
        if isinstance(fetched, Failure):
            self._reports.failed(Policy(PolicyKind.STS, domain), fetched)
            self._fail(domain, called, now)
            return kept
        new = Kept(called, fetched, now)
        await self._keep(domain, new)
        return new

    async def _fetch(self, domain: str) -> StsPolicy | Failure:
        """Return the policy that the domain's web server shows (RFC 8461 §3.3)."""
        try:
            text = await policy_text(self._session, f"mta-sts.{domain}", self._web.port)
            return parse_policy(text)
        except aiohttp.ClientConnectorCertificateError as error:
            return Failure(Result.STS_WEBPKI_INVALID, why=str(error.certificate_error))
        except (NotShownError, aiohttp.ClientError, TimeoutError, OSError) as error:
            return Failure(Result.STS_POLICY_FETCH_ERROR, why=str(error) or type(error).__name__)
        except ValueError as error:  # no policy, or a domain that makes no URL
            return Failure(Result.STS_POLICY_INVALID, why=str(error))

    def _fail(self, domain: str, called: str, now: datetime) -> None:
        if len(self._failed) >= MOST_POLICIES:
            self._failed = {key: until for key, until in self._failed.items() if until > now}
        if len(self._failed) < MOST_POLICIES:
            self._failed[domain, called] = now + PATIENCE

    async def _keep(self, domain: str, new: Kept) -> None:
        self._kept.pop(domain, None)
        self._kept[domain] = new
        forgotten = next(iter(self._kept)) if len(self._kept) > MOST_POLICIES else None
        if forgotten is not None:
            del self._kept[forgotten]
        if self._folder is None:
            return
        try:
            await asyncio.to_thread(_save, self._folder, domain, new, forgotten)
        except OSError as error:
            _log.error("cannot keep a policy", domain=domain, why=str(error))


class _WebResolver(AbstractResolver):
    """Our way to ask DNS, for aiohttp."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``. Raises `OSError`."""
        del family
        try:
            found = await self._hosts.find(host, port)
        except NamesUnavailableError as error:
            raise OSError(str(error)) from error
        if not found:
            raise OSError(f"{host} has no address")
        return [located(host, one.address, port) for one in found]

    async def close(self) -> None:
        """Have nothing to close."""


def _save(folder: Path, domain: str, kept: Kept, forgotten: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{domain}"
    text = "\n".join(kept.policy.lines)
    draft.write_text(
        json.dumps({"id": kept.id, "fetched": kept.fetched.isoformat(), "policy": text}),
        encoding="utf-8",
    )
    draft.replace(folder / f"{domain}.json")
    if forgotten is not None:
        (folder / f"{forgotten}.json").unlink(missing_ok=True)


def _load(folder: Path, now: datetime) -> dict[str, Kept]:
    """Return what was kept and still counts; the rest is tidied away."""
    found: dict[str, Kept] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            fetched = datetime.fromisoformat(saved["fetched"])
            kept = Kept(saved["id"], parse_policy(saved["policy"]), fetched)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.error("cannot read a policy", file=file.name, why=str(error))
            continue
        if kept.is_alive(now):
            found[file.name.removesuffix(".json")] = kept
        else:
            file.unlink(missing_ok=True)
    return dict(list(found.items())[-MOST_POLICIES:])
