"""Every line of the README that can be false is held against the thing itself."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from crimeguard.cli.app import app
from crimeguard.cli.up import EXAMPLE
from crimeguard.delivery.stages import STAGES
from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import crime_codes
from crimeguard.evaluate.distance import jensen_shannon
from crimeguard.evaluate.gates import GATES
from crimeguard.evaluate.reference import SAMPLE_ROWS
from crimeguard.ingest.drift import CATALOGUE
from crimeguard.monitor.drift import FLOOR
from crimeguard.records.database import Database
from crimeguard.records.ledger import Ledger
from crimeguard.registry.bundle import FILES, Bundle
from crimeguard.serve.app import create_app
from crimeguard.serve.predictor import Predictor
from crimeguard.serve.slot import Slot
from crimeguard.serve.verdicts import Verdicts
from crimeguard.settings import VARIABLES, Settings
from crimeguard.train.params import MonitorParams
from tests.serve.fakes import Client

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCORES = ("accuracy", "weighted_f1", "macro_f1", "macro_roc_auc", "log_loss", "ece", "top3")


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("crimeguard ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_broken(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("line", commands(README))
def test_every_command_has_its_verb_and_options(line: str) -> None:
    _, verb, *words = shlex.split(line)
    root = get_command(app)
    found = root.get_command(root.make_context("crimeguard", [], resilient_parsing=True), verb)  # type: ignore[attr-defined]
    assert found is not None, verb
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_targets_of_make_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", README, re.MULTILINE))
    assert {name for pair in named for name in pair if name} <= targets


def test_every_verb_starts_its_help_with_examples() -> None:
    root = get_command(app)
    for name in root.commands:  # type: ignore[attr-defined]
        text = CliRunner().invoke(app, [name, "--help"]).output
        assert f"    crimeguard {name}" in text, name
        assert text.index("Examples:") < text.index("Options:")


def test_the_first_prediction_is_answered_with_the_fields_named(tiny_bundle: Path) -> None:
    body = json.loads(re.findall(r"-d '(\{.*?\})'", README, re.DOTALL)[0])
    assert body == EXAMPLE
    slot = Slot()
    slot.swap(Predictor(Bundle.load(tiny_bundle)))
    api = create_app(Settings(), slot)
    answer = Client(api).post("/predict", json=body).json()
    api.state.service.close()
    paragraph = README.split("The answer holds")[1].split("Any field")[0]
    assert set(re.findall(r"`([a-z_]+)`", paragraph)) == answer.keys()
    assert answer["information_level"] == "report"


def test_the_numbers_of_things_are_right() -> None:
    assert f"each of {len(CATEGORIES)} categories" in README
    assert f"{len(crime_codes())} crime codes" in README
    assert not any(name.endswith((".pkl", ".pickle", ".joblib")) for name in FILES)


def test_the_gates_and_drifts_are_those_that_there_are() -> None:
    listed = README.split("**Gates**")[1].split("All fail closed")[0]
    assert re.findall(r"`([a-z]+)`", listed) == list(GATES)
    numbers = {7: "seven", 10: "ten"}
    assert f"judged by {numbers[len(GATES)]} gates" in README
    assert f"each of the {numbers[len(CATALOGUE)]} named drifts" in README
    table = (ROOT / "docs" / "monitoring.md").read_text()
    assert set(re.findall(r"^\| ([a-z_0-9]+) \| [\d.]+ \| \d+ % \|", table, re.MULTILINE)) == set(
        CATALOGUE
    )


def test_the_stages_images_and_overlays_are_those_that_there_are() -> None:
    stages = README.split("**Pipeline**")[1].split("A drift alarm")[0]
    assert re.findall(r"`([^`]+)`", stages.replace("\n ", "")) == [s.title for s in STAGES]
    images = README.split("**Images**")[1].split("from the\n")[0]
    made = {file.name.partition(".")[0] for file in (ROOT / "deploy/docker").glob("*.Dockerfile")}
    assert set(re.findall(r"`([a-z]+)`", images)) == made
    overlays = README.split("**Kubernetes**")[1].split("; Argo")[0]
    there = {folder.name for folder in (ROOT / "deploy/k8s/overlays").iterdir()}
    assert set(re.findall(r"`([a-z]+)`", overlays)) == there


def test_compose_has_the_profiles_named() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    profiles = {name for service in services.values() for name in service["profiles"]}
    assert profiles == {"plain", "full"}
    plain = {name for name, service in services.items() if "plain" in service["profiles"]}
    assert plain == {"backend", "frontend"}


def test_every_gauge_of_the_monitor_is_documented(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    made = {metric.name for metric in Verdicts(Ledger(database), Slot()).describe()}
    database.close()
    assert set(re.findall(r"^\| `(crimeguard_[a-z_]+)", page, re.MULTILINE)) == made


def test_the_thresholds_in_the_docs_are_the_defaults() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    params = MonitorParams()
    assert (
        f"Above `warning`\n({params.warning}) is 0.43 c, above `critical` ({params.critical})"
        in page
    )
    assert f"sample of {SAMPLE_ROWS:,}\ntraining incidents" in page
    assert f"Jensen-Shannon distance of {FLOOR}" in page
    for before, now in re.findall(r"(\d+) % that becomes (\d+) %", page):
        shares = [np.array([int(share), 100 - int(share)], float) for share in (before, now)]
        assert jensen_shannon(shares[0], shares[1]) ** 0.5 == pytest.approx(FLOOR, abs=0.005)


def test_the_rooms_are_those_of_the_package() -> None:
    listed = set(re.findall(r"^\| `([a-z]+)` \|", README, re.MULTILINE))
    folders = {p.parent.name for p in (ROOT / "src" / "crimeguard").glob("*/__init__.py")}
    assert listed == folders


def test_every_setting_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`|]*)` )?\|", page, re.MULTILINE))
    defaults = Settings()
    assert documented == {
        variable: str(getattr(defaults, name)).strip() for name, variable in VARIABLES.items()
    }


def test_no_endpoint_ranks_places_or_people() -> None:
    paths = set(create_app(Settings(), Slot()).openapi()["paths"])
    assert paths <= {
        "/predict", "/predict/batch", "/labels", "/model", "/experiment", "/health", "/livez",
        "/readyz", "/metrics", "/docs", "/", "/v2", "/v2/health/live", "/v2/health/ready",
        "/v2/models/crimeguard", "/v2/models/crimeguard/ready", "/v2/models/crimeguard/infer",
    }  # fmt: skip


@pytest.mark.realdata
@pytest.mark.slow
def test_the_scores_are_those_of_a_fresh_training(realdata: Path) -> None:
    import datetime as dt

    from crimeguard.evaluate.evaluation import evaluate_model
    from crimeguard.ingest.source import read_file
    from crimeguard.train.fit import fit_model
    from crimeguard.train.params import load_params
    from crimeguard.train.split import split_by_time

    params = load_params(ROOT / "params.yaml")
    frame = read_file(realdata / "la_2023q1.parquet").require_clean("the real rows")
    split = split_by_time(frame, params.split, dt.date(2023, 2, 28), dt.date(2023, 3, 31))
    found = evaluate_model(fit_model(split.train, split.train_until, params), split.test)
    assert f"({split.train.height:,}), scored on the {split.test.height:,} of March" in README
    for label, item in found.levels.items():
        row = re.search(rf"^\| {label} \| (.*) \|$", README, re.MULTILINE)
        assert row is not None
        stated = [float(cell) for cell in row[1].split("|")]
        measured = [getattr(item.scores, name) for name in SCORES]
        # Rounded in the table; another processor's libraries may round otherwise.
        assert stated == pytest.approx(measured, abs=0.003), label
    report, call, victim = (found.levels[name].scores for name in ("report", "call", "victim"))
    assert report.accuracy >= 0.875
    assert report.weighted_f1 >= 0.873
    assert report.macro_f1 >= 0.82
    assert report.macro_roc_auc >= 0.989
    assert report.ece <= 0.015
    assert max(call.ece, victim.ece) <= 0.03
    assert call.accuracy >= 0.38
    assert victim.accuracy >= 0.50
