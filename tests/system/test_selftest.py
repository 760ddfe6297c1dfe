"""Strangers cannot relay, and where somebody lets them, everybody hears of it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

from tests.support.stack import LAN_CLIENT, ROOT, STRANGER, Stack, wait_until

LISTENERS = ("mx", "submission", "submissions")
WITHIN = 5


def ingress(stack: Stack):
    return stack.programs["all" if stack.kind == "embedded" else "ingress"]


def health(stack: Stack) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(f"{ingress(stack).health}/readyz", timeout=5) as answer:
            return answer.status, json.load(answer)["troubles"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["troubles"]


def metrics(stack: Stack, name: str) -> list[str]:
    with urllib.request.urlopen(f"{ingress(stack).health}/metrics", timeout=5) as answer:
        return [line for line in answer.read().decode().splitlines() if line.startswith(name)]


def selftest(stack: Stack, *words: str) -> subprocess.CompletedProcess:
    """Run the command; it knows where the listeners are, as beside `postroom serve`."""
    places = {name: f"127.0.0.1:{stack.ports[name]}" for name in LISTENERS}
    return subprocess.run(
        [sys.executable, "-m", "postroom", "selftest", *words],
        env={**stack.env, "POSTROOM_LISTENERS": json.dumps(places)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def open_relay(stack: Stack, listener: str):
    """Let everybody relay through a listener meanwhile."""
    path = f"/v1/listeners/{listener}"
    consent = {"relay_outside_lan": True, "i_understand_this_is_an_open_relay": True}
    status, answer = stack.call("auth", path, consent, "PATCH")
    assert status == 200, answer
    try:
        yield
    finally:
        stack.call("auth", path, {"relay_outside_lan": False}, "PATCH")


def test_the_test_at_start_leaves_no_traces(stack):
    assert health(stack) == (200, {})

    assert "relay-test.invalid" not in ingress(stack).log.read_text()
    assert metrics(stack, "postroom_ingress_refused_recipients_total") == []
    assert metrics(stack, "postroom_ingress_connections{") == []


def test_an_open_relay_is_not_ready_until_it_is_closed(stack):
    with open_relay(stack, "mx"):
        wait_until(lambda: health(stack)[0] == 503, "it says that it is not ready", WITHIN)
        assert health(stack)[1]["open relay"].startswith("this is an open relay: mx (")
        tested = selftest(stack, "--listener", "mx")
        assert tested.returncode == 1, tested.stderr
        assert "mx: relays" in tested.stdout

    wait_until(lambda: health(stack) == (200, {}), "it is ready again", WITHIN)
    for line in ("this is an open relay", "no stranger can relay any more"):
        wait_until(lambda line=line: line in ingress(stack).log.read_text(), f"it logs: {line}", 5)
    assert selftest(stack, "--listener", "mx").returncode == 0


def test_the_command_comes_as_a_stranger_to_every_listener(stack):
    tested = selftest(stack, "--json")

    assert tested.returncode == 0, tested.stderr
    said = json.loads(tested.stdout)
    assert [each["listener"] for each in said["listeners"]] == [*LISTENERS]
    assert all(f"over SMTP from {STRANGER} to" in each["tested"] for each in said["listeners"])
    assert {finding["verdict"] for finding in said["findings"]} == {"refused"}
    forms = [finding["form"] for finding in said["findings"] if finding["listener"] == "mx"]
    assert len(forms) >= 60
    replies = {finding["reply"][:9] for finding in said["findings"]}
    assert "550 5.7.1" in replies


def test_who_can_only_come_from_the_lan_asks_about_a_stranger(stack):
    tested = selftest(stack, "--listener", "mx", "--source", LAN_CLIENT)

    assert tested.returncode == 0, tested.stderr
    assert f"it sees {LAN_CLIENT}, which is on the LAN; asked about 203.0.113.25" in tested.stdout

    with open_relay(stack, "mx"):
        tested = selftest(stack, "--listener", "mx", "--source", LAN_CLIENT)
        assert tested.returncode == 1, tested.stderr


def test_nobody_is_harmed_by_a_listener_that_lets_no_stranger_connect(stack):
    path = "/v1/listeners/mx"
    assert stack.call("auth", path, {"access": ["lan"]}, "PATCH")[0] == 200
    try:
        tested = selftest(stack, "--listener", "mx")
        assert tested.returncode == 0, tested.stderr
        assert "554 5.7.1" in tested.stdout
        assert health(stack) == (200, {})
    finally:
        stack.call("auth", path, {"access": ["any"]}, "PATCH")


def test_a_server_that_is_not_there_is_no_closed_relay(stack):
    assert selftest(stack, "--smtp", "127.0.0.1:1").returncode == 3
