"""Shaping: when this worker may converse with a site, and when a leg has to come back later.

A site has one limit for all workers. What of it is ours now follows from who is alive, from what
the site has answered, and from what it is suspended for; a leg that cannot go now is put off to a
moment at which it probably can. All notices to and from the other workers meet here.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from math import inf

import structlog

from kernel.clock import Clock
from kernel.model.events import SiteResumed, SiteSuspended
from kernel.model.rate import Rate
from kernel.model.reply import Reply, printable
from services.delivery import metrics
from services.delivery.core.pace import Pace, put_off, timed
from services.delivery.core.rates import Levels, Portions, draw, interval
from services.delivery.core.sharing import has_room
from services.delivery.core.suspension import Access, Rest, Suspension, access, suspended
from services.delivery.core.throttle import Outcome, Throttle, feedback, outcome_of
from services.delivery.fellows import EVERYWHERE, Fellows
from services.delivery.ports import Later, Site, Turn
from services.delivery.turnstile import Turnstile

BUSY = Reply(451, "4.3.2", "As many messages as may be are under way to this site")
FULL = Reply(451, "4.3.2", "As many messages as may be are in hand for this site")
TOO_FAST = Reply(451, "4.3.2", "As many messages as may be have gone to this site for now")
ELSEWHERE = Reply(451, "4.3.2", "Other workers send to this site")
REMEMBERED = 10_000
_REASONS = {BUSY: "busy", FULL: "full", TOO_FAST: "rate", ELSEWHERE: "elsewhere"}

_log = structlog.get_logger("delivery")


@dataclass(frozen=True, slots=True)
class Manners:
    """How we treat sites: what ``connections`` and ``rates`` hold for all workers together.

    ``slots`` is how many legs this worker has in hand at a time, ``patience`` for how many
    seconds one of them waits for its turn; a site is dead after ``cohorts`` of failures.
    """

    connections: int = 20
    connections_in_all: int = 1_000
    rates: Sequence[Rate] = ()
    source_rates: Sequence[Rate] = ()
    slots: int = 200
    patience: float = 1.0
    cohorts: float = 1.0
    rest: Rest = field(default_factory=Rest)


@dataclass(slots=True)
class _State:
    """What we know of a site. ``since`` is when a message last ended, or the first began."""

    ceiling: int
    turnstile: Turnstile = field(default_factory=Turnstile)
    throttle: Throttle = field(default_factory=Throttle)
    pace: Pace = field(default_factory=Pace)
    since: float = 0.0
    levels: Levels = field(default_factory=dict)
    suspension: Suspension | None = None


class Shaping:
    """Keeps the promises of `services.delivery.ports.Shaping`."""

    def __init__(
        self,
        manners: Manners,
        fellows: Fellows,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manners = manners
        self._fellows = fellows
        self._clock = clock
        self._monotonic = monotonic
        self._sites: OrderedDict[str, _State] = OrderedDict()
        self._sources: dict[str, Levels] = {}
        self._in_hand: Counter[str] = Counter()
        self._slow = self._inside = 0
        self._strange = Pace()
        self.when_changed: Callable[[], None] = lambda: None
        fellows.loads = self._told
        fellows.is_over = self.is_over
        fellows.when_changed = self._fellows_changed

    @contextmanager
    def holding(self, name: str) -> Iterator[Later | None]:
        """Count a leg for ``name`` (a domain, a site) as in hand, or say that it is too many.

        Those of a site that is known to be fast are not counted: they are soon gone.
        """
        slow = not self._is_fast(name)
        if slow and not has_room(self._in_hand[name], self._slow, self._manners.slots):
            yield self._later(name, FULL)
            return
        self._in_hand[name] += 1
        self._slow += slow
        try:
            yield None
        finally:
            self._slow -= slow
            self._in_hand[name] -= 1
            if not self._in_hand[name]:
                del self._in_hand[name]

    async def enter(self, site: Site) -> Turn | Later:
        """Return leave to converse with ``site`` now, or when to come back."""
        state = self._state(site)
        refusal = self._closed(site, state)
        if refusal is not None:
            return refusal
        room = self.room(site.name)
        if not room:
            return self._later(site.name, ELSEWHERE)
        if not await state.turnstile.enter(room, self._patience(state, room)):
            return self._later(site.name, BUSY)
        refusal = self._closed(site, state, inside=1) or self._too_many(site, state)
        if refusal is not None:
            state.turnstile.leave(self.room(site.name))
            return refusal
        self._inside += 1
        now = self._monotonic()
        if state.turnstile.inside == 1:
            state.since = now
        return Turn(site.name, now)

    def note(self, turn: Turn, failure: Reply | None) -> None:
        """Learn how a connection for ``turn`` ended: with ``failure``, or well."""
        outcome = Outcome.SUCCESS if failure is None else outcome_of(failure)
        state = self._sites.get(turn.site)
        if outcome is None or state is None:
            return
        ceiling = self._fellows.allowance(state.ceiling, turn.site)
        state.throttle = feedback(state.throttle, outcome, ceiling, state.turnstile.inside)
        if outcome is Outcome.SUCCESS:
            if state.suspension is not None:
                self._resume(turn.site, state)
        elif failure is not None and self._is_lost(state):
            self._suspend(turn.site, state, failure)

    def _is_lost(self, state: _State) -> bool:
        """Whether a failure is the last straw; those that began before a rest say nothing new."""
        if state.suspension is not None:
            return self._clock() >= state.suspension.until
        return state.throttle.is_dead(self._manners.cohorts)

    def leave(self, turn: Turn) -> None:
        """Give the place to whoever waits first."""
        self._inside -= 1
        state = self._sites[turn.site]
        state.since = self._monotonic()
        state.pace = timed(state.pace, state.since - turn.began)
        state.turnstile.leave(self.room(turn.site))

    def room(self, name: str) -> int:
        """Return how many connections to a site we may have now, in use or not."""
        state = self._sites.get(name)
        if state is None:
            return 0
        if state.suspension is not None:
            return 1
        allowance = self._fellows.allowance(state.ceiling, name)
        return min(state.throttle.window, allowance)

    def room_in_all(self) -> int:
        """Return how many connections we may have now."""
        return self._fellows.allowance(self._manners.connections_in_all, EVERYWHERE)

    def loads(self) -> dict[str, int]:
        """Return how many conversations go on, by site."""
        return {n: s.turnstile.inside for n, s in self._sites.items() if s.turnstile.inside}

    def is_over(self) -> bool:
        """Whether we have more somewhere than is ours, since others came: they wait for it."""
        return any(
            state.turnstile.inside > self._fellows.portion(state.ceiling, name)
            for name, state in self._sites.items()
            if state.turnstile.inside
        )

    async def hear_suspended(self, notice: SiteSuspended) -> None:
        """Leave the site alone, as another worker says; by our clock for no longer than we would.

        A clock that is hours ahead of ours would keep mail for hours.
        """
        if notice.worker == self._fellows.me:
            return
        longest = self._clock() + self._manners.rest.longest
        notice = replace(notice, until=min(notice.until, longest))
        state = self._sites.get(notice.site)
        if state is None:
            state = self._remember(notice.site, _State(self._manners.connections))
        state.suspension = suspended(state.suspension, notice, self._clock())

    async def hear_resumed(self, notice: SiteResumed) -> None:
        """Go on with the site, as another worker says."""
        state = self._sites.get(notice.site)
        if state is not None and notice.worker != self._fellows.me:
            self._lift(notice.site, state)

    def _closed(self, site: Site, state: _State, inside: int = 0) -> Later | None:
        """Return why nothing may go to the site now, nor be tried: it rests, or is being tried."""
        suspension = state.suspension
        if suspension is None:
            return None
        me, workers = self._fellows.me, self._fellows.workers
        allowed = access(suspension, me, workers, site.name, self._clock())
        if allowed is Access.WAIT:
            return self._later(site.name, suspension.why, not_before=suspension.until)
        if allowed is Access.PROBE and state.turnstile.inside == inside:
            return None
        return self._later(site.name, suspension.why)

    def _too_many(self, site: Site, state: _State) -> Later | None:
        """Count one more message; or return when the limits of all sites, and the rates, let it."""
        if self._inside >= self.room_in_all():
            return self._later(site.name, BUSY)
        now = self._monotonic()
        joined = -inf if self._fellows.joined is None else self._fellows.joined
        source = site.route.source if site.route else ""
        levels, wait = draw(state.levels, self._rates_of(site), now, joined)
        if not wait:
            before = self._sources.get(source, {})
            sources, wait = draw(before, self._rates_of_source(source), now, joined)
            if not wait:
                self._sources[source], state.levels = sources, levels
                return None
        if wait == inf:
            return self._later(site.name, ELSEWHERE)
        return self._later(site.name, TOO_FAST, site=site, wait=wait)

    def _rates_of(self, site: Site) -> Portions:
        rates = (site.route.rates if site.route else ()) or self._manners.rates
        return {rate: self._fellows.portion(rate.count, site.name) for rate in rates}

    def _rates_of_source(self, source: str) -> Portions:
        name = f"from {source}"
        rates = self._manners.source_rates
        return {rate: self._fellows.portion(rate.count, name) for rate in rates}

    def _patience(self, state: _State, room: int) -> float:
        """Return how long it is worth to wait for a turn: not at all if it will not come.

        At a site of which nothing is known yet, a moment: a fast one has answered by then.
        """
        patience, stuck = self._manners.patience, self._stuck(state)
        ahead = (state.turnstile.waiting + 1) * state.pace.interval(room, stuck)
        if state.pace.seconds is None and stuck <= patience:
            return patience / 5
        return 0.0 if ahead > patience else patience

    def _is_fast(self, name: str) -> bool:
        state = self._sites.get(name)
        if state is None or state.pace.seconds is None:
            return False
        return max(state.pace.seconds, self._stuck(state)) <= self._manners.patience

    def _stuck(self, state: _State) -> float:
        """Return for how many seconds no message to a site has ended, though some are under way."""
        return self._monotonic() - state.since if state.turnstile.inside else 0.0

    def _later(
        self,
        name: str,
        why: Reply,
        *,
        not_before: datetime | None = None,
        site: Site | None = None,
        wait: float = 0.0,
    ) -> Later:
        state, now = self._sites.get(name), self._clock()
        metrics.PUT_OFF.labels(_REASONS.get(why, "suspended")).inc()
        pace = state.pace if state else self._strange
        stuck = self._stuck(state) if state else 0.0
        slowest = interval(self._rates_of(site)) if site else 0.0
        step = max(pace.interval(self.room(name), stuck), slowest)
        if wait:
            not_before = now + timedelta(seconds=wait)
        pace, until = put_off(pace, step, now, not_before)
        if state:
            state.pace = pace
        else:
            self._strange = pace
        return Later(why, until)

    def _suspend(self, name: str, state: _State, why: Reply) -> None:
        now = self._clock()
        times = 0 if state.suspension is None else state.suspension.times
        until = now + self._manners.rest.after(times)
        notice = SiteSuspended(name, until, why, self._fellows.me)
        state.suspension = suspended(state.suspension, notice, now)
        _log.warning("site suspended", site=name, until=until.isoformat(), why=printable(str(why)))
        self._fellows.tell(notice)

    def _resume(self, name: str, state: _State) -> None:
        self._lift(name, state)
        _log.info("site resumed", site=name)
        self._fellows.tell(SiteResumed(name, self._fellows.me))

    def _lift(self, name: str, state: _State) -> None:
        state.suspension, state.throttle = None, Throttle()
        state.turnstile.admit(self.room(name))

    def _told(self) -> Mapping[str, int]:
        """Return what the others are told of our connections; the metrics hear it on the way."""
        loads, now = self.loads(), self._clock()
        resting = [s for s in self._sites.values() if s.suspension and s.suspension.until > now]
        metrics.SUSPENDED.set(len(resting))
        metrics.WORKERS.set(len(self._fellows.workers))
        metrics.show_sites(loads)
        return {EVERYWHERE: self._inside, **loads} if loads else {}

    def _fellows_changed(self) -> None:
        """Take what is ours now; a newcomer is told of what rests by our word."""
        now, me = self._clock(), self._fellows.me
        for name, state in self._sites.items():
            state.turnstile.admit(self.room(name))
            rests = state.suspension
            if rests is not None and rests.worker == me and rests.until > now:
                self._fellows.tell(SiteSuspended(name, rests.until, rests.why, me))
        self.when_changed()

    def _state(self, site: Site) -> _State:
        ceiling = self._manners.connections
        if site.route is not None and site.route.connections is not None:
            ceiling = site.route.connections
        state = self._sites.get(site.name)
        if state is None:
            return self._remember(site.name, _State(ceiling))
        state.ceiling = ceiling
        self._sites.move_to_end(site.name)
        return state

    def _remember(self, name: str, state: _State) -> _State:
        """Keep the state of a site; those that have been quiet for the longest are forgotten."""
        self._sites[name] = state
        surplus = len(self._sites) - REMEMBERED
        for oldest in [*islice(self._sites, 2 * max(0, surplus))]:
            if self._in_hand.get(oldest):
                self._sites.move_to_end(oldest)
            else:
                del self._sites[oldest]
        return state
