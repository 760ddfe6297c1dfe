"""Writes docs/settings.md from the settings classes.

Called with the file's name; with `--check` before it, only says whether that is up to date.
"""

import importlib
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from kernel.settings import PlatformSettings
from postroom.serve import SERVICES
from postroom.settings import CommandSettings, ServeSettings
from postroom.show import span

HEAD = """# Settings

Every setting is an environment variable. A secret may stand in a file instead:
`POSTROOM_SECRETS_DIR` names a folder, and the file's name is the variable's in small letters.

This page is written by `make docs` from the settings classes, where each setting is described
once and for all."""


def main() -> None:
    """Write the page, or check it."""
    *options, file = sys.argv[1:]
    page = settings_page()
    if "--check" not in options:
        Path(file).write_text(page, encoding="utf-8")
    elif not Path(file).exists() or Path(file).read_text(encoding="utf-8") != page:
        sys.exit(f"{file} is not what the settings classes say: run `make docs`")


def settings_page() -> str:
    """Return the page about all settings."""
    sections: list[tuple[str, type[BaseSettings]]] = [
        ("Every process", PlatformSettings),
        *((name, _settings_of(name)) for name in SERVICES),
        ("`postroom serve`", ServeSettings),
        ("The other `postroom` commands", CommandSettings),
    ]
    return "\n".join([HEAD, *(line for section in sections for line in _section(*section))]) + "\n"


def variable(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """Return the environment variable of a setting."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next(choice for choice in alias.choices if isinstance(choice, str))
    if isinstance(alias, str):
        return alias.upper()
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _settings_of(name: str) -> type[BaseSettings]:
    settings: type[BaseSettings] = importlib.import_module(f"services.{name}.settings").Settings
    return settings


def _section(title: str, settings: type[BaseSettings]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    if not settings.model_fields:
        yield "None of its own."
        return
    yield from ("| variable | default | purpose |", "|---|---|---|")
    for name, field in settings.model_fields.items():
        purpose = (field.description or "").replace("|", "\\|")
        yield f"| `{variable(settings, name, field)}` | {_default(field)} | {purpose} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "of the machine" if "getfqdn" in repr(field.default_factory) else "see purpose"
    return _spelt(field.default)


def _spelt(value: Any) -> str:  # noqa: ANN401 - a default may be anything
    match value:
        case None | "" | SecretStr() | () | []:
            return "none"
        case timedelta():
            return span(value)
        case dict():
            return "none" if not value else f"`{value}`"
        case tuple() | list():
            return ", ".join(map(_spelt, value))
        case bool():
            return "on" if value else "off"
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    main()
