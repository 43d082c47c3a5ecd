from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from crimeguard.domain.errors import DataError
from crimeguard.monitor.report import METHODS, TITLE, Kind, Values, drift_report

KINDS: dict[str, Kind] = {
    "moved": "numeric", "still": "numeric", "constant": "numeric", "lost": "numeric",
    "never": "numeric", "absent": "numeric", "code": "categorical", "wide": "categorical",
    "one": "categorical", "prediction": "categorical", "label": "categorical",
}  # fmt: skip


def frame(rows: int, *, seed: int, shift: float = 0.0, code: str = "c") -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "moved": random.normal(shift, 1, rows),
            "still": random.normal(0, 1, rows),
            "constant": [1] * rows,
            "lost": pl.Series(
                [None] * rows if shift else random.integers(0, 9, rows), dtype=pl.Int64
            ),
            "never": pl.Series([None] * rows, dtype=pl.Int32),
            "code": random.choice(["a", "b", code], rows),
            "wide": random.integers(0, 500, rows),
            "one": ["x"] * rows,
            "prediction": random.choice(["theft", "burglary"], rows),
            "label": pl.Series(["theft", None] * (rows // 2) + ["theft"] * (rows % 2)),
        }
    )


REFERENCE = frame(3_000, seed=1)
WINDOW = frame(2_000, seed=2, shift=0.5, code="new")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drift") / "deeper" / "evidently.html"


@pytest.fixture(scope="module")
def values(path: Path) -> Values:
    return drift_report(REFERENCE, WINDOW, KINDS, html=path)


def test_every_column_has_the_values_of_its_methods(values: Values) -> None:
    assert list(values) == list(KINDS)
    for name in ("moved", "still", "constant"):
        assert values[name].keys() == set(METHODS["numeric"])
    for name in ("code", "wide", "prediction"):
        assert values[name].keys() == set(METHODS["categorical"])
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_the_values_are_those_of_the_methods_by_name(values: Values) -> None:
    before, after = REFERENCE["moved"].to_numpy(), WINDOW["moved"].to_numpy()
    found = values["moved"]
    assert found["wasserstein"] == pytest.approx(
        stats.wasserstein_distance(before, after) / before.std()
    )
    assert found["ks"] == pytest.approx(stats.ks_2samp(before, after).pvalue)
    known = values["prediction"]
    counts = [frame["prediction"].value_counts().sort("prediction")["count"].to_numpy()
              for frame in (REFERENCE, WINDOW)]  # fmt: skip
    expected = counts[0] * WINDOW.height / REFERENCE.height
    assert known["chisquare"] == pytest.approx(stats.chisquare(counts[1], expected).pvalue)


def test_what_moved_is_told_from_what_did_not(values: Values) -> None:
    assert values["moved"]["wasserstein"] > 0.4 > 0.1 > values["still"]["wasserstein"]
    assert values["moved"]["ks"] < 1e-6 < values["still"]["ks"]
    assert values["moved"]["jensenshannon"] > 2 * values["still"]["jensenshannon"]
    assert values["code"]["jensenshannon"] > 0.4
    assert values["prediction"]["jensenshannon"] < 0.05
    assert values["constant"] == {"wasserstein": 0, "ks": 1, "jensenshannon": 0}
    assert values["one"] == {"jensenshannon": 0}


def test_a_column_that_went_missing_is_compared_as_that(values: Values) -> None:
    assert values["lost"]["jensenshannon"] == pytest.approx(np.sqrt(np.log(2)))
    assert values["lost"]["chisquare"] == 0
    assert values["never"] == {"jensenshannon": 0}
    assert values["absent"] == {}


def test_a_label_that_is_not_there_yet_is_no_drift(values: Values) -> None:
    assert values["label"]["jensenshannon"] == 0
    unlabelled = WINDOW.with_columns(label=pl.lit(None, pl.String))
    found = drift_report(REFERENCE, unlabelled, {"label": "categorical"}, html=None)
    assert found == {"label": {}}
    strict = drift_report(REFERENCE, unlabelled, {"label": "categorical"}, html=None, sparse=())
    assert strict["label"]["jensenshannon"] > 0.4


