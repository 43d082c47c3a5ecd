"""Prometheus and Alertmanager as processes, watching the real API.

Only durations are changed (how often is looked, how long an alert must hold): every expression
is the one that is shipped.
"""

from __future__ import annotations

import datetime as dt
import math
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import yaml
from deploy.grafana.dashboards import BOARDS

from crimeguard.domain.codes import category_of
from crimeguard.ingest.drift import Drift
from crimeguard.ingest.simulator import simulate
from tests.cli.world import Done, crimeguard
from tests.conftest import TINY, copy_home
from tests.delivery import watching
from tests.delivery.boards import queries
from tests.delivery.watching import Hook, rules, wait_for
from tests.retrain.world import DAY, inputs_of, traffic

pytestmark = pytest.mark.xdist_group("prometheus")

MARCH = dt.date(2023, 3, 1)


@dataclass
class World:
    """The API in production, what watches it, and whoever is told."""

    home: Path
    folder: Path
    api: str
    server: subprocess.Popen[bytes]
    prometheus: str
    alertmanager: str
    hook: Hook

    def ask(self, rows: pl.DataFrame) -> None:
        """Have incidents predicted over HTTP, one by one and as a batch, and tell what was true."""
        known = inputs_of(rows)
        with httpx.Client(base_url=self.api, timeout=60) as client:
            ids = [
                client.post("/predict", json=one).raise_for_status().json()["prediction_id"]
                for one in known[:20]
            ]
            answer = client.post("/predict/batch", json=known[20:]).raise_for_status().json()
            ids += [row["prediction_id"] for row in answer["predictions"]]
            codes = [int(text) for text in rows["Crm Cd"]]
            assert all(category_of(code) for code in codes)
            labels = [
                {"prediction_id": identifier, "crm_cd": code}
                for identifier, code in zip(ids, codes, strict=True)
            ]
            client.post("/labels", json=labels).raise_for_status()

    def monitor(self, *words: str) -> Done:
        """Run the verb as a person or a CronJob does."""
        params = self.folder / "params.yaml"
        params.write_text(
            yaml.safe_dump({**TINY, "monitor": {"maturity_days": 0.0, "volume": False}})
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CRIMEGUARD_HOME", str(self.home))
            return crimeguard("monitor", "--no-evidently", "--params", params, *words)

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Ask Prometheus for the values of now."""
        answer = httpx.post(f"{self.prometheus}/api/v1/query", data={"query": promql}, timeout=30)
        told = answer.json()
        assert told["status"] == "success", (promql, told)
        result: list[dict[str, Any]] = told["data"]["result"]
        return result

    def value(self, promql: str) -> float | None:
        """Return the only value of a query, None for none or a NaN."""
        found = self.query(promql)
        assert len(found) <= 1, found
        value = float(found[0]["value"][1]) if found else math.nan
        return None if math.isnan(value) else value

    def has_data(self, promql: str) -> bool:
        """Tell whether a query has a value that is a number."""
        return any(not math.isnan(float(item["value"][1])) for item in self.query(promql))


@pytest.fixture(scope="module")
def world(promoted_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything, after a calm week and a verdict on it."""
    for name in ("prometheus", "prometheus-alertmanager"):
        watching.tool(name)
    folder = tmp_path_factory.mktemp("watching")
    home = folder / "home"
    copy_home(promoted_home, home)
    with ExitStack() as stack:
        hook = stack.enter_context(watching.webhook())
        (folder / "alertmanager").mkdir()
        (folder / "prometheus").mkdir()
        api, server = stack.enter_context(watching.api(home, folder))
        manager = stack.enter_context(watching.alertmanager(folder / "alertmanager", hook))
        prometheus = stack.enter_context(watching.prometheus(folder / "prometheus", api, manager))
        world = World(home, folder, api, server, prometheus, manager, hook)
        wait_for(lambda: world.value('sum(up{job="crimeguard"})') == 1, "the first scrape")
        world.ask(traffic(500, start=MARCH, days=7))
        # What is refused is an error of the caller's, so that there is one to be seen.
        assert httpx.post(f"{api}/predict", json={}).status_code == 422
        told = world.monitor()
        assert told.code == 0, told.err
        wait_for(lambda: world.has_data("crimeguard_drift_overall"), "the verdict's gauges")
        yield world


def test_every_target_is_scraped(world: World) -> None:
    wait_for(lambda: len(world.query("up == 1")) == 3, "all targets")
    assert {item["metric"]["job"] for item in world.query("up")} == {
        "crimeguard", "prometheus", "alertmanager",
    }  # fmt: skip


def test_every_rule_is_evaluated_without_an_error(world: World) -> None:
    loaded = httpx.get(f"{world.prometheus}/api/v1/rules").json()["data"]["groups"]
    found = {rule["name"]: rule for group in loaded for rule in group["rules"]}
    assert found.keys() == {rule.get("alert") or rule["record"] for _, rule in rules()}
    assert [name for name, rule in found.items() if rule.get("lastError")] == []


@pytest.mark.parametrize(
    "name", [rule["record"] for _, rule in rules() if "record" in rule], ids=str
)
def test_every_recording_rule_has_data(world: World, name: str) -> None:
    wait_for(lambda: world.has_data(name), name)


# While no experiment runs, and no key has used up its rate; but for those that always tell.
SILENT = ("crimeguard_experiment_", "crimeguard_requests_held_up")
ALWAYS = (
    "crimeguard_experiment_state", "crimeguard_experiment_failures", "crimeguard_experiment_share",
    "crimeguard_experiment_running",
)  # fmt: skip


@pytest.mark.parametrize("name", list(BOARDS))
def test_every_query_of_every_dashboard_has_data(world: World, name: str) -> None:
    asked = list(queries(name))
    assert len(asked) > 20
    for title, promql in asked:
        silent = any(map(promql.count, SILENT)) and not any(map(promql.count, ALWAYS))
        if silent:
            assert not world.has_data(promql), promql
            continue
        wait_for(lambda promql=promql: world.has_data(promql), f"{title}: {promql}")  # type: ignore[misc]


def test_what_is_counted_is_what_was_asked(world: World) -> None:
    assert wait_for(lambda: world.value("sum(crimeguard_predictions_total)"), "a count") == 500
    assert world.value("sum(crimeguard_log_rows_total)") == 500
    assert world.value('sum(crimeguard_labels_total{outcome="accepted"})') == 500
    assert world.value("max(crimeguard_verdict_rows)") == 500
    assert world.value('sum(crimeguard_registry_state{state="following"})') == 1


def test_a_drift_and_then_a_stopped_api_reach_the_webhook(world: World) -> None:
    told = {alert["labels"]["alertname"] for alert in world.hook.firing(severity="critical")}
    assert told == set()
    drift = Drift.parse(f"class_mix_shift:1.0@{MARCH}")
    rows = pl.concat(simulate(500, seed=9, start=MARCH, end=MARCH + 6 * DAY, drifts=[drift]))
    since = dt.datetime.now(dt.UTC)
    world.ask(rows)
    verdict = world.monitor("--since", since.isoformat())
    assert verdict.code == 4, verdict.err
    assert world.hook.firing(alertname="CrimeGuardDown") == []

    drifted = wait_for(
        lambda: world.hook.firing(alertname="CrimeGuardDriftCritical"), "the drift's alert"
    )[0]
    assert drifted["receiver"] == "urgent"
    assert drifted["labels"]["severity"] == "critical"
    assert drifted["annotations"]["runbook_url"].startswith("docs/observability.md#")
    score = world.value("max(crimeguard_drift_overall)")
    assert f"The drift score is {score:.2f}" in drifted["annotations"]["description"]
    assert world.hook.firing(alertname="CrimeGuardDown") == []

    world.server.terminate()
    world.server.wait(timeout=60)
    down = wait_for(lambda: world.hook.firing(alertname="CrimeGuardDown"), "the alert")[0]
    assert down["receiver"] == "urgent"
    assert world.hook.got[-1]["path"] == "/hook?token=t0ken"


def test_one_trouble_is_told_once(world: World) -> None:
    names = {"CrimeGuardDown": "critical", "CrimeGuardSlow": "warning", "Others": "warning"}
    alerts = [
        {"labels": {"alertname": name, "severity": severity, "namespace": "tests",
                    "service": "others" if name == "Others" else "crimeguard"}}
        for name, severity in names.items()
    ]  # fmt: skip
    alerts.append({"labels": {**alerts[1]["labels"], "namespace": "elsewhere"}})
    drift = {"severity": "critical", "service": "crimeguard", "namespace": "drift"}
    alerts += [
        {"labels": {**drift, "alertname": name}}
        for name in ("CrimeGuardDrift", "CrimeGuardDriftCritical")
    ]
    httpx.post(f"{world.alertmanager}/api/v2/alerts", json=alerts).raise_for_status()

    def inhibited() -> set[tuple[str, str]]:
        found = httpx.get(f"{world.alertmanager}/api/v2/alerts").json()
        return {
            (item["labels"]["alertname"], item["labels"].get("namespace", ""))
            for item in found
            if item["status"]["inhibitedBy"]
        }

    wanted = {("CrimeGuardSlow", "tests"), ("CrimeGuardDriftCritical", "drift")}
    wait_for(lambda: wanted <= inhibited(), "what is inhibited")
    assert not inhibited() & {
        ("CrimeGuardDown", "tests"), ("Others", "tests"), ("CrimeGuardSlow", "elsewhere"),
        ("CrimeGuardDrift", "drift"),
    }  # fmt: skip
