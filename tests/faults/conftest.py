"""Stacks of a test's own, to be broken."""

import json

import pytest

from tests.support.ports import free_port
from tests.support.sink import Sink
from tests.support.stack import make_stack


@pytest.fixture(params=["embedded", "brokered"])
def kind(request):
    return request.param


@pytest.fixture
def sink():
    remote = Sink(free_port()).start()
    yield remote
    remote.stop()


@pytest.fixture
def stack(kind, sink, tmp_path, stack_urls):
    """A running stack with one local user; all remote mail goes to the sink."""
    settings = {
        "routes": json.dumps({"*": f"127.0.0.1:{sink.port}"}),
        "delivery_retry": json.dumps([0.5, 0.5, 1, 2]),
    }
    with (
        stack_urls(kind) as urls,
        make_stack(kind, tmp_path, urls, **settings).running() as stack,
    ):
        stack.add_user("ann@ours.test")
        yield stack