def test_the_page_is_whole_and_loads_nothing(values: Values, path: Path) -> None:
    page = path.read_text()
    assert f"<title>{TITLE}</title>" in page
    assert f"{REFERENCE.height:,} incidents of the reference and {WINDOW.height:,}" in page
    assert not re.search(r"""<(script|link|img|iframe)\b[^>]*\b(src|href)\s*=""", page)
    assert not re.search(r"""url\(\s*['"]?https?:|@import\s+(url|['"])""", page)
    assert "default-src &#x27;none&#x27;" in page
    assert 3e6 < len(page) < 8e6
    for name in ("moved", "code", "prediction", "lost"):
        assert f'"{name}"' in page
    # What is rare is one bar, so that a field with hundreds of codes can be looked at.
    assert "(other)" in page


@pytest.mark.browser
def test_the_page_shows_itself_in_a_browser_without_asking_for_anything(
    values: Values, path: Path
) -> None:
    import shutil

    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium (apt-get install chromium)")
    asked, wrong = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.goto(path.as_uri())
        page.get_by_text("Dataset Drift", exact=True).first.wait_for()
        page.get_by_text("prediction", exact=True).first.wait_for()
        assert page.title() == TITLE
        browser.close()
    assert asked == [path.as_uri()]
    assert wrong == []


@pytest.mark.parametrize("sizes", [(1, 1), (1, 50), (50, 1)])
def test_a_handful_of_rows_is_no_error(sizes: tuple[int, int], tmp_path: Path) -> None:
    before, after = REFERENCE.head(sizes[0]), WINDOW.head(sizes[1])
    found = drift_report(before, after, KINDS, html=tmp_path / "few.html")
    json.dumps(found, allow_nan=False)
    assert found["constant"]["wasserstein"] == 0
    assert (tmp_path / "few.html").stat().st_size > 3e6


def test_columns_of_one_kind_or_none_are_no_error(tmp_path: Path) -> None:
    assert drift_report(REFERENCE, WINDOW, {"moved": "numeric"}, html=None)["moved"]
    assert drift_report(REFERENCE, WINDOW, {"code": "categorical"}, html=None)["code"]
    path = tmp_path / "none.html"
    assert drift_report(REFERENCE, WINDOW, {"absent": "numeric"}, html=path) == {"absent": {}}
    assert TITLE in path.read_text()


def test_a_text_cannot_become_a_part_of_the_page(tmp_path: Path) -> None:
    bad = "</script><script>alert(1)</script>"
    frame = pl.DataFrame({"code": [bad, "b"] * 20})
    drift_report(frame, frame, {"code": "categorical"}, html=tmp_path / "bad.html")
    assert "<script>alert(1)" not in (tmp_path / "bad.html").read_text()


def test_infinite_numbers_are_not_known() -> None:
    before = pl.DataFrame({"x": [1.0, 2.0, float("inf"), float("nan")] * 5})
    after = pl.DataFrame({"x": [1.0, 2.0] * 5})
    found = drift_report(before, after, {"x": "numeric"}, html=None)
    assert found["x"] == {"wasserstein": 0, "ks": 1, "jensenshannon": 0}


def test_the_rows_are_bounded_and_drawn_by_the_seed() -> None:
    kinds: dict[str, Kind] = {"moved": "numeric"}
    first, again, other = (
        drift_report(REFERENCE, WINDOW, kinds, html=None, rows=200, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_frame_without_rows_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(DataError, match="current window has no rows"):
        drift_report(REFERENCE, WINDOW.clear(), KINDS, html=path)
    with pytest.raises(DataError, match="reference has no rows"):
        drift_report(REFERENCE.clear(), WINDOW, KINDS, html=path)
    assert not path.exists()


def test_nothing_is_said_and_nobody_called(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drift_report(REFERENCE.head(3), WINDOW.head(2), {"still": "numeric"}, html=None)
    assert os.environ["DO_NOT_TRACK"]
    assert capfd.readouterr() == ("", "")


def test_evidently_is_loaded_only_when_a_report_is_made() -> None:
    code = (
        "import sys; import crimeguard.monitor.report; "
        "sys.exit(any(name in sys.modules for name in ('evidently', 'pandas', 'plotly')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
