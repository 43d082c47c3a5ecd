import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crimeguard.cli import demo as verb
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.settings import Settings


@pytest.mark.slow
def test_once_around_the_loop_as_a_user_sees_it(tmp_path: Path) -> None:
    """The real thing: training, Deepchecks, an API of its own, drift, retraining, rollback."""
    home = tmp_path / "home"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    done = subprocess.run(
        [sys.executable, "-m", "crimeguard", "demo", "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=900,
        env={**kept, "CRIMEGUARD_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    facts = json.loads(done.stdout)
    assert [fact["when"] for fact in facts] == ["week 1", "week 2", "week 3", "then", "week 4",
                                                "at last"]  # fmt: skip
    assert all(fact["held"] for fact in facts)
    assert facts[0]["detected"].startswith(("ok", "warning"))
    assert facts[1]["detected"].startswith("critical")
    assert facts[-1]["detected"].endswith("byte for byte as before")
    _check_what_is_left(home / "demo")


def _check_what_is_left(home: Path) -> None:
    for page in ("drift.html", "evidently.html", "drift.json"):
        assert (home / "monitoring" / page).stat().st_size > 1_000
    database = open_database(Settings(home=home))
    try:
        lines = Ledger(database).entries()
    finally:
        database.close()
    kinds = [line.kind for line in lines]
    assert kinds == [
        "gates", "promotion", "verdict", "verdict", "verdict", "decision", "training", "gates",
        "promotion", "probe", "verdict", "rollback",
    ]  # fmt: skip
    decided = {line.decision_id for line in lines if line.decision_id}
    assert len(decided) == 1
    training = next(line for line in lines if line.kind == "training")
    assert training.evidence["mix_adjusted"] is True


def test_the_demo_touches_no_state_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRIMEGUARD_RECORDS_URL", "postgresql://somewhere/records")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere")
    monkeypatch.setenv("CRIMEGUARD_ALERT_WEBHOOK", "http://somewhere/hook")
    mine = Settings.load()
    theirs = verb._settings(mine)
    assert theirs.home == mine.home / "demo"
    assert theirs.records_uri.startswith("sqlite:///")
    assert theirs.tracking_uri.startswith("sqlite:///")
    assert str(theirs.port) in theirs.api_url
    assert theirs.alert_webhook == ""
