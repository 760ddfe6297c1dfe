"""Errands are done before we go, and are never lost in silence."""

import asyncio

from structlog.testing import capture_logs

from services.auth.errands import Errands


async def test_errands_under_way_are_done_before_we_go():
    errands, done = Errands(), []

    async def errand(number):
        await asyncio.sleep(0)
        done.append(number)

    for number in range(3):
        errands.run(errand(number), "an errand")
    await errands.aclose()

    assert sorted(done) == [0, 1, 2]


async def test_an_errand_that_fails_is_told_of_and_stops_no_other():
    errands, done = Errands(), []

    async def fail():
        raise ValueError("no luck")

    async def succeed():
        done.append("here")

    with capture_logs() as logs:
        errands.run(fail(), "one that fails")
        errands.run(succeed(), "one that does not")
        await errands.aclose()

    assert done == ["here"]
    assert [(line["errand"], line["why"]) for line in logs] == [
        ("one that fails", "ValueError('no luck')")
    ]


async def test_without_errands_there_is_nothing_to_wait_for():
    await Errands().aclose()
