"""Runs the tests with a RabbitMQ and a PostgreSQL of their own: what ``make test`` calls.

.venv/bin/python -m tests.run [arguments of pytest]
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 60 * 60  # seconds for all tests together; a quarter of an hour is usual
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile")
"""Many tests wait for something. What stands in one file shares fixtures, and so a process."""


def main(arguments: list[str]) -> int:
    """Run pytest with ``arguments``; return its exit code."""
    from tests.support.brokers import BrokerError, private_stack

    for number in (signal.SIGTERM, signal.SIGHUP):  # leave no broker behind
        signal.signal(number, _stop)
    try:
        with private_stack() as stack:
            environment = {
                **os.environ,  # noqa: TID251 - handed on as it is
                "TEST_AMQP_URL": stack.amqp_url,
                "TEST_DATABASE_URL": stack.database_url,
            }
            command = [sys.executable, "-m", "pytest", *SIDE_BY_SIDE, *arguments]
            return _run(command, environment)
    except BrokerError as error:
        print(f"make test: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    except KeyboardInterrupt:
        return 130


def _run(command: list[str], environment: dict[str, str]) -> int:
    with subprocess.Popen(command, cwd=ROOT, env=environment) as pytest:
        try:
            return pytest.wait(LONGEST)
        except subprocess.TimeoutExpired:
            print(f"make test: not done after {LONGEST} s", file=sys.stderr)  # noqa: T201 - a command
            pytest.send_signal(signal.SIGINT)  # it tells where it was
        except BaseException:
            pytest.terminate()
            raise
        try:
            pytest.wait(60)
        except subprocess.TimeoutExpired:
            pytest.kill()
    return 1


def _stop(number: int, _: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
