"""Each scenario runs twice: on the embedded stores, and on RabbitMQ with PostgreSQL."""

import json
from collections.abc import Iterator

import pytest

from tests.support.ports import free_port
from tests.support.sink import Sink
from tests.support.stack import Stack, make_stack

ANN, BEN = "ann@ours.test", "ben@ours.test"


@pytest.fixture(scope="module", params=["embedded", "brokered"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def sink(kind):
    """Everything remote ends here, unless a route says otherwise."""
    remote = Sink(free_port()).start()
    yield remote
    remote.stop()


@pytest.fixture(scope="module")
def dead_port(kind):
    """Nobody listens here, until a test does."""
    return free_port()


@pytest.fixture(scope="module")
def stack(kind, sink, dead_port, tmp_path_factory, stack_urls) -> Iterator[Stack]:
    """A running stack with two users and an alias; machines on the LAN are 127.0.0.1 alone."""
    routes = {"dead.test": f"127.0.0.1:{dead_port}", "*": f"127.0.0.1:{sink.port}"}
    settings = {
        "routes": json.dumps(routes),
        "delivery_retry": json.dumps([0.5, 0.5, 1, 2]),
    }
    with (
        stack_urls(kind) as urls,
        make_stack(kind, tmp_path_factory.mktemp(kind), urls, **settings).running() as stack,
    ):
        stack.add_user(ANN)
        stack.add_user(BEN)
        yield stack
