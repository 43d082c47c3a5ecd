import csv
import io
from dataclasses import replace

import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.ui import batch
from crimeguard.ui.answer import Answer, BatchAnswer, ModelInfo
from crimeguard.ui.batch import DOWNLOAD_COLUMNS, BatchResult, answer_file
from crimeguard.ui.client import ApiError, Client, NotReadyError
from tests.ui.fake_api import FakeApi, answer_to

ROWS = """DR_NO,DATE OCC,AREA,Premis Cd,LAT,LON
11,01/02/2023,06,108.0,34.1012,-118.3287
12,01/02/2023,06,108,34.1014,-118.3291
13,01/02/2023,1,101,0,0
14,01/02/2023,,,x,-118.2
15,01/03/2023,1,502,34.05,-118.25
"""


def answered(fake: FakeApi, text: str = ROWS, rows_a_part: int = 2) -> BatchResult:
    api = Client(fake.url)
    try:
        return answer_file(api, "a.csv", io.BytesIO(text.encode()), lambda *_: None, rows_a_part)
    finally:
        api.close()


def test_a_file_is_answered_part_by_part(fake_api: FakeApi) -> None:
    result = answered(fake_api)
    assert fake_api.files == [("a.csv", 2), ("a.csv", 2), ("a.csv", 1)]
    assert result.rows == 5
    assert result.counts == {"theft_from_vehicle": 2, "theft": 3}
    assert result.levels == {"Call": 5}
    assert result.model is not None
    assert result.model.version == "7"


def test_the_download_holds_every_row_in_order(fake_api: FakeApi) -> None:
    rows = list(csv.DictReader(io.StringIO(answered(fake_api).download.decode())))
    assert tuple(rows[0]) == DOWNLOAD_COLUMNS
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["DR_NO"] for row in rows] == ["11", "12", "13", "14", "15"]
    assert rows[0]["prediction_set"] == "theft_from_vehicle burglary"
    for row in rows:
        assert row["information_level"] == "call"
        assert sum(float(row[f"p_{name}"]) for name in CATEGORIES) == pytest.approx(1, abs=1e-4)
        assert row["confidence"] == row[f"p_{row['prediction']}"]


def test_places_are_counted_by_hundred_block(fake_api: FakeApi) -> None:
    result = answered(fake_api)
    assert result.placed == 3
    assert result.places == {
        (34.101, -118.329, "theft_from_vehicle"): 2,
        (34.05, -118.25, "theft"): 1,
    }


def test_the_first_rows_are_shown_in_words(fake_api: FakeApi) -> None:
    first, *_, fourth, _ = answered(fake_api).preview
    assert (first["Category"], first["Area"], first["Premise"], first["Level"]) == (
        "Theft from vehicle", "Hollywood", "Parking lot", "Call",
    )  # fmt: skip
    assert (fourth["Area"], fourth["Premise"]) == ("", "")


def test_progress_is_told_part_by_part(fake_api: FakeApi) -> None:
    told: list[tuple[float, int]] = []
    api = Client(fake_api.url)
    answer_file(
        api, "a.csv", io.BytesIO(ROWS.encode()), lambda *now: told.append(now), rows_a_part=2
    )
    api.close()
    assert [rows for _, rows in told] == [2, 4, 5]
    assert told[-1][0] == 1


def test_a_bad_value_is_named_by_its_row_in_the_whole_file(fake_api: FakeApi) -> None:
    with pytest.raises(ApiError) as caught:
        answered(fake_api, ROWS.replace("01/03/2023", "13/45/2023"))
    (problem,) = caught.value.problems
    assert (problem.row, problem.column) == (5, "DATE OCC")
    assert "'13/45/2023' is not a date" in problem.detail


class Stubborn:
    """Refuses so many times before it answers."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def predict_file(self, name: str, content: bytes) -> BatchAnswer:
        if self.refusals:
            self.refusals -= 1
            raise NotReadyError("The prediction service is not ready to answer.")
        answer = Answer.read(answer_to({}))
        return BatchAnswer((answer,) * (content.count(b"\n") - 1), ModelInfo("m", "1", ""))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("crimeguard.ui.batch.time.sleep", waited.append)
    return waited


def test_a_busy_service_is_asked_again(waits: list[float]) -> None:
    result = answer_file(Stubborn(2), "a.csv", io.BytesIO(ROWS.encode()), lambda *_: None)
    assert result.rows == 5
    assert waits == list(batch.WAITS[:2])


def test_a_service_that_stays_busy_is_given_up(waits: list[float]) -> None:
    with pytest.raises(NotReadyError):
        answer_file(Stubborn(99), "a.csv", io.BytesIO(ROWS.encode()), lambda *_: None)
    assert waits == list(batch.WAITS)


def test_another_number_of_answers_is_refused() -> None:
    class Short(Stubborn):
        def predict_file(self, name: str, content: bytes) -> BatchAnswer:
            whole = super().predict_file(name, content)
            return replace(whole, answers=whole.answers[1:])

    with pytest.raises(ApiError, match="another number of rows"):
        answer_file(Short(0), "a.csv", io.BytesIO(ROWS.encode()), lambda *_: None)
