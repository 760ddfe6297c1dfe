"""The REST API of auth is as its published description says: schemathesis finds nothing."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.auth.core.login import PATIENCE, Patience
from services.auth.settings import Settings
from tests.support.auth import SECRET_KEY, TOKEN, served_auth
from tests.support.names import name_server

ANN = {"address": "ann@ours.test", "password": "a secret"}

# What JSON Schema cannot say is a 422: that a domain is ours, that a text is a network.
CONFIG = """
color = false

[generation]
deterministic = true

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "403", "404", "409", "412", "422"]

[checks.negative_data_rejection]
expected-statuses = ["400", "403", "404", "405", "412", "413", "415", "422"]
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Wrong credentials are tried by the thousand: nobody is locked out for them."""
    for subject in PATIENCE:
        monkeypatch.setitem(PATIENCE, subject, Patience(free=1_000_000))


@asynccontextmanager
async def auth_on(database):
    """Serve auth; the names that it is asked about do not exist."""
    async with name_server({}) as names:
        settings = Settings(secret_key=SECRET_KEY, name_servers=(names.address,))
        async with served_auth(database, auth=settings) as auth:
            yield auth


async def findings(auth, folder, *options, credential):
    """Return what schemathesis has to say if it has found anything."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run"]
    running = await asyncio.create_subprocess_exec(
        *command,
        f"{auth.url}/openapi.json",
        "--header",
        f"Authorization: {credential}",
        "--continue-on-failure",
        *options,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    return "" if running.returncode == 0 else said.decode()


async def test_nothing_contradicts_the_description(tmp_path):
    async with auth_on(f"sqlite+aiosqlite:///{tmp_path}/postroom.db") as auth:
        await auth.made("/v1/users", ANN)

        found = await findings(
            auth, tmp_path, "--max-examples=3", "--max-time=40", credential=f"Bearer {TOKEN}"
        )

    assert not found, found


async def test_nothing_contradicts_it_for_users_themselves(tmp_path):
    async with served_auth(f"sqlite+aiosqlite:///{tmp_path}/postroom.db") as auth:
        await auth.made("/v1/users", ANN)
        basic = "Basic YW5uQG91cnMudGVzdDphIHNlY3JldA=="  # ann@ours.test:a secret

        own = ("--include-path-regex=/v1/whoami", "--max-examples=5", "--max-time=15")
        found = await findings(auth, tmp_path, *own, credential=basic)

    assert not found, found


async def test_nothing_contradicts_it_over_postgresql(database_url, tmp_path):
    async with auth_on(database_url) as auth:
        await auth.made("/v1/users", ANN)

        brief = ("--phases=coverage,stateful", "--max-examples=1", "--max-time=15")
        found = await findings(auth, tmp_path, *brief, credential=f"Bearer {TOKEN}")

    assert not found, found
