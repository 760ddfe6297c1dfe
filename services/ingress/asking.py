"""Asking: what a connection wants to know of auth, and who is told that it is too much."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar, TypeVar

import structlog

from kernel.model.questions import AdmissionAnswer, RelayAnswer
from services.ingress import metrics
from services.ingress.core import effects
from services.ingress.core.session import Session
from services.ingress.ports import DirectoryUnavailableError
from services.ingress.stepping import Acts, Stepping

T = TypeVar("T")

_log = structlog.get_logger("ingress")


class Asking(Stepping):
    """Asks, and hands the answers to the session."""

    def _admit(self, effect: effects.Admit) -> None:
        question = self._entrance.directory.admit(effect.question)
        self._entrance.crowd.work(self._ask(question, self._admitted))

    def _admitted(self, core: Session, answer: AdmissionAnswer | None) -> list[effects.Effect]:
        is_out = answer is None or not answer.admitted
        if is_out and not self._entrance.is_trial:
            metrics.turned_away(self._entrance.name).inc()
            _log.info("not admitted", session=self._name())
        return core.admitted(answer)

    def _decide(self, effect: effects.Decide) -> None:
        question = self._entrance.directory.decide(effect.questions)
        self._entrance.crowd.begin(self._ask(question, partial(self._decided, effect)))

    def _decided(
        self, effect: effects.Decide, core: Session, answers: Sequence[RelayAnswer] | None
    ) -> list[effects.Effect]:
        return core.decided(answers and self._measured(effect, answers))

    def _measured(
        self, effect: effects.Decide, answers: Sequence[RelayAnswer]
    ) -> Sequence[RelayAnswer]:
        """Return ``answers``, but that who sends too much is told so."""
        doorway = None if self._entrance.is_trial else self._entrance.doorway()
        if doorway is None:
            return answers
        is_new = effect.mail != self._counted
        now = self.loop.time()
        judged = self._entrance.limits.judge(
            doorway.listener, effect.questions, answers, now, is_new=is_new
        )
        if is_new:
            for answer in judged:
                if answer.reply.is_positive:
                    self._counted = effect.mail
                    break
        return judged

    def _login(self, effect: effects.Login) -> None:
        question = self._entrance.directory.log_in(effect.question)
        self._entrance.crowd.work(self._ask(question, Session.logged_in))

    async def _ask(
        self,
        question: Awaitable[T],
        answered: Callable[[Session, T | None], list[effects.Effect]],
    ) -> None:
        """Let the session go on with the answer, or None if there is none: never a yes or a no."""
        answer = None
        try:
            answer = await question
        except DirectoryUnavailableError as error:
            _log.warning("auth cannot be asked", session=self._name(), why=str(error))
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("asking auth failed", session=self._name())
        if self._core is not None:
            self._step(answered, self._core, answer)

    asks: ClassVar[Acts] = {
        effects.Admit: _admit,
        effects.Decide: _decide,
        effects.Login: _login,
    }
