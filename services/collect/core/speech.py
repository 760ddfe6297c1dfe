"""Speech: what a session says and wants done, gathered until it is time."""

from services.collect.core import replies
from services.collect.core.effects import Close, Effect, Say

ENOUGH = 65_536
"""Octets to have sent, before more commands are obeyed."""


class Speech:
    """Replies go out together: one write answers all that came in one breath (RFC 2449 §6.6).

    But no more than about `ENOUGH` of them: a breath of commands can want gigabytes of lists.
    """

    def __init__(self, max_errors: int) -> None:
        self.is_waiting = False
        """Whether an answer is due before the session goes on."""
        self.is_closed = False
        self._errors_left = max_errors
        self._said: list[bytes] = []
        self._octets_said = 0
        self._effects: list[Effect] = []

    def _say(self, line: str) -> None:
        self._said.append(f"{line}\r\n".encode())
        self._octets_said += len(self._said[-1])

    def _say_lines(self, first: str, lines: list[str]) -> None:
        """Say a multi-line response (RFC 1939 §3). No line of ours begins with a dot."""
        self._say("\r\n".join([first, *lines, "."]))

    def _complain(self, line: str) -> None:
        """Say ``line``, and count it against the client."""
        self._say(line)
        self._errors_left -= 1
        if self._errors_left <= 0:
            self._hang_up(replies.TOO_MANY_ERRORS)

    def _hang_up(self, line: str = "") -> None:
        if line:
            self._say(line)
        self._say_now()
        self._effects.append(Close())
        self.is_closed = True

    def _wait_for(self, effect: Effect) -> None:
        self._say_now()
        self._effects.append(effect)
        self.is_waiting = True

    def _say_now(self) -> None:
        if self._said:
            self._effects.append(Say(b"".join(self._said)))
            self._said.clear()
            self._octets_said = 0

    def _flush(self) -> list[Effect]:
        """Return what is to be done."""
        self._say_now()
        effects, self._effects = self._effects, []
        return effects
