"""Alive is not ready, and what is not ready says why."""

import aiohttp
import pytest

from kernel.health import Health, serve_health


@pytest.fixture
def listen(own_port):
    return f"127.0.0.1:{own_port}"


async def get(listen, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://{listen}{path}") as answer:
        return answer.status, await answer.text()


async def test_a_process_is_ready_once_all_its_services_are(listen):
    health = Health()
    health.expect("router")
    async with serve_health(health, listen):
        assert (await get(listen, "/healthz"))[0] == 200
        status, body = await get(listen, "/readyz")
        assert (status, '"router": "starting"' in body) == (503, True)

        health.ready("router")

        assert (await get(listen, "/readyz"))[0] == 200


async def test_a_trouble_that_comes_later_shows(listen):
    health = Health()
    troubles = []
    health.watch("bus", lambda: "".join(troubles))
    async with serve_health(health, listen):
        assert (await get(listen, "/readyz"))[0] == 200

        troubles.append("the broker is gone")

        status, body = await get(listen, "/readyz")
        assert (status, "the broker is gone" in body) == (503, True)


async def test_metrics_are_there_for_prometheus(listen):
    async with serve_health(Health(), listen):
        status, body = await get(listen, "/metrics")

    assert status == 200
    assert "postroom_events_published_total" in body


async def test_no_place_to_listen_means_no_server():
    async with serve_health(Health(), ""):
        pass
