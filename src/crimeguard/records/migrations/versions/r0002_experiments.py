"""Predictions know the experiment that they belong to, and what they were scored beside."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Add two columns; what is there belongs to no experiment and was answered."""
    op.add_column("prediction", sa.Column("experiment", sa.CHAR(32)))
    op.add_column("prediction", sa.Column("answered_id", sa.CHAR(32)))
    # Most rows belong to no experiment, and cost nothing here.
    some = sa.text("experiment IS NOT NULL")
    op.create_index(
        "prediction_experiment", "prediction", ["experiment"],
        sqlite_where=some, postgresql_where=some,
    )  # fmt: skip
