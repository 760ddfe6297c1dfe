"""The blob store as services see it. Adapter: `kernel.blobs.filesystem`."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from kernel.model.envelope import Blob, BlobId, Content


class BlobMissingError(Exception):
    """There is no blob of that name."""


class BlobsUnavailableError(Exception):
    """The store cannot be reached, or is full. Trying later may help."""


class Blobs(Protocol):
    """Writes once, reads often, forgets when told to."""

    async def put(self, name: BlobId, chunks: AsyncIterator[bytes]) -> Blob:
        """Keep ``chunks`` under ``name``; return once they are on stable storage.

        A second blob of the same name replaces the first as a whole. If ``chunks``
        raises, nothing is kept and the exception goes on. Raises `BlobsUnavailableError`.
        """

    def read(self, name: BlobId) -> AsyncIterator[bytes]:
        """Yield the blob's octets in order. Raises `BlobMissingError`, `BlobsUnavailableError`."""

    async def delete(self, name: BlobId) -> None:
        """Forget the blob. One that is not there is forgotten already."""

    async def shortage(self) -> str:
        """Return what is running out, so that no more should be taken in, or an empty string.

        Raises `BlobsUnavailableError`.
        """

    def older_than(self, moment: datetime) -> AsyncIterator[BlobId]:
        """Yield the names of blobs last written before ``moment``."""


async def read_whole(content: Content, blobs: Blobs) -> bytes:
    """Return all octets of a content, from the store if they are there."""
    if isinstance(content, bytes):
        return content
    return b"".join([chunk async for chunk in blobs.read(content.id)])
