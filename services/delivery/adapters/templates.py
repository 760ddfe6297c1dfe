"""Reads the templates of reports: ours, and those of a folder in their place."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from services.delivery.core.templates import BadTemplateError, Kind, Template, parse

_OURS = files("services.delivery") / "templates"
_SUFFIX = ".txt"


def load_templates(folder: Path | None = None) -> Mapping[Kind, Template]:
    """Return a template for each kind: that of ``folder``, and ours where it has none.

    Raises `BadTemplateError`, which names the file: words that nobody reads before they are
    sent must not be wrong then.
    """
    ours = {kind: parse((_OURS / f"{kind}{_SUFFIX}").read_bytes()) for kind in Kind}
    return ours if folder is None else ours | _of(folder)


def _of(folder: Path) -> dict[Kind, Template]:
    if not folder.is_dir():
        raise BadTemplateError(f"{folder} is no folder")
    found = sorted(folder.glob(f"*{_SUFFIX}"))
    return {_kind_of(path): _read(path) for path in found}


def _kind_of(path: Path) -> Kind:
    try:
        return Kind(path.stem)
    except ValueError as error:
        names = ", ".join(f"{kind}{_SUFFIX}" for kind in Kind)
        raise BadTemplateError(f"{path} is not one of {names}") from error


def _read(path: Path) -> Template:
    try:
        return parse(path.read_bytes())
    except (OSError, BadTemplateError) as error:
        raise BadTemplateError(f"{path}: {error}") from error
