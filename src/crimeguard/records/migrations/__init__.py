"""The steps from one form of the records to the next, run by Alembic."""

from typing import Final

# The newest step; a database that stands here is opened without loading Alembic.
HEAD: Final = "0002"
# Not Alembic's own name: MLflow may keep its tables in the same database.
VERSION_TABLE: Final = "records_version"
