"""Stacks of a test's own, to be broken."""

import json

import pytest

from tests.support.sink import Sink
from tests.support.stack import free_port, make_stack


@pytest.fixture(params=["embedded", "brokered"])
def kind(request):
    return request.param


@pytest.fixture
def sink():
    remote = Sink(free_port()).start()
    yield remote
    remote.stop()


@pytest.fixture
def stack(kind, sink, tmp_path, request):
    """A running stack with one local user; all remote mail goes to the sink."""
    urls = request.getfixturevalue("broker_urls") if kind == "brokered" else None
    stack = make_stack(
        kind,
        tmp_path,
        urls,
        routes=json.dumps({"*": f"127.0.0.1:{sink.port}"}),
        delivery_retry=json.dumps([0.5, 0.5, 1, 2]),
    )
    try:
        stack.start()
        stack.add_user("ann@ours.test")
        yield stack
    finally:
        stack.stop()
