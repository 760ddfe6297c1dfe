"""Tags: the lists of ``name=value`` that DKIM and DMARC are written in (RFC 6376 §3.2)."""

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class BadTagsError(ValueError):
    """The text is not a list of tags."""


def parse_tags(text: str) -> Mapping[str, str]:
    """Return the tags in their order, white space around them gone. Raises `BadTagsError`."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not name and not equals:
            continue
        if not equals or not _NAME.fullmatch(name) or name in tags:
            raise BadTagsError(f"not a tag, or there twice: {name[:40]!r}")
        tags[name] = value
    return tags
