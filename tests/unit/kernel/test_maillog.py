"""Lines of the mail log: facts, each with its mail's id, none lost and none out of order."""

import io
import json
import logging
import subprocess
import sys

from kernel import maillog

PROGRAM = """
import asyncio, logging, structlog
from kernel import maillog
maillog.configure({format!r}, {level!r})
log = structlog.get_logger("test")
async def main():
    maillog.note("accepted", "m1", sender="a@b.test", reply="250 OK\\r\\nfake", empty="", no=None)
    log.warning("between", why="x")
    logging.getLogger("library").warning("from a library")
    maillog.note("routed", "m1", recipients=2)
asyncio.run(main())
log.error("after the loop")
"""


def run(log_format="json", level="INFO"):
    program = PROGRAM.format(format=log_format, level=level)
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_every_line_is_json_and_in_order():
    lines = [json.loads(line) for line in run().splitlines()]

    events = ["accepted", "between", "from a library", "routed", "after the loop"]
    assert [line["event"] for line in lines] == events
    assert all(line["timestamp"] and line["level"] for line in lines)


def test_a_line_of_the_mail_log_names_its_mail_and_says_no_more_than_there_is():
    first = json.loads(run().splitlines()[0])

    assert first.items() >= {"mail": "m1", "sender": "a@b.test", "level": "info"}.items()
    assert first["reply"] == "250 OK  fake"
    assert not {"empty", "no"} & set(first)


def test_people_get_lines_for_people():
    assert "accepted" in run("pretty").splitlines()[0]
    assert not run("pretty").startswith("{")


def test_a_quiet_process_keeps_no_mail_log():
    lines = [json.loads(line) for line in run(level="WARNING").splitlines()]

    assert [line["event"] for line in lines] == ["between", "from a library", "after the loop"]


async def test_lines_of_a_moment_are_written_together():
    written = []

    class File(io.StringIO):
        def write(self, text):
            written.append(text)
            return len(text)

    lines = maillog.Lines(File())

    lines.write("one")
    lines.write("two")
    assert written == []
    lines.flush()

    assert written == ["one\ntwo\n"]


def test_without_a_loop_a_line_is_written_at_once():
    file = io.StringIO()

    maillog.Lines(file).write("one")

    assert file.getvalue() == "one\n"


def test_the_root_logger_is_left_alone_by_importing():
    assert all(type(h).__module__ != "kernel.maillog" for h in logging.getLogger().handlers)
