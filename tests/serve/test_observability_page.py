"""docs/observability.md against /metrics of an app in which everything has happened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from crimeguard.records.database import Database
from crimeguard.records.ledger import Ledger
from crimeguard.records.prediction_log import PredictionLog
from crimeguard.serve.app import create_app
from crimeguard.serve.follower import Follower
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.serve.traffic import Traffic
from crimeguard.settings import Settings
from tests.registry.contests import FakeVersions, started
from tests.serve.fakes import Client, FakePredictor, FakeRegistry
from tests.serve.test_verdicts import judged

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)
_OWN = {"le", "quantile"}  # labels that come with the type


@pytest.fixture
def families(settings: Settings, slot: Slot, database: Database) -> Iterator[list[Metric]]:
    registry = FakeRegistry("1")
    follower = Follower(
        slot, connect=lambda: registry, load=lambda path: FakePredictor("1"),
        cache=settings.home / "cache", every=3600,
    )  # fmt: skip
    follower.look()
    judged(Ledger(database), slot.require().bundle.sha256)
    with PredictionLog(database) as log:
        traffic = _shadowed(slot, log.database, settings.home / "challengers")
        app = create_app(settings, slot, follower, log, traffic=traffic)
        client = Client(app)
        app.state.service.verdicts.look()
        app.state.service.evidence.look()
        client.post("/predict", json=NAMES_EXAMPLE)
        app.state.service.metrics.held_up("console")
        yield list(text_string_to_metric_families(client.get("/metrics").text))
        app.state.service.close()


def _shadowed(slot: Slot, database: Database, cache: Path) -> Traffic:
    ledger = Ledger(database)
    started(ledger)
    traffic = Traffic(slot, ledger, connect=FakeVersions, load=lambda path: FakePredictor("2"),
                      cache=cache)  # fmt: skip
    traffic.look()
    return traffic


def documented() -> dict[str, tuple[str, set[str]]]:
    return {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in ROW.findall(PAGE.read_text())
    }


def test_the_page_and_the_app_name_the_same_metrics(families: list[Metric]) -> None:
    found = {}
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - _OWN
        assert family.samples, f"{name} has no sample, so its labels cannot be held to the page"
        found[name] = (family.type, labels)
    assert documented() == found


def test_every_metric_says_what_it_is_and_has_a_name_as_prometheus_has_them(
    families: list[Metric],
) -> None:
    for family in families:
        assert family.documentation, family.name
        assert family.name.startswith(("crimeguard_", "process_", "python_")), family.name
        assert not family.name.endswith(("_milliseconds", "_ms", "_percent", "_count", "_sum"))
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_rows")), family.name


def test_the_states_of_registry_and_verdict_are_those_documented(families: list[Metric]) -> None:
    page = PAGE.read_text()
    for name, label in (
        ("registry_state", "state"), ("verdict_status", "status"), ("experiment_state", "state"),
    ):  # fmt: skip
        (family,) = [item for item in families if item.name == f"crimeguard_{name}"]
        row = re.search(rf"^\| `{family.name}` .*$", page, re.MULTILINE)
        assert row is not None
        values = {sample.labels[label] for sample in family.samples}
        assert values == set(re.findall(r"`([a-z ]+)`", row[0].split("|")[4]))


def test_series_are_few(families: list[Metric]) -> None:
    # One replica; a dashboard of a year holds them all.
    assert sum(len(family.samples) for family in families) < 600
