from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from crimeguard.monitor.page import drift_page

VERDICT: dict[str, Any] = {
    "at": "2023-03-20T06:00:00+00:00", "bundle": "ab12" * 16, "status": "critical",
    "score": 0.71, "rows": 12_345, "first": "2023-03-13", "last": "2023-03-19",
    "components": [
        {"name": "vict_sex", "kind": "field", "score": 0.12, "status": "ok", "distance": 0.01,
         "critical_distance": 0.1, "significant": False, "measures": {},
         "words": "F: 40 % -> 41 %"},
        {"name": "premis_cd", "kind": "field", "score": 0.71, "status": "critical",
         "distance": 0.25, "critical_distance": 0.1, "significant": True,
         "measures": {"jensen_shannon": 0.2543, "chi_square_p": 1.5e-40},
         "words": "501: 2 % -> 9 %"},
        {"name": "area", "kind": "field", "score": 0.4, "status": "warning", "distance": 0.07,
         "critical_distance": 0.1, "significant": True, "measures": {}, "words": "8: 5 % -> 7 %"},
        {"name": "hour ~ lat", "kind": "correlation", "score": 0.0, "status": "ok",
         "distance": 0.0, "critical_distance": 0.2, "significant": False, "measures": {},
         "words": "+0.01 -> +0.01"},
        {"name": "volume", "kind": "volume", "score": 0.2, "status": "ok", "distance": 0.1,
         "critical_distance": 0.4, "significant": True, "measures": {"ratio": 1.1},
         "words": "540 -> 594 incidents a day"},
    ],
    "performance": {
        "expected": 0.874, "estimated": {"value": 0.861, "low": 0.853, "high": 0.869},
        "realised": {"value": 0.842, "low": 0.831, "high": 0.853, "labels": 4_321},
    },
    "labels": 4_321,
    "reference": {"incidents": 31_500},
    "shares": {
        "prediction": {"reference": {"theft": 0.4, "burglary": 0.1},
                       "current": {"theft": 0.25, "robbery": 0.05}},
        "label": {"reference": {"theft": 0.39}, "current": {"theft": 0.26}},
    },
    "daily": {"2023-03-13": 500, "2023-03-14": 1_000},
}  # fmt: skip


class Elements(HTMLParser):
    """The texts of cells by row, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.rows[-1][-1] += data


def read(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    assert not elements.open
    return elements


@pytest.fixture(scope="module")
def page() -> str:
    return drift_page(VERDICT, {"window from": "the log"}, evidently="evidently.html")


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert not re.search(r"https?://|<script|<link|@import|url\(|src=", page)
    assert re.findall(r'href="([^"]*)"', page) == ["evidently.html"]


def test_fields_stand_by_falling_score_with_bar_and_measures(page: str) -> None:
    elements = read(page)
    rows = {row[0]: row for row in elements.rows if row}
    order = [name for name in rows if name in ("vict_sex", "premis_cd", "area")]
    assert order == ["premis_cd", "area", "vict_sex"]
    assert rows["premis_cd"][1] == "0.71"
    assert rows["premis_cd"][3:7] == ["critical", "0.25", "0.1", "501: 2 % -> 9 %"]
    assert rows["premis_cd"][7] == "showjensen shannon 0.254chi square p 1.5e-40"
    assert "chance explains it" in rows["vict_sex"][6]
    marks = [attrs for tag, attrs in elements.tags if attrs.get("class") == "mark"]
    assert {mark["x1"] for mark in marks} == {"30.0", "50.0"}
    widths = [attrs["width"] for tag, attrs in elements.tags
              if tag == "rect" and attrs.get("fill") == "var(--tone)"]  # fmt: skip
    assert widths[:3] == ["71.0", "40.0", "12.0"]


def test_status_performance_and_window_are_told(page: str) -> None:
    assert "<strong>critical</strong><span>drift score 0.71</span>" in page
    assert "12,345 incidents, 2023-03-13 to 2023-03-19" in page
    assert "the log" in page
    rows = {row[0]: row for row in read(page).rows if row}
    assert rows["expected"][1] == "87.4%"
    assert rows["estimated"][1:3] == ["86.1%", "85.3% to 86.9%"]
    assert rows["realised"][1:4] == ["84.2%", "83.1% to 85.3%", "from the labels, 4,321 incidents"]
    assert "4,321 incidents of the window have a mature label" in page


def test_shares_and_days_are_drawn(page: str) -> None:
    assert "theft: 40.0%, now 25.0%" in page
    assert "robbery: 0.0%, now 5.0%" in page
    assert "2023-03-14: 1,000" in page
    bars = [attrs for tag, attrs in read(page).tags
            if tag == "rect" and attrs.get("class") == "before"]  # fmt: skip
    # The widest takes all of the drawing, the others their part of it.
    assert [bar["width"] for bar in bars[:3]] == ["400.0", "100.0", "0.0"]


@pytest.mark.parametrize("status", ["ok", "warning", "critical", "too few"])
def test_every_status_has_words(status: str) -> None:
    page = drift_page({"status": status}, {})
    assert f"<strong>{status}</strong>" in page
    assert re.search(r"<strong>.*?</strong><span>[A-Z].*?\.</span>", page)


def test_a_verdict_without_parts_is_a_page() -> None:
    page = drift_page({"status": "too few", "score": None, "rows": 3, "components": [],
                       "performance": None, "first": None, "last": None}, {})  # fmt: skip
    read(page)
    assert "too few incidents" in page
    assert "3 incidents" in page
    assert "Nothing was compared." in page
    assert "Accuracy" not in page
    assert "Evidently" not in page
    read(drift_page({}, {}))


def test_components_without_parts_and_of_new_kinds_are_shown() -> None:
    page = drift_page({"status": "ok", "components": [{"name": "bare"}, {"kind": "moon"}]}, {})
    rows = [row for row in read(page).rows if row and row[0] in ("bare", "?")]
    assert len(rows) == 2
    assert "Others" in page


def test_a_part_of_the_performance_is_enough() -> None:
    page = drift_page({"performance": {"realised": None, "estimated": {"value": 0.5}}}, {})
    assert "50.0% to 50.0%" in page
    assert "realised" not in page


def test_what_is_told_is_escaped() -> None:
    bad = "<script>alert(1)</script>"
    verdict = json.loads(json.dumps(VERDICT).replace("premis_cd", bad).replace("theft", bad))
    page = drift_page(verdict, {bad: bad}, evidently=bad)
    assert "<script" not in page


def test_the_verdict_of_a_real_window_is_a_page() -> None:
    from crimeguard.monitor.component import Component

    item = Component("area", "field", 0.2, 0.1, True, "8: 5 % -> 7 %", {"p": 0.0}).to_dict(0.3, 0.5)
    rows = read(drift_page({"status": "critical", "components": [item]}, {})).rows
    assert rows[1][:2] == ["area", "0.67"]
