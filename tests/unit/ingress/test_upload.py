import asyncio

import pytest

from services.ingress.upload import FULL, SpilledError, Upload


@pytest.fixture
async def upload():
    return Upload(lambda: None)


async def collect(upload):
    return b"".join([chunk async for chunk in upload.chunks()])


async def test_what_is_poured_in_comes_out(upload):
    collecting = asyncio.create_task(collect(upload))
    await asyncio.sleep(0)
    for octets in (b"a", b"b", b"c"):
        upload.pour(octets)
        await asyncio.sleep(0)
    upload.seal()

    assert await collecting == b"abc"


async def test_it_is_full_until_something_is_taken():
    calls = []
    upload = Upload(lambda: calls.append("room"))
    upload.pour(b"x" * (FULL + 1))
    assert upload.is_full

    await anext(upload.chunks())

    assert not upload.is_full
    assert calls == ["room"]


async def test_a_spilled_message_never_looks_complete(upload):
    upload.pour(b"half")
    upload.spill()

    with pytest.raises(SpilledError):
        await collect(upload)
    assert not await upload.was_sealed()


async def test_a_sealed_message_is_not_spilled_by_who_leaves(upload):
    upload.pour(b"whole")
    upload.seal()
    upload.spill()

    assert await collect(upload) == b"whole"


async def test_after_the_store_gave_up_the_rest_falls_through(upload):
    waiting = asyncio.create_task(upload.was_sealed())
    await asyncio.sleep(0)
    upload.pour(b"x" * FULL * 2)

    assert not upload.is_full
    upload.seal()
    assert await waiting
