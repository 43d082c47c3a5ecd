from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.evaluate.checks import Check
from crimeguard.evaluate.training_report import figures, training_report
from crimeguard.pipeline import Trained


@pytest.fixture(scope="module")
def page(trained: Trained) -> str:
    return (trained.reports / "training_report.html").read_text()


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "dd"):
            self.cells.append(data)


@pytest.fixture(scope="module")
def elements(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    assert not parser.open
    return parser


def test_the_page_needs_nothing_from_elsewhere(page: str, elements: Elements) -> None:
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert len(elements.images) == 3
    for image in elements.images:
        kind, _, content = (image["src"] or "").partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content, validate=True).startswith(b"\x89PNG\r\n")
        assert image["alt"]


def test_the_numbers_of_the_evaluation_are_on_it(trained: Trained, elements: Elements) -> None:
    for label, item in trained.evaluation.levels.items():
        start = elements.cells.index(label)
        s = item.scores
        values = (s.accuracy, s.weighted_f1, s.macro_f1, s.macro_roc_auc, s.weighted_roc_auc,
                  s.log_loss, s.ece, s.top3, item.coverage)  # fmt: skip
        assert elements.cells[start + 1 : start + 10] == [f"{value:.3f}" for value in values]
    for category in trained.evaluation.best.categories:
        start = elements.cells.index(category.category.replace("_", " "))
        assert elements.cells[start + 1] == f"{category.support:,}"
        assert elements.cells[start + 4] == f"{category.f1:.3f}"
    for check in trained.checks:
        assert check.name in elements.cells


def test_the_facts_are_on_it(trained: Trained, elements: Elements) -> None:
    assert trained.bundle.sha256 in elements.cells
    assert any(str(trained.split.train_until) in cell for cell in elements.cells)


def test_what_is_told_is_escaped(trained: Trained) -> None:
    check = Check("<b>bold</b>", 1.0, "at least", 2.0)
    page = training_report(trained.evaluation, [check], facts={"data": "<script>alert(1)</script>"})
    assert "<script>" not in page
    assert "<b>" not in page
    assert '<td class="no">no</td>' in page


def test_a_category_without_incidents_has_no_auc(trained: Trained) -> None:
    found = trained.evaluation
    best = found.best
    nobody = [replace(item, support=0, roc_auc=None) for item in best.categories]
    levels = {**found.levels, "report": replace(best, categories=nobody, calibration=[])}
    page = training_report(replace(found, levels=levels), [], facts={})
    assert page.count("not defined") == len(CATEGORIES)


def test_the_plots_show_the_figures(trained: Trained) -> None:
    drawn = figures(trained.evaluation)
    assert set(drawn) == {"calibration", "confusion", "importance"}
    lines = drawn["calibration"].axes[0].get_lines()
    assert len(lines) == 1 + len(trained.evaluation.levels)
    points = [p for p in trained.evaluation.best.calibration if p.rows >= 20]
    assert lines[-1].get_xydata().tolist() == [[p.confidence, p.accuracy] for p in points]  # type: ignore[union-attr]
    bars = drawn["importance"].axes[0].patches
    widths = [bar.get_width() for bar in bars]  # type: ignore[attr-defined]
    assert widths == list(trained.evaluation.importance.values())[::-1]
    labels = [text.get_text() for text in drawn["confusion"].axes[0].get_xticklabels()]
    assert labels == [name.replace("_", " ") for name in CATEGORIES]
