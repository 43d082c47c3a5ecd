from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from crimeguard.monitor.performance import DECLINE
from tests.delivery.watching import DEPLOY, ROOT, RULES, rules, run, tool

FOLDER = DEPLOY / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
ALERTS = {rule["alert"]: rule for _, rule in rules() if "alert" in rule}
PAGE = (ROOT / "docs" / "observability.md").read_text()


def cases(path: Path) -> list[tuple[str, bool]]:
    """Return every alert that a file asks for, and whether it shall fire."""
    document = yaml.safe_load(path.read_text())
    return [
        (asked["alertname"], bool(asked.get("exp_alerts")))
        for case in document["tests"]
        for asked in case.get("alert_rule_test", [])
    ]


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    told = run(tool("promtool"), "check", "config", FOLDER / "prometheus.yml")
    assert told.returncode == 0, told.stderr
    assert f"{len(RULES)} rule files found" in told.stdout
    told = run(tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_pass_their_tests(path: Path) -> None:
    told = run(tool("promtool"), "test", "rules", path.name, cwd=path.parent)
    assert told.returncode == 0, told.stderr + told.stdout


def test_every_alert_is_tested_firing_and_silent_and_every_record_is_tested() -> None:
    found = {case for path in TESTS for case in cases(path)}
    assert found == {(name, fires) for name in ALERTS for fires in (True, False)}
    asked = "".join(path.read_text() for path in TESTS)
    for _, rule in rules():
        assert "record" not in rule or f"expr: {rule['record']}" in asked or (
            f"({rule['record']} " in asked
        )  # fmt: skip


def never(rule: dict[str, Any]) -> None:
    rule["expr"] = "vector(1) > 2"


def always(rule: dict[str, Any]) -> None:
    rule["expr"] = "vector(1)"
    rule.pop("for", None)


# What promtool says of an alert that fires where none is expected, and the other way round.
UNEXPECTED = r"alertname: (\w+), time: \S+\s+exp:\[\s*\],\s+got:\[\s*\d+:"
MISSING = r"alertname: (\w+), time: \S+\s+exp:\[\s*\d+:(?:(?!alertname: ).)*?got:\[\s*\]"


@pytest.mark.parametrize(
    ("spoil", "failure"), [(never, MISSING), (always, UNEXPECTED)], ids=["never", "always"]
)
def test_the_tests_notice_an_alert_that_never_or_always_fires(
    spoil: Callable[[dict[str, Any]], None], failure: str, tmp_path: Path
) -> None:
    shutil.copytree(FOLDER / "tests", tmp_path / "tests")
    (tmp_path / "rules").mkdir()
    for path in RULES:
        document = yaml.safe_load(path.read_text())
        for group in document["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    spoil(rule)
        (tmp_path / "rules" / path.name).write_text(yaml.safe_dump(document))
    noticed = set()
    for path in TESTS:
        told = run(tool("promtool"), "test", "rules", path.name, cwd=tmp_path / "tests")
        noticed |= set(re.findall(failure, told.stdout + told.stderr, re.DOTALL))
    assert noticed == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    severity = rule["labels"]["severity"]
    assert severity in ("warning", "critical")
    assert rule["labels"]["service"] == "crimeguard"
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["description"].endswith(".")
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor == name.lower()
    page = (ROOT / path).read_text()
    section = re.search(rf"(?ms)^### {name}\n(.*?)(?=^##|\Z)", page)
    assert section is not None
    assert section[1].startswith(f"*{severity.capitalize()}")
    assert "**Look at**" in " ".join(section[1].split())
    assert "**Do**" in section[1]


def test_no_section_is_about_an_alert_that_there_is_not() -> None:
    assert set(re.findall(r"^### (\w+)", PAGE, re.MULTILINE)) == ALERTS.keys()


def test_accuracy_is_low_where_the_monitor_calls_it_a_decline() -> None:
    for kind in ("Estimated", "Realised"):
        assert f"> {DECLINE}\n" in ALERTS[f"CrimeGuardAccuracy{kind}Low"]["expr"]


def test_the_rules_use_metrics_that_there_are() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    records = {rule["record"] for _, rule in rules() if "record" in rule}
    for _, rule in rules():
        # Names of records hold colons, which no metric of ours does.
        expr = re.sub(r"\w+:\w+:\w+", lambda found: "" if found[0] in records else found[0],
                      rule["expr"])  # fmt: skip
        assert ":" not in re.sub(r'"[^"]*"', "", expr)
        for name in re.findall(r"crimeguard_\w+", re.sub(r'"[^"]*"', "", expr)):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in documented, name
