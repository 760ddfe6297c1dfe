"""Greylisting: a refusal that only asks us to come again, and how long we are to wait (RFC 6647).

Nobody has to say so in any certain words, so this goes by those of the programs that are in use.
To take something else for greylisting costs a few minutes, and no mail.
"""

import re
from datetime import timedelta

from kernel.model.reply import Reply

USUAL_WAIT = timedelta(minutes=5)
"""What Postgrey, sqlgrey and rspamd ask for unless they are told otherwise."""
SHORTEST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)

_NAMED = re.compile(r"gr[ea]y-?\s?list", re.IGNORECASE)
_POLICY = re.compile(
    r"try (again )?later|later try|come back|temporar|again in|not yet authorized", re.IGNORECASE
)
_RETRY = re.compile(r"gr[ea]y-?\s?list|try|come back|wait|delay|again", re.IGNORECASE)
_SPAN = re.compile(
    r"(?:\bin|\bfor|\bafter|\bwait|\banother|\bleast)\s+"
    r"(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(?:in|for|after)\s+(\d{1,2}):(\d\d):(\d\d)\b", re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "h": 3_600}
_MAILBOX_CODES = frozenset({421, 450, 451})
_UNSPOKEN = "4.0.0"


def wait_asked_for(reply: Reply) -> timedelta | None:
    """Return how long whoever gave ``reply`` wants us to wait, if they want just that."""
    if not reply.is_transient:
        return None
    spoken = _spoken(reply.text)
    if spoken is not None and _RETRY.search(reply.text):
        return min(max(spoken, SHORTEST_WAIT), LONGEST_WAIT)
    return USUAL_WAIT if _is_greylisting(reply) else None


def _is_greylisting(reply: Reply) -> bool:
    """Return whether it is named, or is said in the way of policies (X.7.1, RFC 3463 §3.8)."""
    if _NAMED.search(reply.text):
        return True
    if reply.code not in _MAILBOX_CODES or not _POLICY.search(reply.text):
        return False
    return reply.status in ("4.7.1", _UNSPOKEN) or bool(re.match(r"4\.7\.[56]\d\d$", reply.status))


def _spoken(text: str) -> timedelta | None:
    clock = _CLOCK.search(text)
    if clock:
        hours, minutes, seconds = map(int, clock.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    span = _SPAN.search(text)
    return timedelta(seconds=int(span[1]) * _UNITS[span[2][0].lower()]) if span else None
