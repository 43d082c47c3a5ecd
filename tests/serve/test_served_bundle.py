"""The API with a real bundle behind it, as small as it may be."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import BundleError
from crimeguard.serve import server
from crimeguard.serve.answers import BatchAnswer, CardAnswer, PredictionAnswer
from crimeguard.serve.app import create_app
from crimeguard.serve.follower import Follower
from crimeguard.serve.slot import Predicts, Slot
from crimeguard.serve.warm import warm
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakeRegistry

SHARES = [f"p_{category}" for category in CATEGORIES]


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Predicts:
    return server.load(tiny_bundle)


@pytest.fixture
def real(settings: Settings, predictor: Predicts) -> Iterator[Client]:
    app = create_app(settings, Slot(predictor))
    yield Client(app)
    app.state.service.close()


def table_of(client: Client, frame: pl.DataFrame, query: str = "") -> pl.DataFrame:
    """Upload rows and return the table that is answered."""
    answer = client.post(
        f"/predict/batch{query}", files={"file": ("rows.csv", frame.write_csv())},
        headers={"Accept": "text/csv"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    table = pl.read_csv(io.BytesIO(answer.content), schema_overrides={"DR_NO": pl.String})
    assert table["prediction_id"].n_unique() == frame.height
    return table.drop("prediction_id")


def test_it_answers_known_incidents(predictor: Predicts) -> None:
    warm(predictor)


def test_rows_of_the_portal_are_answered_as_they_are(real: Client, exported: pl.DataFrame) -> None:
    for row in exported.head(20).iter_rows(named=True):
        answer = real.post("/predict", json=row)
        assert answer.status_code == 200, answer.text
        document = PredictionAnswer.model_validate_json(answer.text)
        assert document.information_level == "report"
        assert {"Crm Cd", "Status", "Part 1-2", "DR_NO"} <= set(document.ignored_fields)


@pytest.mark.parametrize("level", ["call", "victim", "report"])
def test_a_file_a_list_and_single_incidents_get_the_same_answers(
    real: Client, exported: pl.DataFrame, level: str
) -> None:
    rows = exported.sample(40, seed=1)
    table = table_of(real, rows, f"?level={level}")
    assert table["DR_NO"].to_list() == rows["DR_NO"].to_list()
    records = [{**row, "information_level": level} for row in rows.iter_rows(named=True)]
    listed = BatchAnswer.model_validate_json(real.post("/predict/batch", json=records).text)
    for place, record in enumerate(records):
        single = PredictionAnswer.model_validate_json(real.post("/predict", json=record).text)
        many = listed.predictions[place]
        assert single.information_level == many.information_level == level
        assert single.prediction_set == many.prediction_set
        shares = [single.probabilities[category] for category in many.probabilities]
        assert list(many.probabilities.values()) == pytest.approx(shares, abs=1e-9)
        assert table.select(SHARES).row(place) == pytest.approx(shares, abs=1e-9)


def test_shuffling_what_the_model_may_not_see_changes_nothing(
    real: Client, exported: pl.DataFrame
) -> None:
    rows = exported.head(200)
    forbidden = ["Crm Cd", "Crm Cd Desc", "Crm Cd 1", "Part 1-2", "Status", "Status Desc"]
    shuffled = rows.with_columns(pl.col(name).shuffle(seed=5) for name in forbidden)
    assert not rows["Crm Cd"].equals(shuffled["Crm Cd"])
    tables = [table_of(real, asked) for asked in (rows, shuffled)]
    assert tables[0].equals(tables[1])


def test_the_card_is_that_of_the_bundle(real: Client, predictor: Predicts) -> None:
    answer = CardAnswer.model_validate_json(real.get("/model").text)
    assert answer.card == predictor.bundle.card
    assert answer.model_info.sha256 == predictor.bundle.sha256


@pytest.mark.parametrize("file", ["linear.npy", "card.json", "golden.json", "manifest.json"])
def test_one_changed_byte_and_the_old_bundle_stays(
    tiny_bundle: Path, tmp_path: Path, file: str
) -> None:
    class Copies(FakeRegistry):
        def fetch(self, alias: str, into: Path) -> Path | None:
            folder = into / f"v{self.version}"
            shutil.copytree(tiny_bundle, folder)
            if self.version == "2":
                content = bytearray((folder / file).read_bytes())
                content[len(content) // 2] ^= 1
                (folder / file).write_bytes(content)
            return folder

    registry, slot = Copies("1"), Slot()
    follower = Follower(
        slot, connect=lambda: registry, load=server.load, cache=tmp_path / "served", every=1
    )
    follower.look()
    before = slot.require()
    registry.version = "2"
    follower.look()
    assert slot.require() is before
    assert follower.state.state == "refused"


def test_a_cached_bundle_that_was_damaged_is_not_restored(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_bundle, folder)
    (folder / "pool.json").write_text("{}")
    with pytest.raises(BundleError):
        server.load(folder)


_SERVES = """
import json, sys
from pathlib import Path
from crimeguard.serve import app, server
from crimeguard.serve.slot import Slot
from crimeguard.serve.warm import warm
from crimeguard.settings import Settings
predictor = server.load(Path(sys.argv[1]))
warm(predictor)
app.create_app(Settings(home=Path(sys.argv[2])), Slot(predictor))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
_TRAINERS = {"lightgbm", "xgboost", "sklearn", "pandas", "pyarrow", "mlflow", "matplotlib",
             "evidently", "deepchecks", "pandera", "streamlit", "dvc"}  # fmt: skip


def test_what_serves_imports_nothing_that_only_trains(tiny_bundle: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SERVES, str(tiny_bundle), str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    imported = set(json.loads(done.stdout))
    assert {"numpy", "polars", "fastapi"} <= imported
    assert imported & _TRAINERS == set()
