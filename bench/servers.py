"""The servers under test. Each relays everything to one port, and fsyncs before its 250."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.accounting import Group
from tests.support import postfix
from tests.support.brokers import private_stack
from tests.support.stack import make_stack

# A server that nobody has tuned is no yardstick.
_TUNING = """\
default_process_limit = 200
initial_destination_concurrency = 50
default_destination_concurrency_limit = 50
smtp_connection_cache_destinations = [127.0.0.1]:{sink}
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
in_flow_delay = 0
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
relayhost = [127.0.0.1]:{sink}
mynetworks = 127.0.0.0/8
"""


@contextmanager
def tuned_postfix(sink_port: int, group: Group) -> Iterator[int]:
    """Run Debian's Postfix as a tuned relay; yield its port."""
    with ExitStack() as stack:
        with _inside(group):
            server = stack.enter_context(postfix.private(_TUNING.format(sink=sink_port)))
        yield server.port


@contextmanager
def embedded(sink_port: int, group: Group) -> Iterator[int]:
    """Run Postroom in one process on SQLite and files; yield its port."""
    with _postroom("embedded", sink_port, group, None) as port:
        yield port


@contextmanager
def brokered(sink_port: int, group: Group) -> Iterator[int]:
    """Run Postroom as processes on RabbitMQ and PostgreSQL, both counted in; yield its port."""
    with ExitStack() as stack:
        with _inside(group):
            brokers = stack.enter_context(private_stack(durable=True))
        urls = {"bus": brokers.amqp_url, "database": brokers.database_url}
        yield stack.enter_context(_postroom("brokered", sink_port, group, urls))


@contextmanager
def _postroom(
    kind: str, sink_port: int, group: Group, urls: dict[str, str] | None
) -> Iterator[int]:
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{kind}-", dir="/var/tmp"))
    routes = json.dumps({"*": f"127.0.0.1:{sink_port}"})
    with ExitStack() as exits:
        exits.callback(shutil.rmtree, folder, ignore_errors=True)
        with _inside(group):
            stack = exits.enter_context(make_stack(kind, folder, urls, routes=routes).running())
        yield stack.ports["mx"]


@contextmanager
def _inside(group: Group) -> Iterator[None]:
    """Count what is started meanwhile to ``group``; this process itself steps out again."""
    outside = Group("harness")
    group.join()
    try:
        yield
    finally:
        outside.join()


SERVERS = {"postfix": tuned_postfix, "embedded": embedded, "brokered": brokered}
