"""The pages' logic, run by Streamlit's own test harness against the stand-in API."""

import io
import json
from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from crimeguard.serve.app import create_app
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from crimeguard.ui import shell
from crimeguard.ui.launch import SCRIPT
from tests.retrain.api import listening
from tests.serve.fakes import FakePredictor
from tests.ui.fake_api import FakeApi, problem

CONSOLE, ENTRY = make_key("console", [Scope.PREDICT])
ROWS = b"""DR_NO,DATE OCC,AREA,Premis Cd,LAT,LON
1,01/02/2023,6,108,34.1,-118.3
2,01/02/2023,6,101,0,0
"""


def predict_page() -> None:
    from crimeguard.ui import page_predict

    page_predict.page()


def batch_page() -> None:
    from crimeguard.ui import page_batch

    page_batch.page()


def about_page() -> None:
    from crimeguard.ui import page_about

    page_about.page()


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def api(fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    monkeypatch.setenv("CRIMEGUARD_API_URL", fake_api.url)
    return fake_api


@pytest.fixture(scope="module")
def locked_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real API, which lets in the console's key alone."""
    settings = Settings(home=tmp_path_factory.mktemp("locked"), api_keys=ENTRY.entry())
    with listening(create_app(settings, Slot(FakePredictor()))) as url:
        yield url


@pytest.fixture
def use_key(locked_api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that lets the console show a key to the real API."""
    monkeypatch.setenv("CRIMEGUARD_API_URL", locked_api)
    yield lambda key: monkeypatch.setenv("CRIMEGUARD_API_KEY", key)
    shell.client().close()


def said(app: AppTest) -> str:
    shown = [*app.markdown, *app.caption, *app.subheader, *app.title, *app.error, *app.warning]
    return "\n".join(str(item.value) for item in shown)


def run(app: AppTest) -> AppTest:
    app.run(timeout=20)
    assert not app.exception
    return app


def predict(app: AppTest, **values: object) -> AppTest:
    run(app)
    for key, value in values.items():
        widget = next(
            item
            for item in [*app.selectbox, *app.number_input, *app.date_input, *app.multiselect]
            if item.key == key
        )
        widget.set_value(value)
    app.button[-1].click()
    return run(app)


def test_a_filled_form_is_answered(api: FakeApi) -> None:
    app = predict(AppTest.from_function(predict_page), area=6, premise=108)
    (record,) = api.asked
    assert record.keys() == {"date_occ", "area", "premis_cd"}
    assert [metric.value for metric in app.metric] == [
        "Theft from vehicle",
        "74\N{NO-BREAK SPACE}%",
    ]
    words = said(app)
    assert "One of theft from vehicle or burglary." in words
    assert "90\N{NO-BREAK SPACE}% of incidents" in words
    assert "Information level: Call." in words
    assert "crimeguard, version 7" in words
    assert not app.error


def test_what_is_filled_raises_the_information_level(api: FakeApi) -> None:
    app = predict(AppTest.from_function(predict_page), area=6, weapon="", mo=[344], age=30)
    (record,) = api.asked
    assert record["weapon_used_cd"] is None
    assert record["mocodes"] == [344]
    assert record["vict_age"] == 30
    assert "Information level: Report." in said(app)


def test_a_form_without_a_place_is_not_sent(api: FakeApi) -> None:
    app = predict(AppTest.from_function(predict_page), premise=108)
    assert api.asked == []
    assert "Please say where it happened." in app.error[0].value
    assert not app.metric


def test_an_old_answer_does_not_stay_beside_an_error(api: FakeApi) -> None:
    app = predict(AppTest.from_function(predict_page), area=6)
    assert app.metric
    api.instead = problem(422, "The body does not describe incidents",
                          {"pointer": "/area", "detail": "'99' is no area."})  # fmt: skip
    predict(app)
    assert not app.metric
    assert "The body does not describe incidents." in app.error[-1].value
    assert "Police area: '99' is no area." in app.error[-1].value


@pytest.mark.parametrize("page", [predict_page, batch_page, about_page])
def test_every_page_says_that_the_service_is_down(
    page: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRIMEGUARD_API_URL", "http://127.0.0.1:1")
    app = run(AppTest.from_function(page))  # type: ignore[arg-type]
    assert "cannot be reached" in app.error[0].value
    assert "crimeguard serve" in app.error[0].value
    assert any(button.label == "Check again" for button in app.button)


@pytest.mark.parametrize("page", [predict_page, batch_page, about_page])
def test_every_page_says_that_the_service_is_starting(page: object, api: FakeApi) -> None:
    api.status = "starting"
    app = run(AppTest.from_function(page))  # type: ignore[arg-type]
    assert "not ready to answer yet" in app.warning[0].value


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        (problem(503, "No model is loaded yet."), "not ready to answer"),
        ((500, "text/html", "<h1>Traceback</h1>"), "HTTP 500"),
        ((200, "text/html", "hello"), "does not speak like CrimeGuard"),
        ((200, "application/json", json.dumps({"prediction": "theft"})), "does not speak like"),
    ],
)
def test_a_failing_service_is_a_sentence_and_never_a_traceback(
    api: FakeApi, instead: tuple[int, str, str], words: str
) -> None:
    app = AppTest.from_function(predict_page)
    run(app)
    api.instead = instead
    app = predict(app, area=6)
    assert words in app.error[-1].value
    assert "Traceback" not in said(app)


@pytest.mark.parametrize("page", [predict_page, batch_page, about_page])
@pytest.mark.parametrize(
    "key", ["", make_key("another", [Scope.PREDICT])[0]], ids=["none", "wrong"]
)
def test_every_page_says_at_once_that_a_key_is_needed(
    page: Callable[[], None], key: str, use_key: Callable[[str], None]
) -> None:
    use_key(key)
    app = run(AppTest.from_function(page))
    (error,) = app.error
    assert "asks for a key" in error.value
    assert r"CRIMEGUARD\_API\_KEY" in error.value
    assert not key or key not in said(app)


def test_with_its_key_the_console_is_answered(use_key: Callable[[str], None]) -> None:
    use_key(CONSOLE)
    app = predict(AppTest.from_function(predict_page), area=6, premise=108)
    assert not app.error
    assert app.metric


def upload(content: bytes, name: str = "day.csv") -> AppTest:
    app = run(AppTest.from_function(batch_page))
    app.file_uploader[0].set_value((name, content, "text/csv"))
    run(app)
    next(button for button in app.button if button.key == "start").click()
    return run(app)


def test_a_file_is_answered_with_summary_rows_and_download(api: FakeApi) -> None:
    app = upload(ROWS)
    assert api.files == [("day.csv", 2)]
    summary = app.table[0].value
    assert summary.loc["Rows answered"].item() == "2"
    assert summary.loc["Rows with a place"].item() == "1"
    assert summary.loc["Model"].item() == "crimeguard, version 7"
    assert list(app.dataframe[0].value["Category"]) == ["Theft from vehicle", "Theft"]
    assert app.download_button[0].label == "Download predictions as CSV"
    assert [box.options for box in app.selectbox if box.key == "shown"] == [
        ["All categories", "Theft from vehicle", "Theft"]
    ]


def test_a_file_without_points_has_no_map_but_a_sentence(api: FakeApi) -> None:
    app = upload(b"DATE OCC,AREA\n01/02/2023,6\n")
    assert "No row of this file has a latitude and a longitude." in said(app)


def test_a_refused_file_is_said_with_row_and_column(api: FakeApi) -> None:
    app = upload(ROWS + b"3,13/45/2023,6,108,0,0\n" + b"4,soon,6,108,0,0\n" * 7)
    words = app.error[0].value
    assert "holds values that cannot be understood" in words
    assert "- Row 3, Date: '13/45/2023' is not a date (MM/DD/YYYY or YYYY-MM-DD)." in words
    assert "- and 3 more" in words
    assert not app.table


def test_a_damaged_file_is_said(api: FakeApi) -> None:
    app = upload(b"no gzip", "day.csv.gz")
    assert "day.csv.gz is a damaged gzip file." in app.error[0].value
    assert api.files == []


def test_another_file_does_not_keep_the_first_ones_result(api: FakeApi) -> None:
    app = upload(ROWS)
    app.file_uploader[0].set_value(("other.csv", ROWS, "text/csv"))
    run(app)
    assert not app.table


def test_the_card_is_readable(api: FakeApi) -> None:
    app = run(AppTest.from_function(about_page))
    words = said(app)
    assert "never ranks places or people" in words
    titles = {item.value for item in app.subheader}
    assert {"Training window", "Not to be used for", "Measured on"} <= titles
    tables = [table.value for table in app.table]
    assert any("Accuracy" in table.columns for table in tables)


def test_the_app_opens_on_the_predict_page(api: FakeApi) -> None:
    app = run(AppTest.from_file(str(SCRIPT), default_timeout=20))
    assert app.title[0].value == "Predict one incident"


def test_a_download_is_the_whole_result(api: FakeApi) -> None:
    app = upload(ROWS)
    kept = app.session_state["batch"][1]
    assert kept.download.count(b"\n") == 3
    assert io.BytesIO(kept.download).readline().startswith(b"row,DR_NO,prediction,")
