import json
import re

import pytest

from crimeguard.validate.finding import Evidence, Finding, Severity
from crimeguard.validate.report import Report


def finding(check: str, severity: Severity = Severity.WARNING, value: str = "999") -> Finding:
    return Finding(
        check=check, severity=severity, count=1234, share=0.1234, meaning=f"{check} is wrong.",
        fix="Mend it.", evidence=(Evidence(7, "230001", value),), values=((value, 1234),),
    )  # fmt: skip


def report() -> Report:
    return Report.of(
        [finding("b"), finding("a", Severity.ERROR)], 10_000, ran=["a", "b", "c"], skipped=["d"],
        source="x.csv",
    )  # fmt: skip


def test_errors_come_first_and_what_fired_did_not_pass() -> None:
    assert [item.check for item in report().findings] == ["a", "b"]
    assert report().passed == ("c",)
    assert [item.check for item in report().errors] == ["a"]
    assert [item.check for item in report().warnings] == ["b"]


def test_only_errors_break_the_contract() -> None:
    assert not report().ok
    assert Report.of([finding("b")], 1).ok
    assert Report.of([], 0).ok


def test_the_verdict_is_one_sentence() -> None:
    assert report().verdict == (
        "x.csv breaks the data contract: 10,000 rows, 1 error, 1 warning, 1 check passed, "
        "1 skipped."
    )
    assert Report.of([], 1).verdict.startswith("The data passes the data contract: 1 row, 0 errors")


def test_json_holds_everything() -> None:
    read = json.loads(report().to_json())
    assert (read["ok"], read["rows"], read["errors"], read["warnings"]) == (False, 10_000, 1, 1)
    assert [item["check"] for item in read["findings"]] == ["a", "b"]
    assert (read["passed"], read["skipped"]) == (["c"], ["d"])


def test_text_says_what_where_and_what_to_do() -> None:
    text = report().to_text(width=120)
    for words in ("error", "1,234", "12.34%", "a is wrong.", "DR_NO 230001", "Fix: Mend it."):
        assert words in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120
    assert Report.of([], 3).to_text().count("\n") == 1


def test_values_are_never_taken_for_markup() -> None:
    odd = Report.of([finding("x", value="[red]<script>alert(1)</script>")], 5)
    assert "[red]<script>" in odd.to_text(width=200)
    page = odd.to_html()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_is_complete_and_needs_nothing() -> None:
    page = report().to_html()
    assert page.startswith("<!doctype html>")
    assert report().verdict in page
    for words in ("a is wrong.", "Mend it.", "230001", "12.34%", "Skipped"):
        assert words in page
    assert not re.search(r"https?:|src=|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize("empty", [Report.of([], 0), Report.of([], 5, ran=["a"])])
def test_an_empty_page_has_no_gaps(empty: Report) -> None:
    page = empty.to_html()
    assert "Findings" not in page
    assert "Skipped" not in page
    assert ("None." in page) is not bool(empty.passed)
