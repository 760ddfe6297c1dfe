"""The mail log: facts about messages, each line with the id of its mail.

    maillog.note("deferred", leg.envelope.id, recipient=str(recipient), reply=str(reply))

JSON in containers, readable on a terminal. Passwords never get here, in any form.
"""

import asyncio
import atexit
import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO

import msgspec
import structlog

from kernel.clock import system_clock
from kernel.model.envelope import MailId
from kernel.model.reply import printable

GATHER = 0.02
"""Seconds for which lines gather before they are written, all at once. A line costs 3 µs then
instead of 40: each write lets go of the interpreter, and has to win it back."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


def note(what: str, mail: MailId, **facts: object) -> None:
    """Write that ``what`` happened to ``mail``. Untrusted text is made printable."""
    if not _outlet.is_quiet:
        _outlet.take({"event": what, "mail": mail, **_cleaned(facts)})


def configure(log_format: str, level: str) -> None:
    """Set up logging for the whole process, libraries included."""
    pretty = log_format == "pretty" or (log_format == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    lines = Lines(sys.stderr)
    atexit.register(lines.flush)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(_json)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    _configure_libraries(lines, [*shared, structlog.stdlib.add_logger_name], renderer, number)
    _outlet.choose(lines, pretty=pretty, quiet=number > logging.INFO)


def is_quiet() -> bool:
    """Whether nobody would read a note, so that its facts need not be gathered."""
    return _outlet.is_quiet


class Lines:
    """Writes log lines in order; while an event loop runs, those of a moment go together."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        """Take a line without its end."""
        self._lines.append(line)
        if len(self._lines) > 1:
            return
        try:
            asyncio.get_running_loop().call_later(GATHER, self.flush)
        except RuntimeError:
            self.flush()

    debug = info = warning = error = exception = critical = msg = write

    def flush(self) -> None:
        """Write what has gathered."""
        gathered, self._lines = self._lines, []
        if gathered:
            self._file.write("\n".join([*gathered, ""]))
            self._file.flush()


class _LinesHandler(logging.Handler):
    """Puts what libraries log into the same stream."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.write(self.format(record))


def _configure_libraries(
    lines: Lines,
    processors: list[structlog.typing.Processor],
    renderer: structlog.typing.Processor,
    number: int,
) -> None:
    handler = _LinesHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=processors,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


class _Outlet:
    """Where `note` puts its facts; chosen once, when the process starts."""

    def __init__(self) -> None:
        self.take: Callable[[dict[str, object]], None] = _log
        self.is_quiet = False

    def choose(self, lines: Lines, *, pretty: bool, quiet: bool) -> None:
        """Choose the shortest way: these lines are nearly all that a busy server logs."""
        self.is_quiet = quiet
        self.take = _log if pretty else lambda facts: lines.write(_line(facts))


def _log(facts: dict[str, object]) -> None:
    structlog.get_logger("mail").info(**facts)


def _line(facts: dict[str, object]) -> str:
    now = system_clock().isoformat()
    return _encode({"level": "info", "timestamp": now, **facts}).decode()


def _json(value: object, **_: Any) -> str:  # noqa: ANN401 - structlog's signature
    return _encode(value).decode()


def _cleaned(facts: dict[str, object]) -> dict[str, object]:
    return {key: _clean(value) for key, value in facts.items() if value not in ("", None)}


def _clean(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


_outlet = _Outlet()
