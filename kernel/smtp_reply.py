"""Reads the answers of an SMTP server out of its octets (RFC 5321 §4.2)."""

import re
from collections.abc import Iterator
from functools import lru_cache

from kernel.model.reply import Reply

MAX_LINE = 4_096  # octets; RFC 5321 §4.5.3.1.5 allows a server 512
MAX_LINES = 256
MAX_TEXT = 1_000  # characters that we keep of an answer: it travels in events
_CODE = re.compile(rb"[2-5][0-9][0-9](?=[ -]|\r?$)")
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:\s+|$)")


class NotSmtpError(ValueError):
    """The octets are no SMTP answer."""


class ReplyReader:
    """Cuts a stream of octets into replies. What it holds back is bounded."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a coming answer has been read yet."""
        return not self._rest and not self._lines

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield the replies that ``data`` completes. Raises `NotSmtpError` where they end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            reply = self._take(line)
            if reply is not None:
                yield reply
        if len(self._rest) > MAX_LINE:
            raise NotSmtpError("a line without end")

    def _take(self, line: bytes) -> Reply | None:
        if len(line) > MAX_LINE or not _CODE.match(line):
            raise NotSmtpError("a line without a code")
        if line[3:4] == b"-":
            if len(self._lines) == MAX_LINES:
                raise NotSmtpError("an answer without end")
            self._lines.append(line)
            return None
        if not self._lines:
            return _parse(line)
        lines, self._lines = [*self._lines, line], []
        return _join([_parse(line) for line in lines])


@lru_cache(maxsize=512)
def _parse(line: bytes) -> Reply:
    """Return what one line says. Servers say the same all day, hence the cache."""
    code = int(line[:3])
    text = line[4:].decode("utf-8", "replace").strip()
    status = _STATUS.match(text)
    if status is None or int(status[1]) != code // 100:
        return Reply(code, _default_status(code), text[:MAX_TEXT])
    return Reply(code, status[0].strip(), text[status.end() :][:MAX_TEXT])


def _join(parts: list[Reply]) -> Reply:
    """Return one reply. The last line's code counts where lines disagree, as for most clients."""
    text = "\n".join(part.text for part in parts)
    return Reply(parts[-1].code, parts[-1].status, text[: MAX_TEXT * 4])


def _default_status(code: int) -> str:
    return "" if 300 <= code < 400 else f"{code // 100}.0.0"  # noqa: PLR2004 - 3yz has none
