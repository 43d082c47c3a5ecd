"""What a person does in the console, in a real browser; the API is the stand-in."""

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Console, served

pytestmark = pytest.mark.browser

NBSP = "\N{NO-BREAK SPACE}"
PAGES = ("/", "/batch", "/about")


def choose(page: Page, label: str, typed: str) -> None:
    """Pick from a list by typing a part of the name."""
    box = page.get_by_label(label, exact=True).first
    box.click()
    box.fill(typed)
    page.get_by_role("option").first.wait_for()
    box.press("Enter")


def table(path: Path, rows: int) -> Path:
    head = "DR_NO,DATE OCC,TIME OCC,AREA,Premis Cd,LAT,LON\n"
    body = (
        f"{n},01/02/2023 12:00:00 AM,0130,{n % 21 + 1:02d},{101 + n % 2 * 7},34.0{n % 10},-118.3\n"
        for n in range(rows)
    )
    path.write_text(head + "".join(body))
    return path


def test_an_incident_is_predicted_by_names(console: Console, page: Page) -> None:
    page.goto(console.url)
    choose(page, "Police area", "Holly")
    choose(page, "Premise", "Parking lot")
    page.get_by_role("button", name="Predict category").click()
    expect(page.get_by_test_id("stMetricValue").first).to_have_text("Theft from vehicle")
    expect(page.get_by_test_id("stMetricValue").nth(1)).to_have_text(f"74{NBSP}%")
    expect(page.get_by_text("One of theft from vehicle or burglary.")).to_be_visible()
    expect(page.get_by_text("Information level: Call.")).to_be_visible()
    expect(page.locator(".js-plotly-plot .ytick")).to_have_count(15)
    expect(page.get_by_test_id("stDeckGlJsonChart").locator("canvas").first).to_be_visible()
    assert console.api.asked[-1].keys() == {"date_occ", "area", "premis_cd"}
    assert console.api.asked[-1]["area"] == 6
    assert console.api.asked[-1]["premis_cd"] == 108


def test_a_file_is_predicted_and_downloaded(console: Console, page: Page, tmp_path: Path) -> None:
    page.goto(f"{console.url}/batch")
    page.locator("input[type=file]").set_input_files(table(tmp_path / "march.csv", 12_000))
    console.api.delay = 0.5
    try:
        page.get_by_role("button", name="Predict categories").click()
        for rows in ("5,000", "10,000"):
            expect(page.get_by_text(f"{rows} rows answered")).to_be_visible()
        expect(page.get_by_role("cell", name="12,000").first).to_be_visible()
    finally:
        console.api.delay = 0
    expect(page.get_by_test_id("stProgress")).to_have_count(0)
    expect(page.get_by_text("Most common category")).to_be_visible()
    expect(page.get_by_test_id("stDeckGlJsonChart").locator("canvas").first).to_be_visible()
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download predictions as CSV").click()
    assert download.value.suggested_filename == "march-predictions.csv"
    rows_out = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["DR_NO"] for row in rows_out] == [str(n) for n in range(12_000)]


def test_a_wrong_value_is_named_by_row_and_column(
    console: Console, page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("DATE OCC,AREA\n01/02/2023,6\nsoon,6\n")
    page.goto(f"{console.url}/batch")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Predict categories").click()
    alert = page.get_by_test_id("stAlert")
    expect(alert.get_by_text("bad.csv holds values that cannot be understood")).to_be_visible()
    expect(alert.get_by_text("Row 2, Date: 'soon' is not a date")).to_be_visible()


def test_a_service_that_is_down_is_a_sentence_with_a_way_on(browser: Browser, page: Page) -> None:
    assert browser.is_connected()
    with served("http://127.0.0.1:1") as url:
        for path in PAGES:
            page.goto(f"{url}{path}")
            alert = page.get_by_test_id("stAlert").first
            expect(alert).to_contain_text("http://127.0.0.1:1 cannot be reached.")
            expect(alert).to_contain_text("Start it with crimeguard serve and try again.")
            expect(page.get_by_role("button", name="Check again")).to_be_visible()
            expect(page.get_by_test_id("stException")).to_have_count(0)


def test_the_pages_lead_to_one_another(console: Console, page: Page) -> None:
    page.goto(console.url)
    for name, title in (
        ("Batch", "Predict a file"), ("About", "About"), ("Predict", "Predict one incident"),
    ):  # fmt: skip
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    page.goto(f"{console.url}/about")
    expect(page.get_by_text("It never ranks places or people")).to_be_visible()
    expect(page.get_by_role("cell", name="0.876")).to_be_visible()


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_a_phone(console: Console, narrow_page: Page, path: str) -> None:
    narrow_page.goto(f"{console.url}{path}")
    expect(narrow_page.get_by_role("heading", level=1)).to_be_visible()
    narrow_page.wait_for_load_state("networkidle")
    width = narrow_page.evaluate("document.scrollingElement.scrollWidth")
    main = narrow_page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert max(width, main) <= 390
