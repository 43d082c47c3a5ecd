"""A list of records as a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns
from crimeguard.serve import incident
from crimeguard.serve.batch import Batch
from crimeguard.serve.remember import as_received

MOST_LISTED: Final = 10_000  # incidents in one list


def read_list(records: Any, level: InformationLevel | None = None) -> Batch:
    """Read a JSON list of incidents; Problem points at everything that is wrong."""
    asked = incident.read_many(records, most=MOST_LISTED, level=level)
    ignored = dict.fromkeys(name for item in asked for name in item.ignored)

    def texts(start: int, stop: int) -> Sequence[str]:
        return [as_received(record) for record in records[start:stop]]

    columns = Columns.from_incidents([item.incident for item in asked])
    return Batch(columns, [item.dr_no for item in asked], tuple(ignored), texts=texts)
