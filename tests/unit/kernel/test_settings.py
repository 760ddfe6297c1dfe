"""Settings come from the environment, then from secret files, then from the field."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from kernel.platform import UnknownSchemeError, open_bus, with_password
from kernel.settings import PlatformSettings, host_and_port, path_of


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    (tmp_path / "postroom_service_token").write_text("from the file\n")
    monkeypatch.setenv("POSTROOM_SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("POSTROOM_SERVICE_TOKEN", raising=False)
    return tmp_path


def test_a_secret_is_read_from_its_file(secrets):
    assert PlatformSettings().service_token.get_secret_value() == "from the file"


def test_the_environment_wins_over_the_file(secrets, monkeypatch):
    monkeypatch.setenv("POSTROOM_SERVICE_TOKEN", "from the environment")

    assert PlatformSettings().service_token.get_secret_value() == "from the environment"


def test_a_domain_has_one_form_however_it_is_written(secrets, monkeypatch):
    monkeypatch.setenv("POSTROOM_DOMAIN", "Bücher.TEST")

    assert PlatformSettings().domain == "xn--bcher-kva.test"


def test_an_empty_service_token_is_refused(secrets, monkeypatch):
    monkeypatch.setenv("POSTROOM_SERVICE_TOKEN", "")

    with pytest.raises(ValidationError, match="service_token"):
        PlatformSettings()


def test_a_secret_is_not_printed(secrets):
    assert "from the file" not in repr(PlatformSettings())


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///var/bus.db", "var/bus.db"), ("file:////srv/blobs", "/srv/blobs")],
)
def test_an_embedded_url_names_a_path(url, path):
    assert path_of(url) == Path(path)


@pytest.mark.parametrize(
    ("listen", "pair"),
    [("127.0.0.1:25", ("127.0.0.1", 25)), ("[::1]:25", ("::1", 25)), (":25", ("", 25))],
)
def test_a_place_to_listen_has_a_host_and_a_port(listen, pair):
    assert host_and_port(listen) == pair


@pytest.mark.parametrize("listen", ["", "25", "host:", "host:smtp"])
def test_a_place_without_a_port_is_refused(listen):
    with pytest.raises(ValueError, match="HOST:PORT"):
        host_and_port(listen)


def test_a_password_is_filled_in_where_a_user_has_none(secrets):
    secret = PlatformSettings(bus_password="p@ss/word").bus_password

    assert with_password("amqp://u@host:1/v", secret) == "amqp://u:p%40ss%2Fword@host:1/v"
    assert with_password("amqp://u:own@host", secret) == "amqp://u:own@host"
    assert with_password("sqlite:///var/bus.db", secret) == "sqlite:///var/bus.db"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.2", 0.2), ("250ms", 0.25), ("15m", 900), ("4h", 14_400), ("5d", 432_000)],
)
def test_a_length_of_time_is_seconds_or_has_a_unit(secrets, text, seconds):
    assert PlatformSettings(grace=text).grace.total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "5 parsecs"])
def test_what_is_no_length_of_time_is_refused(secrets, text):
    with pytest.raises(ValidationError):
        PlatformSettings(grace=text)


def test_a_scheme_that_no_adapter_serves_is_named(secrets):
    with pytest.raises(UnknownSchemeError, match="kafka"):
        open_bus(PlatformSettings(bus_url="kafka://x"))
