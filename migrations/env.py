"""What Alembic runs for every upgrade: the revisions, on the connection that `upgrade` opened.

SQLite can hardly alter a table, so there Alembic makes a new one and copies (batch mode).
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
