"""Run by Alembic: applies the steps within the transaction that the caller has opened."""

from alembic import context

from crimeguard.records.migrations import VERSION_TABLE
from crimeguard.records.tables import METADATA

# SQLite can undo a change of tables, too, once the driver no longer interferes with
# transactions; Alembic assumes that it cannot.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
