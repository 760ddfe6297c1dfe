"""Keeping: hands a message to the intake, as a whole or while it comes in."""

from typing import ClassVar

import structlog

from services.ingress.core import effects, replies
from services.ingress.stepping import Acts, Stepping
from services.ingress.upload import COST, SpilledError, Upload

_log = structlog.get_logger("ingress")


class Keeping(Stepping):
    """Sees a message through to its end, whether or not the client stays to hear of it."""

    def _take(self, effect: effects.Take) -> None:
        held, self._held = self._held, 0
        self._entrance.crowd.begin(self._keep(effect, held))

    async def _keep(self, effect: effects.Take, held: int) -> None:
        """Keep a message, of which so many octets count as held by us already."""
        budget, size = self._entrance.budget, len(effect.content)
        budget.change(size - held)
        try:
            reply = await self._entrance.intake.take(effect.offer, effect.content)
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("keeping a message failed", mail=effect.offer.id)
            reply = replies.TRY_LATER
        finally:
            budget.change(-size)
        if self._core is not None:
            self._step(self._core.stored, reply)

    def _open(self, effect: effects.Open) -> None:
        self._hold(0)
        self._upload = Upload(self._regulate)
        self._upload.pour(effect.head)
        self._entrance.crowd.work(self._keep_stream(effect.offer, self._upload))

    async def _keep_stream(self, offer: effects.Offer, upload: Upload) -> None:
        intake, budget = self._entrance.intake, self._entrance.budget
        budget.change(COST)
        try:
            reply = await intake.take_stream(offer, upload.chunks())
        except SpilledError:
            return
        except Exception:  # noqa: BLE001 - our own fault is 451, never 5yz
            _log.exception("keeping a message failed", mail=offer.id)
            reply = replies.TRY_LATER
        finally:
            budget.change(-COST)
        if await upload.was_sealed() and self._core is not None:
            self._upload = None
            self._step(self._core.stored, reply)

    def _pour(self, effect: effects.Pour) -> None:
        if self._upload is not None:
            self._upload.pour(effect.octets)

    def _seal(self, _: effects.Seal) -> None:
        if self._upload is not None:
            self._upload.seal()

    def _spill(self, _: effects.Spill) -> None:
        if self._upload is not None:
            self._upload.spill()
            self._upload = None

    keeps: ClassVar[Acts] = {
        effects.Take: _take,
        effects.Open: _open,
        effects.Pour: _pour,
        effects.Seal: _seal,
        effects.Spill: _spill,
    }
