"""Golden rows: made-up incidents with the answers that a bundle gave when it was made.

A bundle that answers them otherwise, on whatever machine, is not served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from crimeguard.domain.errors import BundleError, DataError
from crimeguard.domain.incident import Incident
from crimeguard.features.columns import Columns
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.signature import Signers
from crimeguard.train.model import Model

_PLACE: Final = {"DATE OCC": "03/10/2023", "TIME OCC": "2130", "AREA": "12",
                 "Rpt Dist No": "1249", "LAT": "33.97", "LON": "-118.29"}  # fmt: skip
_VICTIM: Final = {"Date Rptd": "03/11/2023", "Vict Age": "34", "Vict Sex": "F", "Vict Descent": "H"}
RECORDS: Final[tuple[dict[str, str], ...]] = (
    {"DATE OCC": "01/01/2023", "AREA": "1"},
    {**_PLACE, "Premis Cd": "101"},
    {**_PLACE, "Premis Cd": "502", **_VICTIM},
    {**_PLACE, "Premis Cd": "502", **_VICTIM, "Weapon Used Cd": "400", "Mocodes": "0416 2000 1813"},
    {**_PLACE, "Premis Cd": "101", "Date Rptd": "03/10/2023", "Vict Age": "", "Mocodes": ""},
    {**_PLACE, "Premis Cd": "404", **_VICTIM, "Mocodes": "0344 0325 9998"},
)
# Libraries may round differently on another machine, never by this much.
TOLERANCE: Final = 1e-4


def golden_answers(model: Model) -> dict[str, Any]:
    """Return the records and the probabilities that a model gives them."""
    return {"records": list(RECORDS), "probabilities": _answer(model, RECORDS).tolist()}


def load_checked(folder: Path, signers: Signers | None = None) -> Bundle:
    """Verify a bundle byte by byte and by its golden rows; BundleError says what is wrong.

    With `signers` it must be signed by one of them, and nobody else's files are read.
    """
    signed = None if signers is None else signers.require(folder)
    bundle = Bundle.load(folder)
    if signed not in (None, bundle.sha256):
        raise BundleError(f"The bundle in {folder} changed while it was read.")
    try:
        check_golden(bundle.model, bundle.golden)
    except BundleError:
        raise
    except Exception as error:
        # Parts that were read may still not work together.
        raise BundleError("The bundle does not answer its golden rows.",
                          why=f"{type(error).__name__}: {error}".splitlines()[0][:300],
                          fix="Train it again.") from error  # fmt: skip
    return bundle


def check_golden(model: Model, golden: dict[str, Any]) -> None:
    """Raise BundleError unless the model answers as it did when the bundle was made."""
    try:
        expected = np.asarray(golden["probabilities"], np.float64)
        found = _answer(model, golden["records"])
    except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
        raise BundleError("The bundle's golden rows are none.", why=f"{type(error).__name__}.",
                          fix="Train it again.") from error  # fmt: skip
    if expected.shape != found.shape or not len(found):
        raise BundleError("The bundle's golden rows do not fit its model.", fix="Train it again.")
    gap = float(np.abs(expected - found).max())
    if not gap <= TOLERANCE:
        raise BundleError("The bundle does not answer its golden rows as it did when it was made.",
                          why=f"A probability differs by {gap:.2g}.",
                          fix="Train it again; the bundle in service stays.")  # fmt: skip


def _answer(model: Model, records: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    incidents = [Incident.from_record(record) for record in records]
    return model.probabilities(Columns.from_incidents(incidents))
