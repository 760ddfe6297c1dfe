"""The tables of the directory. ``migrations`` makes them; a test keeps both alike."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData()


class Moment(TypeDecorator[datetime]):
    """A moment in UTC; SQLite gives it back without its time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment with its time zone."""
        del dialect
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


domains = Table(
    "domains",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("is_primary", Boolean, nullable=False),
    Column("own_users", Boolean, nullable=False),
    Column("undelivered", String(16), nullable=False),
    Column("undelivered_mailbox", String(512)),
    Index(
        "one_primary_domain",
        "is_primary",
        unique=True,
        sqlite_where=text("is_primary"),
        postgresql_where=text("is_primary"),
    ),
)

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("login", String(512), nullable=False, unique=True),
    Column("address", String(512), nullable=False),
    Column("full_name", String(255), nullable=False),
    Column("password", String(255), nullable=False),
    Column("may_relay", Boolean, nullable=False),
    Column("administrator", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("send_as", JSON, nullable=False),
    Column("quota", BigInteger),
    Column("salt", String(64), nullable=False, server_default=""),
    Column("sealed", String(1024), nullable=False, server_default=""),
)

# Secrets that we made ourselves, each for some purposes; ``digest`` is of the secret.
app_passwords = Table(
    "app_passwords",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("purposes", JSON, nullable=False),
    Column("digest", String(128), nullable=False),
    Column("sealed", String(1024), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment),
    UniqueConstraint("user_id", "name", name="app_passwords_of_a_user"),
)

# One row for every address of ours: a user's when it has a user, else an alias.
addresses = Table(
    "addresses",
    metadata,
    Column("realm", String(255), primary_key=True),
    Column("local", String(255), primary_key=True),
    Column("address", String(512), nullable=False, unique=True),
    Column("domain", String(255), ForeignKey("domains.name"), nullable=False, index=False),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE")),
    Column("targets", JSON, nullable=False),
    Index("addresses_of_a_user", "user_id"),
    Index("addresses_of_a_domain", "domain"),
)

networks = Table("networks", metadata, Column("cidr", String(64), primary_key=True))

# A setting that is not in the document has its default: new ones need no migration.
listeners = Table(
    "listeners",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("settings", JSON, nullable=False),
)

# The ways of mail that leaves us, the first by position first. ``settings`` as with listeners.
routes = Table(
    "routes",
    metadata,
    Column("pattern", String(256), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("sealed", Text, nullable=False),
)

# ``state`` is that of `core.dkim.KeyState`; a key of each algorithm may be active.
dkim_keys = Table(
    "dkim_keys",
    metadata,
    Column("domain", String(255), ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
    Column("selector", String(64), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    Column("bits", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("public", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index(
        "one_active_dkim_key",
        "domain",
        "algorithm",
        unique=True,
        sqlite_where=text("state = 'active'"),
        postgresql_where=text("state = 'active'"),
    ),
)

lists = Table(
    "lists",
    metadata,
    Column("colour", String(8), primary_key=True),
    Column("subject", String(16), primary_key=True),
    Column("pattern", String(512), primary_key=True),
)

grants = Table(
    "grants",
    metadata,
    Column("client", String(64), primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("until", Moment, nullable=False),
)

# Failed logins: ``subject`` is ``login`` or ``client``, ``who`` its name or network.
failures = Table(
    "failures",
    metadata,
    Column("subject", String(8), primary_key=True),
    Column("who", String(512), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last", Moment, nullable=False),
)

# Triplets of client, sender and recipient, and networks of clients (`core.greylist`).
greylist = Table(
    "greylist",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("first", Moment, nullable=False),
    Column("last", Moment, nullable=False),
    Column("passed", Integer, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("digest", String(128), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("who", String(512), nullable=False),
    Column("client", String(64), nullable=False),
    Column("action", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("key", String(512), nullable=False),
    Column("before", JSON),
    Column("after", JSON),
    Index("audit_of_a_thing", "kind", "key"),
)
