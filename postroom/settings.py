"""Settings of the `postroom` command, and the environment of an installation in one folder."""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    JsonConfigSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)

from kernel.settings import PostroomSettings

SERVER_FILE = "server.json"
"""Where `postroom serve` writes down, in its folder, how it can be reached."""


class FolderSettings(PostroomSettings):
    """Where an installation in one folder keeps its data."""

    var: Path = Field(
        default=Path("var"),
        description="The folder that holds all data of `postroom serve`, and its secrets.",
    )


class ServeSettings(FolderSettings):
    """What `postroom serve` itself needs to know; each service reads its own settings."""

    services: str = Field(
        default="",
        description="The services that `postroom serve` runs, parted by commas; empty for all.",
    )
    admin_password: SecretStr | None = Field(
        default=None,
        description="The administrator's first password; made and printed once if not given.",
    )


class CommandSettings(FolderSettings):
    """Where the command finds the server, and as whom it speaks.

    What the environment does not say, a server that runs in `var` has written there.
    """

    auth_url: str = Field(default="http://127.0.0.1:8001", description="Where auth is asked.")
    ledger_url: str = Field(
        default="http://127.0.0.1:8002", description="Where the ledger is asked."
    )
    ingress_url: str = Field(
        default="http://127.0.0.1:8009",
        description="Where ingress has its health port: `postroom explain` asks it for checks and "
        "limits.",
    )
    smtp: str = Field(
        default="127.0.0.1:2525", description="HOST:PORT to which `postroom send` sends."
    )
    listeners: dict[str, str] = Field(
        default={
            "mx": "127.0.0.1:2525",
            "submission": "127.0.0.1:2587",
            "submissions": "127.0.0.1:2465",
        },
        description="Where each listener listens, as `postroom selftest` needs to know.",
    )
    routes: dict[str, str] = Field(
        default={}, description="Delivery's static routes, so that `postroom route test` knows."
    )
    admin_login: str = Field(default="admin", description="As whom the command logs in.")
    admin_password: SecretStr | None = Field(
        default=None, description="Their password; found in `var/secrets` next to the server."
    )
    service_token: SecretStr | None = Field(
        default=None,
        description="What services show one another: `postroom explain` shows it to ingress.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="An API key; if there is one, the command shows it instead."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add what the server in `var` has left there."""
        usual = super().settings_customise_sources(
            settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        )
        var = FolderSettings().var
        server = JsonConfigSettingsSource(settings_cls, json_file=var / SERVER_FILE)
        secrets = secrets_folder(var)
        if not secrets.is_dir():
            return (*usual, server)
        return (*usual, SecretsSettingsSource(settings_cls, secrets_dir=secrets), server)


class DatabaseSettings(PostroomSettings):
    """The database, for bringing its tables up to date."""

    database_url: str = Field(
        default="sqlite+aiosqlite:///var/postroom.db", description="The tables of auth and ledger."
    )
    database_password: SecretStr | None = Field(
        default=None, description="Password for `database_url`, where it names a user without one."
    )


def secrets_folder(var: Path) -> Path:
    """Return the folder that holds the secrets of an installation in ``var``."""
    return var / "secrets"


def fill_environment(var: Path, urls: dict[str, str]) -> None:
    """Point every setting that names data at ``var``, unless the environment says otherwise."""
    defaults = {
        "POSTROOM_SECRETS_DIR": str(secrets_folder(var)),
        "POSTROOM_BUS_URL": f"sqlite:///{var}/bus.db",
        "POSTROOM_DATABASE_URL": f"sqlite+aiosqlite:///{var}/postroom.db",
        "POSTROOM_BLOBS_URL": f"file:///{var}/blobs",
        "POSTROOM_MAILBOXES_URL": f"maildir:///{var}/mail",
        "POSTROOM_TLS_FOLDER": os.environ.get("POSTROOM_INGRESS_TLS_FOLDER", f"{var}/tls"),  # noqa: TID251 - a settings module
        **urls,
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)  # noqa: TID251 - a settings module
