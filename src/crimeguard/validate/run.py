"""The whole validation of what was read from a source: contract, then leakage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl

from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.ingest.frame import Reading
from crimeguard.validate.contract import check_contract, check_reading
from crimeguard.validate.leakage import check_leakage, check_names
from crimeguard.validate.report import Report
from crimeguard.validate.rule import OnCheck

LEAKAGE_CHECKS = ("forbidden_features", "leaks_category", "read_off_crime_code")


def validate_reading(
    reading: Reading,
    *,
    source: str,
    as_of: dt.date,
    labels: bool = True,
    drop_bad: bool = False,
    features: Sequence[str] = INCIDENT_FIELDS,
    on_check: OnCheck | None = None,
) -> Report:
    """Check everything that a source gave.

    Rows that cannot be read are an error, or a warning if they are dropped; the other
    checks leave them out either way. Evidence is numbered as in the source.
    """
    kept = sorted(set(range(reading.frame.height)) - reading.bad_rows)
    frame = reading.drop_bad()
    unread = check_reading(reading, dropped=drop_bad)
    contract = check_contract(
        frame, as_of=as_of, labels=labels, on_check=on_check,
        rows=pl.Series(kept, dtype=pl.Int64) + 1,
    )  # fmt: skip
    leaks = check_names(features)
    typed = not any(found.check == "column_types" for found in contract.findings)
    if labels and typed:
        leaks += check_leakage(frame, features, on_check=on_check)
    ran = ("readable_values", "known_columns", *contract.passed)
    return Report.of(
        [*unread, *contract.findings, *leaks], reading.frame.height, source=source,
        ran=(*ran, *(LEAKAGE_CHECKS if labels and typed else LEAKAGE_CHECKS[:1])),
        skipped=contract.skipped,
    )  # fmt: skip
