"""Speech: what a session says and wants done, gathered until it is time."""

from kernel.model.reply import Reply
from services.ingress.core import replies
from services.ingress.core.effects import Close, Effect, Limited, Pause, Say

BREATH = 32_768
"""Octets that are said before the client has to have read them."""


class Speech:
    """Replies go out together: one write answers all that came in one breath (RFC 2920 §3.2)."""

    def __init__(self, max_errors: int) -> None:
        self.is_waiting = False
        """Whether an answer is due before the session goes on."""
        self.is_closed = False
        self._errors_left = max_errors
        self._unknown = 0
        self._penalty = 0
        self._unheard = 0
        self._said = b""
        self._effects: list[Effect] = []

    def _say(self, reply: Reply) -> None:
        if not self.is_closed:
            octets = reply.lines()
            self._said += octets
            self._unheard += len(octets)

    def _complain(self, reply: Reply) -> None:
        """Say ``reply``; a permanent one counts against the client."""
        if reply.is_permanent:
            self._blame(reply)
        else:
            self._say(reply)

    def _blame(self, reply: Reply) -> None:
        """Say ``reply``, which counts against the client."""
        self._say(reply)
        self._errors_left -= 1
        if self._errors_left <= 0:
            self._hang_up(replies.TOO_MANY_ERRORS)

    def _doubt(self, most: int) -> None:
        """Note that a stranger named nobody: after half of ``most`` each costs a second."""
        self._unknown += 1
        if self._unknown * 2 > most:
            self._penalty += 1
        if self._unknown >= most and not self.is_closed:
            self._want(Limited("unknown_recipients"))
            self._hang_up(replies.TOO_MANY_UNKNOWN)

    def _hang_up(self, reply: Reply) -> None:
        if not self.is_closed:
            self._say(reply)
            self._say_now()
            self._effects.append(Close())
            self.is_closed = True

    def _want(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _wait_for(self, effect: Effect) -> None:
        if not self.is_closed:
            self._effects.append(effect)
            self.is_waiting = True

    def _may_read(self) -> bool:
        """Whether to go on at once; who guesses has to wait, and who does not listen too."""
        if self.is_waiting or self.is_closed:
            return False
        if self._penalty:
            self._wait_for(Pause(self._penalty))
        elif self._unheard > BREATH:
            self._say_now()
            self._wait_for(Pause(0))
        else:
            return True
        self._penalty = self._unheard = 0
        return False

    def _say_now(self) -> None:
        if self._said:
            self._effects.append(Say(self._said))
            self._said = b""

    def _flush(self) -> list[Effect]:
        """Return what is to be done; while an answer is due, what was said waits for it."""
        if self._said and not self.is_waiting:
            self._effects.append(Say(self._said))
            self._said = b""
        effects, self._effects = self._effects, []
        return effects
