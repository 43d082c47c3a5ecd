import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from crimeguard.validate.quality import measure_quality
from crimeguard.validate.quality_page import quality_page
from tests.validate.rows import AS_OF
from tests.validate.test_quality import QUARANTINE, in_march, many, quality

VOID = {"meta", "wbr", "br", "rect"}


class Balanced(HTMLParser):
    """Raises where an element is closed that is not the last one opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID - {"rect"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] not in {"style", "title"}:
            self.texts.append(data.strip())


def read(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_page_is_complete_and_needs_nothing(tmp_path: Path) -> None:
    frame = in_march(many(), 0.3, vict_sex=pl.lit(None), premis_cd=pl.lit(777))
    report = quality(frame, tmp_path, quarantine=[QUARANTINE])
    page = quality_page(report)
    words = " ".join(read(page).texts)
    for heading in ("Findings", "Rows a day", "Completeness", "The contract, row by row", "Codes",
                    "Late reports", "Volume by area", "Nothing lost", "All months"):  # fmt: skip
        assert heading in words
    for said in (report.verdict, "2023-01 to 2023-04", "777", "crm_cd_known", "1 Central",
                 "1 of 4 months", "vict_sex_complete"):  # fmt: skip
        assert said in words
    assert not re.search(r"https?:|src=|@import|url\(|<script", page)
    assert "prefers-color-scheme: dark" in page
    # Numbers and names are text; a drawing may be stretched.
    assert "<text" not in page


def test_every_month_has_its_bar_and_the_worse_one_another_colour(tmp_path: Path) -> None:
    page = quality_page(quality(in_march(many(), 0.3, vict_sex=pl.lit(None)), tmp_path))
    row = next(line for line in page.split("<tr>") if "vict_<wbr>sex<" in line)
    bars = re.findall(r'<rect class="([^"]*)" .*?<title>(2023-\d\d): ([\d.]+)%', row)
    assert [month for _, month, _ in bars] == ["2023-01", "2023-02", "2023-03", "2023-04"]
    assert [tone for tone, _, _ in bars] == ["", "", "is-warning", "is-young"]
    assert float(bars[2][2]) < 80 < float(bars[1][2])


def test_a_gap_is_a_gap(tmp_path: Path) -> None:
    frame = many().filter(pl.col("date_occ").dt.month() != 2)
    page = quality_page(quality(frame, tmp_path))
    assert "months without rows" in page
    assert 'viewBox="0 0 4 100"' in page
    assert "<title>2023-02" not in page


@pytest.mark.parametrize("frame", [
    many().select("dr_no", "date_occ", "lat", "lon"),
    many().head(1).drop("date_rptd"),
], ids=["no codes, no reports", "one row"])  # fmt: skip
def test_what_is_not_there_leaves_no_hole(frame: pl.DataFrame, tmp_path: Path) -> None:
    words = " ".join(read(quality_page(quality(frame, tmp_path))).texts)
    assert "Late reports" not in words
    assert "None" not in words
    assert "nan" not in words.split()


def test_a_source_is_never_taken_for_markup(tmp_path: Path) -> None:
    from crimeguard.ingest.snapshot import write_snapshot

    kept = write_snapshot(many(), tmp_path, source="<script>alert(1)</script>")
    page = quality_page(measure_quality(kept, as_of=AS_OF))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_shares_are_written_so_that_little_is_not_nothing() -> None:
    from crimeguard.validate.quality_page import _percent

    assert [_percent(share) for share in (0, 0.0004, 0.0123, 0.9996, 1)] == [
        "0.0 %", "< 0.1 %", "1.2 %", "> 99.9 %", "100.0 %",
    ]  # fmt: skip
