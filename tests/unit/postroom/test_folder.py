"""The folder of an installation on one machine."""

import json
import os

import pytest
from pydantic import SecretStr

from postroom.folder import keep, note_server, prepare
from postroom.settings import CommandSettings, ServeSettings

LISTENERS = {"mx": "0.0.0.0:25", "submissions": "[::]:465"}


@pytest.fixture(autouse=True)
def usual_mask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_in_a_folder_that_all_can_see_files_are_for_the_owner_alone(tmp_path):
    tmp_path.chmod(0o755)

    prepare(ServeSettings(var=tmp_path, admin_password=None))
    (tmp_path / "postroom.db").touch()

    assert (tmp_path / "postroom.db").stat().st_mode & 0o777 == 0o600


def test_the_first_start_makes_secrets_for_the_owner_alone(tmp_path):
    var = tmp_path / "var"

    password = prepare(ServeSettings(var=var, admin_password=None))

    assert var.stat().st_mode & 0o777 == 0o700
    files = {file.name: file for file in (var / "secrets").iterdir()}
    assert files.keys() == {
        "postroom_service_token",
        "postroom_auth_secret_key",
        "postroom_admin_password",
    }
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}
    assert files["postroom_admin_password"].read_text() == password


def test_later_starts_keep_the_secrets_and_tell_nothing(tmp_path):
    settings = ServeSettings(var=tmp_path / "var", admin_password=None)
    prepare(settings)
    before = (settings.var / "secrets" / "postroom_service_token").read_text()

    assert prepare(settings) == ""
    assert (settings.var / "secrets" / "postroom_service_token").read_text() == before


def test_an_older_installation_gets_what_it_lacks_at_its_next_start(tmp_path):
    settings = ServeSettings(var=tmp_path / "var", admin_password=None)
    prepare(settings)
    (settings.var / "secrets" / "postroom_auth_secret_key").unlink()

    assert prepare(settings) == ""
    assert len((settings.var / "secrets" / "postroom_auth_secret_key").read_text()) >= 32


def test_a_password_that_was_given_is_not_told(tmp_path):
    settings = ServeSettings(var=tmp_path, admin_password=SecretStr("given"))

    assert prepare(settings) == ""
    assert (tmp_path / "secrets" / "postroom_admin_password").read_text() == "given"


def test_of_two_who_keep_a_secret_the_first_wins(tmp_path):
    file = tmp_path / "secret"

    assert keep(file, "first")
    assert not keep(file, "second")
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


FACTS = {
    "auth_url": "http://127.0.0.1:1",
    "ledger_url": "http://127.0.0.1:2",
    "ingress_url": "http://127.0.0.1:4",
    "smtp": "127.0.0.1:3",
    "listeners": LISTENERS,
}


def test_the_command_finds_the_server_of_its_folder(tmp_path, monkeypatch):
    for name in (
        "AUTH_URL",
        "LEDGER_URL",
        "SMTP",
        "ADMIN_PASSWORD",
        "SECRETS_DIR",
        "INGRESS_URL",
        "SERVICE_TOKEN",
    ):
        monkeypatch.delenv(f"POSTROOM_{name}", raising=False)
    monkeypatch.setenv("POSTROOM_VAR", str(tmp_path))
    prepare(ServeSettings(admin_password=SecretStr("given")))
    note_server(tmp_path, **FACTS)

    settings = CommandSettings()

    assert settings.auth_url == "http://127.0.0.1:1"
    assert settings.smtp == "127.0.0.1:3"
    assert settings.ingress_url == "http://127.0.0.1:4"
    assert settings.service_token is not None
    assert settings.listeners == LISTENERS
    assert settings.admin_password == SecretStr("given")


def test_the_environment_is_stronger_than_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("POSTROOM_VAR", str(tmp_path))
    monkeypatch.setenv("POSTROOM_AUTH_URL", "http://there.test")
    note_server(tmp_path, **FACTS)

    assert CommandSettings().auth_url == "http://there.test"
    assert json.loads((tmp_path / "server.json").read_text())["smtp"] == "127.0.0.1:3"
