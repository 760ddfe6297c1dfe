"""The gateway is found where Linux keeps its routes."""

from services.auth.adapters.gateway import spelled_out

ROUTES = """\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""
ANYWHERE, NOBODY = f"{'0' * 32} 00 {'0' * 32} 00", "0" * 32
ROUTES_IPV6 = f"""\
{ANYWHERE} fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
fd000000000000000000000000000000 40 {NOBODY} 00 {NOBODY} 00000100 00000001 00000000 00000001 eth0
{ANYWHERE} {NOBODY} ffffffff 00000001 00000000 00200200       lo
"""


def test_the_gateway_is_spelled_out(tmp_path):
    (tmp_path / "route").write_text(ROUTES)

    found = spelled_out(["gateway", "192.0.2.0/24"], tmp_path)

    assert found == ("172.18.0.1", "192.0.2.0/24")


def test_where_there_are_no_routes_there_is_no_gateway(tmp_path):
    assert spelled_out(["gateway", "192.0.2.0/24"], tmp_path) == ("192.0.2.0/24",)


def test_the_gateway_of_ipv6_is_spelled_out_too(tmp_path):
    (tmp_path / "route").write_text(ROUTES)
    (tmp_path / "ipv6_route").write_text(ROUTES_IPV6)

    assert spelled_out(["gateway"], tmp_path) == ("172.18.0.1", "fd00::1")
