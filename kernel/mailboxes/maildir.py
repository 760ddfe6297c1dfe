"""Mailboxes as Maildirs: ``FOLDER/example.org/ann/{tmp,new,cur}``, as Dovecot and mutt read them.

A message's file name is its key, so a second delivery of it is recognised, whether
the first one still lies in ``new`` or a reader has moved it to ``cur`` and flagged it.
"""

import fcntl
import os
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from kernel import durable
from kernel.mailboxes.port import (
    MailboxBusyError,
    MailboxUnavailableError,
    MessageMissingError,
    StoredMessage,
)
from kernel.model.address import Address
from kernel.settings import path_of

_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._=@+-]{0,199}")
_FLAGS = ":2,"  # what a reader appends in cur/
_LOCK = "postroom.lock"  # beside tmp, new and cur, where Dovecot and mutt look for folders alone
_SAFE = "+=@!#$&'*^`{|}~"


class Maildirs:
    """One Maildir for each mailbox, below ``folder``."""

    adds_trace = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def deliver(
        self,
        mailbox: Address,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        sender: Address | None = None,
    ) -> bool:
        """See `Mailboxes.deliver`. A Maildir has no place for the sender but its trace fields."""
        del sender
        if not _KEY.fullmatch(key):
            raise ValueError(f"not the key of a message: {key!r}")
        maildir = self._path(mailbox)
        with _unavailable(mailbox):
            if await durable.on_disk(_ready_for, maildir, key):
                return False
            temporary = maildir / "tmp" / f"{key}.{secrets.token_hex(8)}"
            await durable.write_file(
                temporary, chunks, lambda file: _link(file, maildir / "new" / key)
            )
        return True

    @asynccontextmanager
    async def claim(self, mailbox: Address) -> AsyncIterator[None]:
        """See `Mailboxes.claim`. The lock is `flock`'s, which goes over NFS as well."""
        with _unavailable(mailbox):
            lock = await durable.on_disk(_lock, self._path(mailbox))
        if lock is None:
            raise MailboxBusyError(str(mailbox))
        with lock:
            yield

    async def messages(self, mailbox: Address) -> tuple[StoredMessage, ...]:
        """See `Mailboxes.messages`."""
        with _unavailable(mailbox):
            return await durable.on_disk(lambda: tuple(_stored(self._path(mailbox))))

    async def read(self, mailbox: Address, key: str) -> AsyncGenerator[bytes, None]:
        """See `Mailboxes.read`."""
        with _unavailable(mailbox):
            path = await durable.on_disk(_find, self._path(mailbox), key)
            if path is None:
                raise MessageMissingError(key)
            try:
                async with aclosing(durable.read_file(path)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except FileNotFoundError as error:
                raise MessageMissingError(key) from error

    async def delete(self, mailbox: Address, keys: Iterable[str]) -> None:
        """See `Mailboxes.delete`."""
        with _unavailable(mailbox):
            await durable.on_disk(_remove, self._path(mailbox), frozenset(keys))

    def _path(self, mailbox: Address) -> Path:
        return self._folder / _folder_name(mailbox.domain) / _folder_name(mailbox.local)


def open_mailboxes(url: str) -> Maildirs:
    """Return the mailboxes that ``maildir:///FOLDER`` names. Folders are made at first delivery."""
    return Maildirs(path_of(url))


@contextmanager
def _unavailable(mailbox: Address) -> Iterator[None]:
    try:
        yield
    except durable.DiskError as error:
        raise MailboxUnavailableError(f"{mailbox}: {error}") from error


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


def _lock(maildir: Path) -> BinaryIO | None:
    """Return the file whose lock we have until it is closed; None if somebody else has it."""
    durable.make_folder(maildir)
    file = (maildir / _LOCK).open("ab")  # writable: NFS wants that for an exclusive lock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return file


def _remove(maildir: Path, keys: frozenset[str]) -> None:
    for path in _paths(maildir):
        if _key_of(path) in keys:
            path.unlink(missing_ok=True)


def _stored(maildir: Path) -> Iterator[StoredMessage]:
    for path in sorted(_paths(maildir), key=_key_of):
        try:
            yield StoredMessage(_key_of(path), path.stat().st_size)
        except FileNotFoundError:
            continue


def _paths(maildir: Path) -> list[Path]:
    return [*_entries(maildir / "new"), *_entries(maildir / "cur")]


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []


def _key_of(path: Path) -> str:
    return path.name.partition(_FLAGS)[0]
