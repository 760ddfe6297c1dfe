"""`postroom network`: the LAN, whose machines may relay without logging in."""

from cyclopts import App

from postroom.resource import Resource
from postroom.show import AsJson

app = App(name="network")

NETWORKS = Resource(("v1/networks",), {"cidr": "NETWORK"})


@app.command
async def add(cidr: str, *, as_json: AsJson = False) -> None:
    """Add a network: `192.0.2.0/24`, a single address, or `192.0.2.*`."""
    await NETWORKS.add({"cidr": cidr}, as_json=as_json)


@app.command(name="list")
async def list_(*, search: str = "", as_json: AsJson = False) -> None:
    """List the networks of the LAN.

    Parameters
    ----------
    search
        Only those with this in them.

    """
    await NETWORKS.every(q=search, as_json=as_json)


@app.command
async def remove(cidr: str) -> None:
    """Remove a network."""
    await NETWORKS.remove(cidr)
