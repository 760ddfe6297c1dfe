"""What every blob store promises."""

import os
from datetime import timedelta

import pytest

from kernel.blobs import filesystem
from kernel.blobs.port import BlobMissingError, BlobsUnavailableError, read_whole
from kernel.clock import system_clock
from kernel.model.envelope import Blob
from tests.support.disks import small_disk
from tests.support.fakes import DictBlobs

NAME = "01kdq5h4g0test000000000000"


@pytest.fixture(params=["filesystem", "fake"])
def blobs(request, tmp_path):
    """Every blob store in turn, and the fake that the other tests trust."""
    if request.param == "fake":
        return DictBlobs()
    return filesystem.open_store(f"file:///{tmp_path}/blobs")


async def chunks(*parts):
    for part in parts:
        yield part


async def whole(blobs, name):
    return b"".join([chunk async for chunk in blobs.read(name)])


async def test_what_was_put_can_be_read(blobs):
    blob = await blobs.put(NAME, chunks(b"one ", b"two"))

    assert blob == Blob(NAME, 7)
    assert await whole(blobs, NAME) == b"one two"
    assert await read_whole(blob, blobs) == b"one two"


async def test_large_blobs_come_back_octet_for_octet(blobs):
    data = os.urandom(3_000_000)

    await blobs.put(NAME, chunks(*(data[i : i + 65_000] for i in range(0, len(data), 65_000))))

    assert await whole(blobs, NAME) == data


async def test_a_second_blob_replaces_the_first_as_a_whole(blobs):
    await blobs.put(NAME, chunks(b"a longer first one"))

    await blobs.put(NAME, chunks(b"second"))

    assert await whole(blobs, NAME) == b"second"


async def test_a_writer_that_fails_leaves_nothing(blobs):
    async def broken():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await blobs.put(NAME, broken())

    with pytest.raises(BlobMissingError):
        await whole(blobs, NAME)


async def test_a_missing_blob_is_said_to_be_missing(blobs):
    with pytest.raises(BlobMissingError):
        await whole(blobs, NAME)


async def test_deleting_twice_is_no_error(blobs):
    await blobs.put(NAME, chunks(b"x"))

    await blobs.delete(NAME)
    await blobs.delete(NAME)

    with pytest.raises(BlobMissingError):
        await whole(blobs, NAME)


async def test_old_blobs_are_found_by_age(blobs):
    await blobs.put(NAME, chunks(b"x"))
    tomorrow = system_clock() + timedelta(days=1)

    assert [name async for name in blobs.older_than(tomorrow)] == [NAME]


async def test_young_blobs_and_half_written_ones_are_not_listed(tmp_path):
    blobs = filesystem.open_store(f"file:///{tmp_path}")
    await blobs.put(NAME, chunks(b"x"))
    (tmp_path / "tmp" / "left-behind").write_bytes(b"half")
    now = system_clock()

    assert [name async for name in blobs.older_than(now - timedelta(days=1))] == []
    assert [name async for name in blobs.older_than(now + timedelta(days=1))] == [NAME]
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_what_others_left_in_the_folder_is_no_blob(tmp_path):
    blobs = filesystem.open_store(f"file:///{tmp_path}")
    await blobs.put(NAME, chunks(b"x"))
    for name in (".nfs0001", "README", "lost+found"):
        (tmp_path / name).write_bytes(b"not ours")

    assert [name async for name in blobs.older_than(system_clock() + timedelta(days=1))] == [NAME]


async def test_a_folder_that_cannot_be_cleared_is_an_outage(tmp_path):
    blobs = filesystem.open_store(f"file:///{tmp_path}")
    await blobs.put(NAME, chunks(b"x"))
    (tmp_path / "tmp" / "left-behind").symlink_to(tmp_path / "tmp" / "left-behind")

    with pytest.raises(BlobsUnavailableError):
        [name async for name in blobs.older_than(system_clock() + timedelta(days=1))]


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", ".hidden", "UPPER"])
async def test_a_name_cannot_leave_the_folder(tmp_path, name):
    blobs = filesystem.open_store(f"file:///{tmp_path}")

    with pytest.raises(BlobMissingError):
        await whole(blobs, name)


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "blobs").write_text("a file where the folder should be")
    blobs = filesystem.open_store(f"file:///{tmp_path}/blobs")

    with pytest.raises(BlobsUnavailableError):
        await blobs.put(NAME, chunks(b"x"))


async def test_a_store_that_has_room_is_short_of_nothing(blobs):
    assert await blobs.shortage() == ""


async def test_a_disk_is_short_of_room_before_it_is_full(tmp_path):
    with small_disk(tmp_path / "disk", 16) as disk:
        blobs = filesystem.open_store(f"file:///{disk.folder}/blobs", reserve=512 * 2**20)
        assert await blobs.shortage() == ""  # of a small disk a tenth is enough

        disk.fill(leave=1_500_000)
        assert f"1 MiB are left on the disk of {disk.folder}/blobs" in await blobs.shortage()
        assert await filesystem.open_store(f"file:///{disk.folder}").shortage() == ""

        disk.clear()
        assert await blobs.shortage() == ""
