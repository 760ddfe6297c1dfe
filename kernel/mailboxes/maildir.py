"""Mailboxes as Maildirs: ``FOLDER/example.org/ann/{tmp,new,cur}``, as Dovecot and mutt read them.

A message's file name is its key, so a second delivery of it is recognised, whether
the first one still lies in ``new`` or a reader has moved it to ``cur`` and flagged it.
"""

import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

from kernel import durable
from kernel.mailboxes.port import (
    MailboxUnavailableError,
    MessageMissingError,
    StoredMessage,
)
from kernel.model.address import Address
from kernel.settings import path_of

_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._=@+-]{0,199}")
_FLAGS = ":2,"  # what a reader appends in cur/
_SAFE = "+=@!#$&'*^`{|}~"


class Maildirs:
    """One Maildir for each mailbox, below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def deliver(self, mailbox: Address, key: str, chunks: AsyncIterator[bytes]) -> bool:
        """See `Mailboxes.deliver`."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"not the key of a message: {key!r}")
        maildir = self._path(mailbox)
        try:
            if await durable.on_disk(_ready_for, maildir, key):
                return False
            temporary = maildir / "tmp" / f"{key}.{secrets.token_hex(8)}"
            await durable.write_file(
                temporary, chunks, lambda file: _link(file, maildir / "new" / key)
            )
        except durable.DiskError as error:
            raise MailboxUnavailableError(f"{mailbox}: {error}") from error
        return True

    async def messages(self, mailbox: Address) -> tuple[StoredMessage, ...]:
        """See `Mailboxes.messages`."""
        return await durable.on_disk(lambda: tuple(_stored(self._path(mailbox))))

    async def read(self, mailbox: Address, key: str) -> AsyncIterator[bytes]:
        """See `Mailboxes.read`."""
        path = await durable.on_disk(_find, self._path(mailbox), key)
        if path is None:
            raise MessageMissingError(key)
        try:
            async for chunk in durable.read_file(path):
                yield chunk
        except FileNotFoundError as error:
            raise MessageMissingError(key) from error
        except durable.DiskError as error:
            raise MailboxUnavailableError(f"{mailbox}: {error}") from error

    async def delete(self, mailbox: Address, key: str) -> None:
        """See `Mailboxes.delete`."""
        path = await durable.on_disk(_find, self._path(mailbox), key)
        if path is not None:
            await durable.on_disk(path.unlink, missing_ok=True)

    def _path(self, mailbox: Address) -> Path:
        return self._folder / _folder_name(mailbox.domain) / _folder_name(mailbox.local)


def open_mailboxes(url: str) -> Maildirs:
    """Return the mailboxes that ``maildir:///FOLDER`` names. Folders are made at first delivery."""
    return Maildirs(path_of(url))


def _folder_name(text: str) -> str:
    """Spell ``text`` as one safe folder name: lower case, slashes and leading dots escaped."""
    name = quote(text.lower(), safe=_SAFE)
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _ready_for(maildir: Path, key: str) -> bool:
    """Make the Maildir if need be; return whether ``key`` is in it already."""
    for part in ("tmp", "new", "cur"):
        durable.make_folder(maildir / part)
    return _find(maildir, key) is not None


def _find(maildir: Path, key: str) -> Path | None:
    fresh = maildir / "new" / key
    if fresh.exists():
        return fresh
    return next((path for path in _entries(maildir / "cur") if _key_of(path) == key), None)


def _link(temporary: Path, place: Path) -> None:
    """Give the file its name, unless a twin was faster: then theirs stays."""
    try:
        os.link(temporary, place)
    except FileExistsError:
        return
    durable.sync_folder(place.parent)


def _stored(maildir: Path) -> Iterator[StoredMessage]:
    paths = [*_entries(maildir / "new"), *_entries(maildir / "cur")]
    for path in sorted(paths, key=_key_of):
        try:
            yield StoredMessage(_key_of(path), path.stat().st_size)
        except FileNotFoundError:
            continue


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []


def _key_of(path: Path) -> str:
    return path.name.partition(_FLAGS)[0]
