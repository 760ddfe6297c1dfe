"""Blobs as files: ``FOLDER/ab/01km…ab``, parted by the last two characters of the name."""

import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from kernel import durable
from kernel.blobs.port import BlobMissingError, BlobsUnavailableError
from kernel.model.envelope import Blob, BlobId
from kernel.settings import path_of

_NAME = re.compile(r"[0-9a-z][0-9a-z._-]{1,199}")


class FileBlobs:
    """Keeps every blob in a file of its own below ``folder``, which several hosts may share."""

    def __init__(self, folder: Path, reserve: int = 0) -> None:
        self._folder = folder
        self._reserve = reserve

    async def put(self, name: BlobId, chunks: AsyncIterator[bytes]) -> Blob:
        """See `Blobs.put`."""
        path = self._path(name)
        temporary = self._folder / "tmp" / f"{name}.{secrets.token_hex(8)}"

        def place(written: Path) -> None:
            durable.make_folder(path.parent)
            written.replace(path)
            durable.sync_folder(path.parent)

        try:
            return Blob(name, await durable.write_file(temporary, chunks, place))
        except durable.DiskError as error:
            raise BlobsUnavailableError(f"cannot write blob {name}: {error}") from error

    async def read(self, name: BlobId) -> AsyncIterator[bytes]:
        """See `Blobs.read`."""
        try:
            async for chunk in durable.read_file(self._path(name)):
                yield chunk
        except FileNotFoundError as error:
            raise BlobMissingError(name) from error
        except durable.DiskError as error:
            raise BlobsUnavailableError(f"cannot read blob {name}: {error}") from error

    async def delete(self, name: BlobId) -> None:
        """See `Blobs.delete`."""
        try:
            await durable.on_disk(self._path(name).unlink, missing_ok=True)
        except durable.DiskError as error:
            raise BlobsUnavailableError(f"cannot delete blob {name}: {error}") from error

    async def shortage(self) -> str:
        """See `Blobs.shortage`."""
        try:
            return await durable.on_disk(durable.shortage, self._folder, self._reserve)
        except durable.DiskError as error:
            raise BlobsUnavailableError(f"cannot look at the disk: {error}") from error

    async def older_than(self, moment: datetime) -> AsyncIterator[BlobId]:
        """See `Blobs.older_than`. Also clears away what writers that died left half written.

        Whatever else somebody put into the folder is none of ours, and stays.
        """
        try:
            found = await durable.on_disk(lambda: list(_written_before(self._folder, moment)))
            for path in found:
                if path.parent.name == "tmp":
                    await durable.on_disk(path.unlink, missing_ok=True)
        except durable.DiskError as error:
            raise BlobsUnavailableError(f"cannot look through the blobs: {error}") from error
        for path in found:
            if path.parent.name == path.name[-2:] and _NAME.fullmatch(path.name):
                yield path.name

    def _path(self, name: BlobId) -> Path:
        if not _NAME.fullmatch(name):
            raise BlobMissingError(f"not the name of a blob: {name!r}")
        return self._folder / name[-2:] / name


def open_store(url: str, reserve: int = 0) -> FileBlobs:
    """Return the store that ``file:///FOLDER`` names. Its folder is made at the first write.

    It is short of room when there are less than ``reserve`` octets.
    """
    return FileBlobs(path_of(url), reserve)


def _written_before(folder: Path, moment: datetime) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            try:
                written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            except FileNotFoundError:
                continue
            if written < moment:
                yield path
