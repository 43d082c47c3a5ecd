"""Rows of another city through the whole house: snapshot, training, slices, an answer."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl

from crimeguard import pipeline
from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.city import CHICAGO as CITY
from crimeguard.domain.city import CITIES
from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.slices import groups
from crimeguard.features.columns import Columns
from crimeguard.ingest.chicago import CHICAGO
from crimeguard.ingest.kept import as_text
from crimeguard.ingest.quarantine import Origin
from crimeguard.train.fit import targets
from crimeguard.train.params import Params
from tests.ingest import portal_rows


def test_chicago_is_pulled_trained_on_and_answered(tiny_params: Params, tmp_path: Path) -> None:
    rows = [
        {**row, "iucr": "0910" if row["location_description"] == "STREET" else row["iucr"]}
        for row in portal_rows.chicago(2_400)
    ]
    adapted = CHICAGO.read(as_text(rows, tuple(CHICAGO.columns)))
    kept = pipeline.keep(
        adapted.reading, tmp_path, name="the rows", source="chicago",
        origin=lambda: Origin.of_frame("chicago", adapted.reading.frame),
    )  # fmt: skip
    snapshot = kept.snapshot
    assert set(snapshot.frame()["city"]) == {CITY}

    trained = pipeline.train(snapshot, tiny_params, tmp_path, train_until=dt.date(2024, 2, 20))
    assert trained.evaluation.rows > 0
    model = trained.bundle.model

    test = trained.split.test
    named = {value for kind, value, _ in groups(test, targets(test), 5) if kind == "area"}
    assert named <= set(CITIES[CITY].areas().values())
    assert "Wentworth" in named

    incident = Incident.from_record(
        {"date_occ": "2024-03-02", "time_occ": "21:15", "area": "10", "lat": "41.8509",
         "lon": "-87.7098", "premis_cd": "1"}
    )  # fmt: skip
    assert incident.level is InformationLevel.CALL
    answer = model.probabilities(Columns.from_incidents([incident]))[0]
    assert np.isclose(answer.sum(), 1)
    assert CATEGORIES[int(answer.argmax())] == "vehicle_theft"

    same = pl.DataFrame({"date_occ": [dt.date(2024, 3, 2)], "time_occ": [2115], "area": [10],
                         "lat": [41.8509], "lon": [-87.7098], "premis_cd": [1]})  # fmt: skip
    assert (model.probabilities(Columns.from_frame(same))[0] == answer).all()
