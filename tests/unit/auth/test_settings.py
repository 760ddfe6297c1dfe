"""What the operator may say about auth."""

import pytest
from pydantic import ValidationError

from services.auth.settings import Settings


@pytest.mark.parametrize("text", ["10.0.0.0/8, ::1", '["10.0.0.0/8", "::1"]', "10.*.*.* ::1"])
def test_the_first_lan_can_be_written_in_several_ways(monkeypatch, text):
    monkeypatch.setenv("POSTROOM_LAN", text)

    assert Settings().lan == ("10.0.0.0/8", "::1/128")


def test_a_first_lan_of_everybody_is_refused(monkeypatch):
    monkeypatch.setenv("POSTROOM_LAN", "0.0.0.0/0")

    with pytest.raises(ValidationError, match="everybody"):
        Settings()


def test_the_first_password_may_stand_in_a_secret_file(monkeypatch, tmp_path):
    (tmp_path / "postroom_admin_password").write_text("from a file")
    monkeypatch.setenv("POSTROOM_SECRETS_DIR", str(tmp_path))

    assert Settings().admin_password.get_secret_value() == "from a file"


def test_what_is_never_in_the_lan_may_be_the_gateway(monkeypatch):
    monkeypatch.setenv("POSTROOM_LAN_NEVER", "gateway, 192.0.2.*")

    assert Settings().lan_never == ("gateway", "192.0.2.0/24")


def test_what_is_never_in_the_lan_must_be_a_network(monkeypatch):
    monkeypatch.setenv("POSTROOM_LAN_NEVER", "gatway")

    with pytest.raises(ValidationError, match="no network"):
        Settings()
