from datetime import timedelta

import pytest
from pydantic import ValidationError

from services.delivery.core.routes import Family
from services.delivery.core.schedule import LADDER
from services.delivery.core.smtp_client import Phase
from services.delivery.settings import Settings


def seconds(settings):
    return [rung.total_seconds() for rung in settings.retry]


@pytest.mark.parametrize(
    ("text", "rungs"),
    [
        ("60,300", [60, 300]),
        ("[60, 0.5]", [60, 0.5]),
        ("0", [0]),
        ("0.2", [0.2]),
        ("100ms, 1m, 1.5h, 1d", [0.1, 60, 5400, 86_400]),
        ('["5m", "PT10M"]', [300, 600]),
    ],
)
def test_the_ladder_is_read_from_the_environment(monkeypatch, text, rungs):
    monkeypatch.setenv("POSTROOM_DELIVERY_RETRY", text)

    assert seconds(Settings()) == rungs


@pytest.mark.parametrize("text", ["", "soon", "-1", "-PT1M", "60,", "[]"])
def test_a_ladder_that_makes_no_sense_is_refused(monkeypatch, text):
    monkeypatch.setenv("POSTROOM_DELIVERY_RETRY", text)

    with pytest.raises(ValidationError):
        Settings()


def test_nothing_need_be_set():
    settings = Settings()

    assert settings.retry == LADDER
    assert settings.hops == ("local", "remote")
    assert settings.give_up_after == timedelta(days=5)
    assert set(settings.timeouts()) == set(Phase) - {Phase.CLOSED}


def test_what_operators_know_by_a_shorter_name(monkeypatch):
    monkeypatch.setenv("POSTROOM_ROUTES", '{"*": "127.0.0.1:2600"}')
    monkeypatch.setenv("POSTROOM_REMOTE_PORT", "2525")
    monkeypatch.setenv("POSTROOM_DELIVERY_HOPS", "remote")
    monkeypatch.setenv("POSTROOM_DELIVERY_GIVE_UP_AFTER", "90s")

    settings = Settings()

    assert settings.routes == {"*": "127.0.0.1:2600"}
    assert settings.remote_port == 2525
    assert settings.hops == ("remote",)
    assert settings.give_up_after == timedelta(seconds=90)


def test_a_route_without_a_port_is_refused(monkeypatch):
    monkeypatch.setenv("POSTROOM_ROUTES", '{"*": "127.0.0.1"}')

    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", []),
        ("postmaster", ["postmaster@ours.test"]),
        ("postmaster, Ops@Far.test,postmaster@ours.test", ["postmaster@ours.test", "Ops@far.test"]),
    ],
)
def test_who_gets_copies_of_reports(monkeypatch, text, addresses):
    monkeypatch.setenv("POSTROOM_DELIVERY_POSTMASTER_COPY", text)

    assert [str(address) for address in Settings().copies_to("ours.test")] == addresses


def test_a_copy_for_somebody_who_is_no_address_is_refused(monkeypatch):
    monkeypatch.setenv("POSTROOM_DELIVERY_POSTMASTER_COPY", "the boss")

    with pytest.raises(ValidationError):
        Settings()


def test_warnings_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("POSTROOM_DELIVERY_WARN_AFTER", "0")

    assert not Settings().warn_after


def test_kinds_of_addresses_are_preferred_in_their_order_and_counted_once():
    assert Settings(families="ipv6, ipv4,ipv6").families == (Family.IPV6, Family.IPV4)


@pytest.mark.parametrize(
    "wrong",
    [{"families": ""}, {"families": "ipx"}, {"our_addresses": "mx.test"}, {"ca_file": "/nowhere"}],
    ids=["no family", "no such family", "a name", "a file that is not there"],
)
def test_what_tells_nobody_where_mail_goes_is_refused(wrong):
    with pytest.raises(ValidationError):
        Settings(**wrong)
