"""`postroom serve`, before anything runs."""

import pytest

from postroom.serve import SERVICES, chosen, directions, reachable


def test_all_services_run_unless_some_are_named():
    assert chosen("") == SERVICES


def test_services_start_in_their_order_whatever_the_order_of_naming():
    assert chosen("ingress, auth") == ("auth", "ingress")


def test_a_service_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="no service postman"):
        chosen("auth,postman")


@pytest.mark.parametrize(
    ("listen", "found"),
    [
        ("127.0.0.1:8001", "127.0.0.1:8001"),
        ("0.0.0.0:8001", "127.0.0.1:8001"),
        (":8001", "127.0.0.1:8001"),
        ("[::1]:8001", "[::1]:8001"),
    ],
)
def test_what_listens_everywhere_is_reached_here(listen, found):
    assert reachable(listen) == found


def test_only_who_runs_and_listens_is_announced(monkeypatch):
    monkeypatch.setenv("POSTROOM_INGRESS_LISTEN_SUBMISSION", "")
    monkeypatch.setenv("POSTROOM_INGRESS_LISTEN_SUBMISSIONS", "127.0.0.1:465")
    monkeypatch.setenv("POSTROOM_INGRESS_LISTEN_MX", "127.0.0.1:25")

    assert directions(("ingress",)) == [
        "SMTP mx           127.0.0.1:25",
        "SMTP submissions  127.0.0.1:465  TLS",
    ]
