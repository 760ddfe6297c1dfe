"""The mail log: facts about messages, each line with the id of its mail.

    maillog.note("deferred", leg.envelope.id, recipient=str(recipient), reply=str(reply))

JSON in containers, readable on a terminal. Passwords never get here, in any form.
"""

import logging
import sys
from typing import Any

import msgspec
import structlog

from kernel.model.envelope import MailId
from kernel.model.reply import printable

_log = structlog.stdlib.get_logger("mail")


def note(what: str, mail: MailId, **facts: object) -> None:
    """Write that ``what`` happened to ``mail``. Untrusted text is made printable."""
    _log.info(what, mail=mail, **{k: _clean(v) for k, v in facts.items() if v not in ("", None)})


def configure(log_format: str, level: str) -> None:
    """Set up logging for the whole process, libraries included."""
    pretty = log_format == "pretty" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(_json)
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


def _json(value: object, **_: Any) -> str:  # noqa: ANN401 - structlog's signature
    return msgspec.json.encode(value, enc_hook=str).decode()


def _clean(value: object) -> object:
    return printable(value) if isinstance(value, str) else value
