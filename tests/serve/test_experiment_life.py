"""Experiments on a real server: begun, asked, labelled, looked at and stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.records.database import open_database
from crimeguard.registry.store import open_registry
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.settings import Settings
from tests.cli.world import crimeguard
from tests.faults.served import served
from tests.faults.test_worker_processes import until

NUMBER = 80  # incidents; with a challenger that is always right they decide
SHARE = 0.5
INCIDENTS = [{**NAMES_EXAMPLE, "dr_no": f"{number}"} for number in range(1, NUMBER + 1)]


@dataclass(frozen=True)
class Api:
    """A running API and a key for each of its scopes."""

    address: str
    keys: Mapping[Scope, str]

    def request(self, scope: Scope, method: str, path: str, body: Any = None) -> httpx.Response:
        return httpx.request(method, f"{self.address}{path}", json=body, timeout=60,
                             headers={"X-API-Key": self.keys[scope]})  # fmt: skip

    def predict(self, incident: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.request(Scope.PREDICT, "POST", "/predict", incident)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def label(self, answers: Sequence[Mapping[str, Any]], *, right: Callable[[Any], bool]) -> None:
        """Tell of each answer that it was right or not."""
        labels = [
            {"prediction_id": item["prediction_id"],
             "category": item["prediction"] if right(item) else _other(item["prediction"])}
            for item in answers
        ]  # fmt: skip
        done = self.request(Scope.LABEL, "POST", "/labels", labels)
        assert done.json() == {"accepted": len(answers), "unchanged": 0}

    def in_state(self, state: str) -> None:
        line = f'crimeguard_experiment_state{{state="{state}"}} 1.0'
        until(lambda: line in httpx.get(f"{self.address}/metrics").text, state)


def _other(category: str) -> str:
    return next(name for name in CATEGORIES if name != category)


def rows(settings: Settings) -> list[Any]:
    database = open_database(settings)
    try:
        with database.reading() as connection:
            return list(connection.exec_driver_sql(
                "SELECT id, variant, bundle, experiment, answered_id FROM prediction"
            ))  # fmt: skip
    finally:
        database.close()


@pytest.mark.slow
def test_a_split_and_a_shadow_from_start_to_stop(
    three_versions: Path, use_home: Callable[[Path], Settings]
) -> None:
    made = {scope: make_key(scope.value, [scope]) for scope in Scope}
    settings = replace(
        use_home(three_versions), follow_seconds=0.2,
        api_keys=",".join(key.entry() for _, key in made.values()),
    )  # fmt: skip
    registry = open_registry(settings)
    champion, challenger = (registry.sha256_of(number) for number in "12")
    with served(None, settings, ready=False) as running:
        until(lambda: httpx.get(f"{running.address}/readyz").is_success, "a first bundle")
        api = Api(running.address, {scope: secret for scope, (secret, _) in made.items()})
        _split(api, settings, champion, challenger)
        _shadow(api, settings, champion, challenger)
    assert running.process.returncode == 0
    assert "Traceback" not in running.errors


def _split(api: Api, settings: Settings, champion: str, challenger: str) -> None:
    begun = crimeguard(
        "experiment", "start", "--mode", "split", "--share", SHARE, "--version", "2",
        "--maturity-days", "0", "--horizon", 10 * NUMBER, "--json",
    )  # fmt: skip
    assert begun.code == 0, begun.err
    number = json.loads(begun.out)["id"]
    api.in_state("running")
    first = [api.predict(incident) for incident in INCIDENTS]
    again = [api.predict(incident) for incident in reversed(INCIDENTS)]
    assert [item["variant"] for item in again[::-1]] == [item["variant"] for item in first]
    shares = [item for item in first if item["variant"] == "challenger"]
    assert NUMBER / 4 < len(shares) < 3 * NUMBER / 4
    bundles = {"champion": champion, "challenger": challenger}
    assert all(item["model_info"]["sha256"] == bundles[item["variant"]] for item in first + again)
    logged = {row.id: row for row in rows(settings)}
    for item in first + again:
        row = logged[item["prediction_id"]]
        assert (row.variant, row.bundle, row.experiment, row.answered_id) == (
            item["variant"], bundles[item["variant"]], number, None,
        )  # fmt: skip
    before = json.loads(crimeguard("experiment", "status", "--json").out)["experiment"]
    assert before["finding"]["verdict"] == "undecided"
    api.label(first, right=lambda item: item["variant"] == "challenger")
    told = json.loads(crimeguard("experiment", "status", "--json").out)
    assert told["running"] is True
    assert told["experiment"]["finding"]["verdict"] == "better"
    counts = told["experiment"]["counts"]
    assert {name: counts[name]["labelled"] for name in bundles} == {
        "challenger": len(shares), "champion": NUMBER - len(shares),
    }  # fmt: skip
    ended = crimeguard("experiment", "stop", "--reason", "it is better", "--json")
    assert json.loads(ended.out)["experiment"]["finding"]["verdict"] == "better"
    api.in_state("none")
    for item in map(api.predict, INCIDENTS):
        assert (item["variant"], item["model_info"]["sha256"]) == ("champion", champion)


def _shadow(api: Api, settings: Settings, champion: str, challenger: str) -> None:
    wanted = {"mode": "shadow", "version": "2"}
    assert api.request(Scope.PREDICT, "POST", "/experiment", wanted).status_code == 403
    begun = api.request(Scope.ADMIN, "POST", "/experiment", wanted)
    assert begun.status_code in {200, 201}, begun.text
    number = begun.json()["experiment"]["id"]
    api.in_state("running")
    known = {row.id for row in rows(settings)}
    answers = [api.predict(incident) for incident in INCIDENTS]
    assert {(item["variant"], item["model_info"]["sha256"]) for item in answers} == {
        ("champion", champion)
    }  # fmt: skip
    # What is scored beside keeps nobody waiting, so it may come a little later.
    until(lambda: len(rows(settings)) == len(known) + 2 * NUMBER, "the rows of the shadow")
    new = [row for row in rows(settings) if row.id not in known]
    beside = [row for row in new if row.variant == "shadow"]
    assert {row.bundle for row in beside} == {challenger}
    assert {row.experiment for row in new} == {number}
    assert sorted(row.answered_id for row in beside) == sorted(
        item["prediction_id"] for item in answers
    )
    api.label(answers, right=lambda _: True)
    status = api.request(Scope.ADMIN, "GET", "/experiment").json()
    counts = status["experiment"]["counts"]
    assert {name: counts[name]["labelled"] for name in ("champion", "shadow")} == {
        "champion": NUMBER, "shadow": NUMBER,
    }  # fmt: skip
    stopped = api.request(Scope.ADMIN, "DELETE", "/experiment?why=enough")
    assert stopped.is_success, stopped.text
    assert json.loads(crimeguard("experiment", "status", "--json").out)["running"] is False
    size = len(rows(settings))
    api.predict(INCIDENTS[0])
    assert len(rows(settings)) == size + 1
