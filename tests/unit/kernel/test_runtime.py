"""What a process asks of its system before it runs services."""

import resource

import pytest

from kernel.runtime import MOST_FILES, allow_many_files


@pytest.fixture
def hard_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_may_have_as_many_connections_as_its_listeners_take(hard_limit):
    allow_many_files()

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == hard_limit
    assert soft == (MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard))
