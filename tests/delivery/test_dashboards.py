from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.grafana.dashboards import BOARDS, FOLDER, text
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.delivery.boards import committed, panels, queries
from tests.delivery.watching import DEPLOY, ROOT, rules

PROVISIONING = DEPLOY / "grafana" / "provisioning"
UNITS = {value for value in vars(units).values() if isinstance(value, str)}
NAMES = list(BOARDS)


def test_what_is_committed_is_what_the_code_makes(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "deploy.grafana.dashboards", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in FOLDER.iterdir()}, told.stderr
    assert made.keys() == {f"{name}.json" for name in BOARDS}


@pytest.mark.parametrize("name", NAMES)
def test_the_sdk_reads_back_what_it_wrote(name: str) -> None:
    register_default_plugins()
    before = committed(name)
    again = json.loads(text(Dashboard.from_json(json.loads(text(BOARDS[name]())))))
    for event in before["annotations"]["list"]:
        assert event.pop("titleFormat")  # which the SDK knows nothing of
    assert again == before


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_is_explained_and_has_a_unit(name: str) -> None:
    for panel in panels(name):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"], panel["title"]
        assert [target["refId"] for target in panel["targets"]] == [
            chr(ord("A") + place) for place in range(len(panel["targets"]))
        ]


@pytest.mark.parametrize("name", NAMES)
def test_no_two_panels_share_a_place_a_number_or_a_title(name: str) -> None:
    shown = committed(name)["panels"]
    for one, other in itertools.combinations(shown, 2):
        assert one["id"] != other["id"]
        assert one["title"] != other["title"]
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    for panel in shown:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    # Every line of panels is full: no holes.
    widths: dict[int, int] = {}
    for panel in shown:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {24}


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_thresholds_rise(name: str) -> None:
    for panel in panels(name):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        values = [step["value"] for step in steps]
        assert values[:1] in ([], [None])
        assert values[1:] == sorted(values[1:]), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_variables_choose_data_source_job_and_namespace(name: str) -> None:
    variables = {item["name"]: item for item in committed(name)["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "namespace"]
    assert variables["datasource"]["query"] == "prometheus"
    # Where targets have no namespace, all of them must match none.
    assert variables["namespace"]["allValue"] == ".*"
    assert variables["namespace"]["current"]["value"] == "$__all"
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert variables["job"]["current"]["value"] in {job["job_name"] for job in jobs}
    for title, promql in queries(name):
        chosen = re.findall(r"\{([^}]*)\}", promql)
        assert chosen, title
        assert all('job="crimeguard", namespace=~".*"' in part for part in chosen), title


@pytest.mark.parametrize("name", NAMES)
def test_overrides_are_of_series_that_there_are(name: str) -> None:
    for panel in panels(name):
        names = {target["legendFormat"] for target in panel["targets"]}
        for override in panel["fieldConfig"]["overrides"]:
            assert override["matcher"]["options"] in names, panel["title"]
            for item in override["properties"]:
                if item["id"] == "custom.fillBelowTo":
                    assert item["value"] in names


def test_every_metric_and_recording_rule_is_shown_or_alerted_on() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    documented = set(re.findall(r"^\| `(crimeguard_\w+)` \|", page, re.MULTILINE))
    used = "\n".join(
        [promql for name in BOARDS for _, promql in queries(name)]
        + [rule["expr"] for _, rule in rules()]
    )
    assert {name for name in documented if name not in used} == set()
    records = {rule["record"] for _, rule in rules() if "record" in rule}
    assert {name for name in records if name not in used} == set()
    assert set(re.findall(r"\bjob\w*:\w+:\w+", used)) <= records


def test_provisioning_names_what_there_is() -> None:
    def read(path: str) -> Any:
        return yaml.safe_load((PROVISIONING / path).read_text())

    source = read("datasources/prometheus.yml")["datasources"][0]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    provider = read("dashboards/crimeguard.yml")["providers"][0]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
