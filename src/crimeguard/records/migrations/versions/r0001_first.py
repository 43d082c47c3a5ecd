"""Predictions, labels, and a ledger that can only grow."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

_SEQUENCE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSAL: Final = "the ledger is append-only"
# REPLACE deletes without asking the triggers of DELETE.
_SQLITE: Final = (
    ("no_update", "UPDATE ON ledger"),
    ("no_delete", "DELETE ON ledger"),
    (
        "no_replace",
        "INSERT ON ledger WHEN EXISTS (SELECT 1 FROM ledger WHERE seq = NEW.seq)",
    ),
)
_FUNCTION: Final = f"""
CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$
"""
_TRIGGER: Final = """
CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()
"""


def upgrade() -> None:
    """Make the three tables."""
    _predictions()
    _labels()
    _ledger()
    _seal()


def _predictions() -> None:
    op.create_table(
        "prediction",
        sa.Column("id", sa.CHAR(32), primary_key=True),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("bundle", sa.CHAR(64), nullable=False),
        sa.Column("variant", sa.String(40), nullable=False),
        sa.Column("level", sa.SmallInteger, nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("probabilities", sa.LargeBinary, nullable=False),
        sa.Column("dr_no", sa.String(40)),
        sa.Column("input", sa.Text, nullable=False),
    )
    op.create_index("prediction_made_at", "prediction", ["made_at"])
    op.create_index("prediction_dr_no", "prediction", ["dr_no"])


def _labels() -> None:
    op.create_table(
        "label",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("prediction_id", sa.CHAR(32), nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("crm_cd", sa.Integer),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("labelled_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("label_prediction_id", "label", ["prediction_id"])


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("decision_id", sa.String(80)),
        sqlite_autoincrement=True,
    )
    op.create_index("ledger_kind_at", "ledger", ["kind", "at"])


def _seal() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, event in _SQLITE:
            op.execute(
                f"CREATE TRIGGER ledger_{name} BEFORE {event} "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
    else:
        op.execute(_FUNCTION)
        op.execute(_TRIGGER)
