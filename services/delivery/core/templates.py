"""The words of reports: templates that an administrator may put in the place of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from string import Template as Pattern

from kernel.model.reply import printable

_SUBJECT = "Subject:"
PLACEHOLDERS = frozenset(
    {"sender", "recipients", "reporter", "domain", "arrived", "until", "days_left"}
)
"""What may stand in a template behind a dollar sign; a dollar sign itself is ``$$``."""


class BadTemplateError(ValueError):
    """The text is no template."""


class Kind(StrEnum):
    """What a template is for; its file is named so. The gravest first: its subject counts."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    POSTMASTER = "postmaster"


@dataclass(frozen=True, slots=True)
class Words:
    """What a person reads."""

    subject: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        """The paragraphs, an empty line between each two."""
        return "\n\n".join(self.paragraphs) + "\n"


@dataclass(frozen=True, slots=True)
class Template:
    """A subject and a text with placeholders."""

    subject: str
    text: str

    def fill(self, facts: Mapping[str, str]) -> Words:
        """Return the words. What is put in is not looked at again: it may hold dollar signs."""
        subject = printable(Pattern(self.subject).substitute(facts))
        paragraphs = (Pattern(p).substitute(facts) for p in _paragraphs(self.text))
        return Words(subject, tuple(paragraphs))


Templates = Mapping[Kind, Template]
"""A template for each kind."""


def parse(octets: bytes) -> Template:
    """Return the template that a file holds, or raise `BadTemplateError`.

    Its first line is ``Subject: …``; an empty line and the text follow.
    """
    try:
        first, *rest = octets.decode("utf-8-sig").splitlines()
    except (UnicodeDecodeError, ValueError) as error:
        raise BadTemplateError("it is empty, or not UTF-8") from error
    subject = first.removeprefix(_SUBJECT).strip()
    if not first.startswith(_SUBJECT) or not subject:
        raise BadTemplateError("its first line is not 'Subject: …'")
    if any(line.strip() for line in rest[:1]):
        raise BadTemplateError("its second line is not empty")
    text = "\n".join(line.rstrip() for line in rest).strip("\n")
    if not text:
        raise BadTemplateError("there is no text below its subject")
    _judge(subject)
    _judge(text)
    return Template(subject, text)


def joined(sections: Sequence[Words]) -> Words:
    """Return several reports as one. What they begin or end with alike is said once."""
    first, *others = sections
    paragraphs = first.paragraphs
    for other in others:
        paragraphs = _merged(paragraphs, other.paragraphs)
    return Words(first.subject, paragraphs)


def _judge(text: str) -> None:
    pattern = Pattern(text)
    if not pattern.is_valid():
        raise BadTemplateError("a dollar sign stands alone: write it as $$")
    unknown = sorted(set(pattern.get_identifiers()) - PLACEHOLDERS)
    if unknown:
        known = ", ".join(f"${name}" for name in sorted(PLACEHOLDERS))
        raise BadTemplateError(f"${unknown[0]} is unknown; there are {known}")


def _paragraphs(text: str) -> list[str]:
    return [part.strip("\n") for part in text.split("\n\n") if part.strip()]


def _merged(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    while one[-1:] == other[-1:] and len(one) > 1:
        one = one[:-1]
    alike = 0
    while one[alike : alike + 1] == other[alike : alike + 1] != ():
        alike += 1
    return (*one, *other[alike:])
