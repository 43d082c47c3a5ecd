"""The tables of the records, as the newest migration leaves them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CHAR,
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData()
# SQLite numbers rows by itself only where the column is called INTEGER.
SEQUENCE: Final = BigInteger().with_variant(Integer(), "sqlite")

PREDICTION: Final = Table(
    "prediction",
    METADATA,
    Column("id", CHAR(32), primary_key=True),
    Column("made_at", BigInteger, nullable=False),  # microseconds since 1970, UTC
    Column("bundle", CHAR(64), nullable=False),
    Column("variant", String(40), nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("category", String(40), nullable=False),
    Column("confidence", Double, nullable=False),
    Column("probabilities", LargeBinary, nullable=False),  # 15 little-endian float64
    Column("dr_no", String(40)),
    Column("input", Text, nullable=False),
    Column("experiment", CHAR(32)),
    # What was answered in its place; null for what was answered itself.
    Column("answered_id", CHAR(32)),
)
_IN_EXPERIMENT: Final = PREDICTION.c.experiment.is_not(None)
Index("prediction_made_at", PREDICTION.c.made_at)
Index("prediction_dr_no", PREDICTION.c.dr_no)
Index(
    "prediction_experiment", PREDICTION.c.experiment,
    sqlite_where=_IN_EXPERIMENT, postgresql_where=_IN_EXPERIMENT,
)  # fmt: skip

LABEL: Final = Table(
    "label",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("prediction_id", CHAR(32), nullable=False),
    Column("category", String(40), nullable=False),
    Column("crm_cd", Integer),
    Column("source", String(200), nullable=False),
    Column("labelled_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
Index("label_prediction_id", LABEL.c.prediction_id)

LEDGER: Final = Table(
    "ledger",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("who", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # a JSON object
    Column("decision_id", String(80)),
    sqlite_autoincrement=True,
)
Index("ledger_kind_at", LEDGER.c.kind, LEDGER.c.at)
