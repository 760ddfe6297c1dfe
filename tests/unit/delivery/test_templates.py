"""What an administrator may write, and what becomes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.adapters.templates import load_templates
from services.delivery.core.templates import (
    PLACEHOLDERS,
    BadTemplateError,
    Kind,
    Words,
    joined,
    parse,
)
from services.delivery.main import serve
from services.delivery.settings import Settings
from tests.support.fakes import make_platform

FACTS = {name: name.upper() for name in PLACEHOLDERS}


def test_a_template_is_a_subject_and_a_text_with_placeholders():
    template = parse(b"Subject: News of $domain\n\nDear ${sender},\n\n$recipients\n")

    assert template.fill(FACTS) == Words("News of DOMAIN", ("Dear SENDER,", "RECIPIENTS"))


def test_a_dollar_sign_is_written_twice():
    assert parse(b"Subject: x\n\n5 $$").fill(FACTS).text == "5 $\n"


def test_what_is_put_in_is_not_looked_at_again():
    words = parse(b"Subject: $sender\n\n$sender").fill(FACTS | {"sender": "$domain $$ $no"})

    assert words == Words("$domain $$ $no", ("$domain $$ $no",))


def test_a_subject_stays_on_its_line():
    words = parse(b"Subject: $sender\n\nx").fill(FACTS | {"sender": "a\r\nBcc: b"})

    assert words.subject == "a  Bcc: b"


@pytest.mark.parametrize("octets", [b"\xef\xbb\xbfSubject: x\n\ny", b"Subject: x\r\n\r\ny\r\n"])
def test_what_editors_do_to_files_does_no_harm(octets):
    assert parse(octets).fill(FACTS) == Words("x", ("y",))


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "UTF-8"),
        (b"Hello\n\ntext", "Subject"),
        (b"Subject:\n\ntext", "Subject"),
        (b"Subject: x\ntext", "second line"),
        (b"Subject: x\n\n \n", "no text"),
        (b"Subject: x\n\n5 $ each", r"\$\$"),
        (b"Subject: x\n\n$nobody", r"\$nobody is unknown; there are .*\$days_left"),
        (b"Subject: $nobody\n\nx", r"\$nobody is unknown"),
    ],
)
def test_what_is_no_template_is_refused_with_a_reason(octets, why):
    with pytest.raises(BadTemplateError, match=why):
        parse(octets)


def test_sections_say_once_what_they_begin_and_end_with():
    one = Words("one", ("Hello.", "This failed.", "Bye."))
    two = Words("two", ("Hello.", "That arrived.", "Bye."))

    assert joined([one, two]) == Words("one", ("Hello.", "This failed.", "That arrived.", "Bye."))


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1).map(tuple), min_size=1, max_size=3))
def test_no_paragraph_is_lost_when_sections_are_joined(sections):
    together = joined([Words("x", paragraphs) for paragraphs in sections])

    assert set(together.paragraphs) == {p for section in sections for p in section}


def test_ours_are_there_for_every_kind():
    templates = load_templates()

    assert set(templates) == set(Kind)
    assert all("RECIPIENTS" in template.fill(FACTS).paragraphs for template in templates.values())


def test_those_of_a_folder_stand_in_for_ours(tmp_path):
    (tmp_path / "delayed.txt").write_text("Subject: Bitte Geduld\n\n$recipients\n")

    templates = load_templates(tmp_path)

    assert templates[Kind.DELAYED].subject == "Bitte Geduld"
    assert templates[Kind.FAILED] == load_templates()[Kind.FAILED]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("failed.txt", "Dear $sender", "failed.txt: its first line"),
        ("fail.txt", "Subject: x\n\ny", "fail.txt is not one of failed.txt"),
    ],
)
def test_a_folder_with_a_mistake_names_the_file(tmp_path, name, text, why):
    (tmp_path / name).write_text(text)

    with pytest.raises(BadTemplateError, match=why):
        load_templates(tmp_path)


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path):
    with pytest.raises(BadTemplateError, match="is no folder"):
        load_templates(tmp_path / "nowhere")


async def test_delivery_does_not_start_with_words_that_are_wrong(tmp_path):
    (tmp_path / "failed.txt").write_text("Subject: x\n\n$nobody\n")

    with pytest.raises(BadTemplateError, match=r"failed\.txt: \$nobody is unknown"):
        await serve(make_platform(), Settings(templates=tmp_path))
