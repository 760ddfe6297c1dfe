"""Durable files: a file is there as a whole after a power cut, or not at all.

Write under a temporary name, fdatasync, rename (or link), fsync the directory. What
needs the disk runs in threads, so the event loop never waits for it.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

_GATHER = 65_536
"""Octets that are handed to a thread at a time: more would be no faster, and stand in memory."""

P = ParamSpec("P")
T = TypeVar("T")


class DiskError(Exception):
    """The disk refused: full, read-only, no permission. Says what the system said."""


async def write_file(
    temporary: Path, chunks: AsyncIterator[bytes], place: Callable[[Path], None]
) -> int:
    """Write ``chunks`` to ``temporary``, make them stable, and have ``place`` put the file there.

    Returns the size in octets. Raises `DiskError`, or whatever ``chunks`` raises; either
    way ``temporary`` is gone afterwards.
    """
    file = await on_disk(_create, temporary)
    try:
        with file:
            size = await _copy(chunks, file)
            await on_disk(_finish, file)
        await on_disk(place, temporary)
    finally:
        await on_disk(temporary.unlink, missing_ok=True)
    return size


async def on_disk(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what ``work`` returns, run in a thread; its `OSError` becomes a `DiskError`."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DiskError(error.strerror or str(error)) from error


def shortage(folder: Path, reserve: int) -> str:
    """Return that the disk of ``folder`` has less than ``reserve`` octets left, or nothing.

    Of a small disk a tenth is enough. Blocks, and raises `OSError`.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    found = os.statvfs(place)
    wanted = min(reserve, found.f_blocks * found.f_frsize // 10)
    free = found.f_bavail * found.f_frsize
    if free < wanted:
        return f"{free >> 20} MiB are left on the disk of {folder}, less than {wanted >> 20}"
    if reserve and found.f_files and not found.f_favail:
        return f"no more files fit on the disk of {folder}"
    return ""


async def read_file(path: Path, chunk: int = _GATHER) -> AsyncGenerator[bytes, None]:
    """Yield the file's octets. Raises `DiskError`, or `FileNotFoundError`."""
    file = await on_disk(path.open, "rb")
    with file:
        while data := await on_disk(file.read, chunk):
            yield data


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` stable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it, each name stable, for our eyes only."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def _create(path: Path) -> BinaryIO:
    make_folder(path.parent)
    return path.open("xb", buffering=0)


async def _copy(chunks: AsyncIterator[bytes], file: BinaryIO) -> int:
    size, written = 0, 0
    gathered: list[bytes] = []
    async for chunk in chunks:
        size += len(chunk)
        gathered.append(chunk)
        if size - written >= _GATHER:
            await on_disk(_write_all, file, gathered)
            gathered, written = [], size
    await on_disk(_write_all, file, gathered)
    return size


def _write_all(file: BinaryIO, chunks: Sequence[bytes]) -> None:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]


def _finish(file: BinaryIO) -> None:
    os.fdatasync(file.fileno())
