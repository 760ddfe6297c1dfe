"""`postroom network`: the LAN, whose machines may relay without logging in."""

from cyclopts import App

from postroom.client import auth
from postroom.show import AsJson, show

app = App(name="network")

COLUMNS = {"cidr": "NETWORK"}


@app.command
async def add(cidr: str, *, as_json: AsJson = False) -> None:
    """Add a network: `192.0.2.0/24`, a single address, or `192.0.2.*`."""
    async with auth() as api:
        show([await api.post("v1/networks", body={"cidr": cidr})], COLUMNS, as_json=as_json)


@app.command(name="list")
async def list_(*, as_json: AsJson = False) -> None:
    """List all networks of the LAN."""
    async with auth() as api:
        show(await api.every("v1/networks"), COLUMNS, as_json=as_json)


@app.command
async def remove(cidr: str) -> None:
    """Remove a network."""
    async with auth() as api:
        await api.delete("v1/networks", cidr)
    print(f"{cidr} is removed")
