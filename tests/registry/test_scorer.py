from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import DataError
from crimeguard.features.columns import Columns
from crimeguard.ingest.frame import canonical
from crimeguard.pipeline import Trained

if TYPE_CHECKING:
    from crimeguard.registry.scorer import Scorer

ROW = {"DATE OCC": "03/10/2023", "TIME OCC": "2130", "AREA": "12", "Premis Cd": "502",
       "Vict Age": "34", "Vict Sex": "F", "Weapon Used Cd": "400",
       "Mocodes": "0416 2000"}  # fmt: skip


@pytest.fixture(scope="module")
def scorer(trained: Trained) -> Scorer:
    from crimeguard.registry.store import _quiet_mlflow

    _quiet_mlflow()
    from crimeguard.registry.scorer import Scorer

    scorer = Scorer()
    scorer.load_context(SimpleNamespace(artifacts={"bundle": str(trained.bundle.path)}))
    return scorer


def shares(answer: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(answer[[f"p_{name}" for name in CATEGORIES]])


def test_rows_of_an_export_get_the_answers_of_the_bundle(
    scorer: Scorer, trained: Trained, exported: pl.DataFrame
) -> None:
    rows = exported.head(60).to_pandas().set_index("DR_NO", drop=False)
    answer = scorer.predict(rows)
    frame = canonical(exported.head(60)).frame
    expected = trained.bundle.model.probabilities(Columns.from_frame(frame))
    assert shares(answer) == pytest.approx(expected, abs=1e-9)
    assert list(answer.index) == exported.head(60)["DR_NO"].to_list()
    assert list(answer["prediction"]) == [CATEGORIES[i] for i in expected.argmax(axis=1)]
    assert list(answer["confidence"]) == pytest.approx(expected.max(axis=1).tolist())
    assert set(answer["information_level"]) == {"report"}


def test_a_level_hides_what_is_above_it(scorer: Scorer, exported: pl.DataFrame) -> None:
    rows = exported.head(20).to_pandas()
    hidden = scorer.predict(rows, params={"level": "call"})
    above = ["Date Rptd", "Vict Age", "Vict Sex", "Vict Descent", "Weapon Used Cd", "Mocodes"]
    assert shares(hidden).tobytes() == shares(scorer.predict(rows.drop(columns=above))).tobytes()
    assert set(hidden["information_level"]) == {"call"}
    plain = scorer.predict(rows, params={"level": "report"})
    assert shares(plain).tobytes() == shares(scorer.predict(rows)).tobytes()


def test_values_of_any_type_mean_the_same(scorer: Scorer) -> None:
    import pandas as pd

    typed = pd.DataFrame(
        {
            "DATE OCC": [pd.Timestamp("2023-03-10")],
            "TIME OCC": [2130],
            "AREA": pd.array([12], "Int64"),
            "Premis Cd": [502.0],
            "Vict Age": pd.array([34], "Float64"),
            "Vict Sex": pd.Categorical(["F"]),
            "Weapon Used Cd": [400.0],
            "Mocodes": [[2000, 416]],
        }
    )
    written = scorer.predict([ROW])
    assert shares(scorer.predict(typed)).tobytes() == shares(written).tobytes()
    dated = [{**ROW, "DATE OCC": dt.date(2023, 3, 10)}]
    assert shares(scorer.predict(dated)).tobytes() == shares(written).tobytes()


def test_every_kind_of_blank_is_blank(scorer: Scorer) -> None:
    import pandas as pd

    blank = shares(scorer.predict([{**ROW, "Vict Age": "", "Premis Cd": ""}]))
    for nothing in (None, float("nan"), pd.NA, pd.NaT):
        answer = scorer.predict(pd.DataFrame([{**ROW, "Vict Age": nothing, "Premis Cd": nothing}]))
        assert shares(answer).tobytes() == blank.tobytes()
    typed = pd.DataFrame([ROW]).assign(**{"Vict Age": pd.array([None], "Int64"), "Premis Cd": ""})
    assert shares(scorer.predict(typed)).tobytes() == blank.tobytes()


def test_what_cannot_be_read_is_said(scorer: Scorer) -> None:
    with pytest.raises(DataError, match="TIME OCC"):
        scorer.predict([{**ROW, "TIME OCC": "25:61"}])
    with pytest.raises(DataError, match="does not hold incidents"):
        scorer.predict([{"a": 1}])
    with pytest.raises(ValueError, match="information level"):
        scorer.predict([ROW], params={"level": "all"})
