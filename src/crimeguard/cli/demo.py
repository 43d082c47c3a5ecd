"""`crimeguard demo`: once around the loop, with a drift that is known."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from crimeguard.cli.children import child, wait_ready
from crimeguard.cli.console import console, emit
from crimeguard.domain.errors import CrimeGuardError

if TYPE_CHECKING:
    import httpx
    import polars as pl

    from crimeguard.evaluate.metrics import Scores
    from crimeguard.monitor.watch import Look
    from crimeguard.registry.bundle import Bundle
    from crimeguard.settings import Settings
    from crimeguard.train.params import Params

ROWS_A_DAY: Final = 250
FIRST: Final = dt.date(2023, 1, 1)
TRAIN_UNTIL: Final = dt.date(2023, 2, 18)
HISTORY_ENDS: Final = dt.date(2023, 2, 28)
TRAFFIC: Final = dt.date(2023, 3, 4)  # then four weeks, one a step
BEGINS: Final = dt.date(2023, 3, 11)
DRIFT: Final = "class_mix_shift:1.0"
_WEEK: Final = dt.timedelta(7)
_SENT: Final = 1_000  # incidents a request
_ASKED: Final = 12  # single incidents whose answers are compared byte by byte
# Smaller than params.yaml, so that the loop closes in three minutes on two cores. Labels
# come at once here, so they are mature at once.
PARAMS: Final[dict[str, Any]] = {
    "features": {"min_count": 8, "mo_columns": 60},
    "linear": {"iterations": 30, "folds": 2},
    "xgboost": {"rounds": 8, "learning_rate": 0.3},
    "lightgbm": {"rounds": 12, "learning_rate": 0.2},
    "neural": {"units": 64, "seeds": 1},
    "checks": {"min_test_rows": 800, "max_ece": 0.05},
    "retrain": {"min_new_rows": 1000},
    "monitor": {"maturity_days": 0.0},
}


def demo(
    keep: Annotated[bool, typer.Option(help="Leave the API running until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the table to stdout.")] = False,
) -> None:
    """Go once around the loop: train, serve, drift, alarm, retrain, promote, roll back.

    Examples:
      crimeguard demo
      crimeguard demo --keep
      crimeguard demo --json

    Offline and with simulated incidents, in a folder of its own (demo in CRIMEGUARD_HOME),
    which is made anew. It ends with what was true and what was detected; exit code 1 if
    the two differ.
    """
    from crimeguard.settings import Settings
    from crimeguard.train.params import params_from_dict

    settings = _settings(Settings.load())
    shutil.rmtree(settings.home, ignore_errors=True)
    params = params_from_dict(PARAMS, source="the demo")
    stage = Stage(settings, params)
    facts = stage.play(keep=keep)
    if as_json:
        emit([fact.to_dict() for fact in facts])
    if not all(fact.held for fact in facts):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was true in the simulated world, and what the platform made of it."""

    when: str
    true: str
    detected: str
    held: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the line as JSON types."""
        return {"when": self.when, "true": self.true, "detected": self.detected,
                "held": self.held}  # fmt: skip


@dataclass(slots=True)
class Stage:
    """One play: its own folder, API, registry, records and ledger."""

    settings: Settings
    params: Params
    began: float = field(default_factory=time.monotonic)
    facts: list[Fact] = field(default_factory=list)

    def play(self, *, keep: bool) -> list[Fact]:
        """Play every step in order; return what was true and what was detected."""
        history, weeks = self._simulate()
        self._train(history)
        with self._served() as api:
            first = self._champion()
            before = _answers(api, weeks[0])
            self._say(f"the API answers at {self.settings.api_url}")
            self._week(api, weeks[0], "week 1", drifted=False)
            self._week(api, weeks[1], "week 2", drifted=True)
            self._week(api, weeks[2], "week 3", drifted=True, compare=True)
            if self._retrain():
                self._better(api, first, weeks[3])
                self._rollback(api, first, before, weeks[0])
            self._tell()
            if keep:
                self._wait()
        return self.facts

    def _say(self, words: str) -> None:
        seconds = time.monotonic() - self.began
        console.print(f"{seconds:5.0f} s  {words}", markup=False, soft_wrap=True)

    def _simulate(self) -> tuple[Path, list[pl.DataFrame]]:
        import polars as pl

        from crimeguard.ingest.drift import Drift
        from crimeguard.ingest.simulator import simulate
        from crimeguard.ingest.writer import write_export

        self._say("simulate two months to train on, and four weeks of traffic; from the second "
                  f"week on with the drift {DRIFT}")  # fmt: skip
        days = (HISTORY_ENDS - FIRST).days + 1
        path = self.settings.home / "data" / "history.parquet"
        write_export(simulate(days * ROWS_A_DAY, seed=11, start=FIRST, end=HISTORY_ENDS), path)
        drifts = [Drift.parse(f"{DRIFT}@{BEGINS}")]
        end = TRAFFIC + 4 * _WEEK - dt.timedelta(1)
        frames = simulate(28 * ROWS_A_DAY, seed=12, start=TRAFFIC, end=end, drifts=drifts)
        made = pl.concat(frames)
        # Two simulations number their incidents alike.
        made = made.with_columns(pl.concat_str(pl.lit("9"), "DR_NO").alias("DR_NO"))
        day = made["DATE OCC"].str.slice(0, 10).str.to_date("%m/%d/%Y")
        starts = [TRAFFIC + number * _WEEK for number in range(4)]
        return path, [made.filter((day >= start) & (day < start + _WEEK)) for start in starts]

    def _train(self, history: Path) -> None:
        from crimeguard.cli.train import run

        self._say("train, register, ask the gates")
        outcome = run(history, self.settings, self.params, quiet=True, train_until=TRAIN_UNTIL)
        if not outcome["passed"]:
            raise CrimeGuardError("The first model was refused.",
                                  why=", ".join(outcome["gates"]["refused"]) + ".",
                                  fix="`crimeguard doctor` says what is missing here.")  # fmt: skip
        accuracy = outcome["metrics"]["report_accuracy"]
        self._say(f"version 1 passed {len(outcome['gates']['gates'])} gates and is in "
                  f"production; accuracy {accuracy:.1%}")  # fmt: skip

    @contextmanager
    def _served(self) -> Iterator[httpx.Client]:
        import httpx

        environ = {
            "CRIMEGUARD_HOME": str(self.settings.home), "CRIMEGUARD_RECORDS_URL": "",
            "MLFLOW_TRACKING_URI": "", "CRIMEGUARD_BUNDLE": "",
            "CRIMEGUARD_API_KEYS": "", "CRIMEGUARD_API_KEYS_FILE": "",
            "CRIMEGUARD_FOLLOW_SECONDS": str(self.settings.follow_seconds),
        }  # fmt: skip
        words = ("serve", "--host", self.settings.host, "--port", str(self.settings.port))
        with child(*words, environ=environ, log=self.settings.home / "api.log") as process:
            wait_ready(self.settings.api_url, process)
            with httpx.Client(base_url=self.settings.api_url, timeout=120) as api:
                yield api

    def _champion(self) -> Bundle:
        from crimeguard.cli.court import opened

        with opened(self.settings, self.params) as (court, _):
            champion = court.champion()
        assert champion is not None  # noqa: S101 -- trained and promoted above
        return champion

    def _week(
        self, api: httpx.Client, rows: pl.DataFrame, name: str, *, drifted: bool,
        compare: bool = False,
    ) -> None:  # fmt: skip
        since = dt.datetime.now(dt.UTC)
        _send(api, rows)
        look = self._look(since, compare=compare)
        found = look.verdict
        self._say(f"{name}: {rows.height:,} predictions and their labels; {look.sentence}")
        raised = (look.folder / "drift_detected").exists()
        accuracy = _realised(look)
        words = f"{found.status}, score {found.score:.2f}, accuracy {accuracy:.1%}"
        true = f"{DRIFT} in the traffic" if drifted else "nothing has changed"
        held = (found.status == "critical") == drifted == raised
        self.facts.append(Fact(name, true, words, held))

    def _look(self, since: dt.datetime, *, compare: bool) -> Look:
        from crimeguard.cli.monitor import run

        return run(self.settings, self.params, since=since, compare=compare, quiet=True)

    def _retrain(self) -> bool:
        from crimeguard.cli.retrain import run

        self._say("ask the policy whether to train again")
        outcome = run(self.settings, self.params, quiet=True)
        reason = outcome.decision.reasons[0]
        refused = "" if outcome.judgement is None else ", ".join(outcome.judgement.refused)
        self._say(f"{reason} -> {outcome.result}{f' by {refused}' if refused else ''}")
        promoted = outcome.result == "promoted"
        words: str = outcome.result
        if promoted:
            words = f"{words}: version {outcome.version} instead of {outcome.replaced}"
        true = "two alarms in a row, and labels to learn from"
        self.facts.append(Fact("then", true, words, promoted))
        return promoted

    def _better(self, api: httpx.Client, first: Bundle, rows: pl.DataFrame) -> None:
        since = dt.datetime.now(dt.UTC)
        _send(api, rows)
        look = self._look(since, compare=False)
        now, old = (_score(bundle, rows) for bundle in (self._champion(), first))
        served = str(look.document["bundle"])
        words = (f"version 2 answers: accuracy {now.accuracy:.1%}, log-loss {now.log_loss:.3f}; "
                 f"version 1 had {old.accuracy:.1%}, {old.log_loss:.3f}")  # fmt: skip
        self._say(f"week 4: {words}")
        held = served != first.sha256 and now.log_loss < old.log_loss
        self.facts.append(Fact("week 4", "the drift goes on", words, held))

    def _rollback(
        self, api: httpx.Client, first: Bundle, before: list[bytes], rows: pl.DataFrame
    ) -> None:
        from crimeguard.cli.court import opened
        from crimeguard.registry import life
        from crimeguard.registry.judging import Actor

        with opened(self.settings, self.params) as (court, _):
            life.rollback(court, Actor("the demo", "to show that it can be done"))
        _await(api, first.sha256)
        same = _answers(api, rows) == before
        self._say(f"rolled back; the answers are {'the same bytes' if same else 'others'}")
        self.facts.append(
            Fact("at last", "version 1 is put back",
                 f"{len(before)} answers {'byte for byte' if same else 'NOT'} as before", same)
        )  # fmt: skip

    def _tell(self) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0))
        for name in ("when", "what was true", "what was detected or done", ""):
            table.add_column(name)
        for fact in self.facts:
            table.add_row(fact.when, fact.true, fact.detected, "yes" if fact.held else "NO")
        console.print(table)
        home = self.settings.home.resolve()
        for name, place in (
            ("drift", home / "monitoring" / "drift.html"),
            ("Evidently", home / "monitoring" / "evidently.html"),
            ("gates", home / "reports"),
            ("API", f"{self.settings.api_url}/docs (while --keep)"),
            ("ledger", f"CRIMEGUARD_HOME={home} crimeguard history"),
        ):
            console.print(f"{name:<10}{place}", markup=False, soft_wrap=True)
        self._say("once around the loop")

    def _wait(self) -> None:
        console.print("Ctrl-C ends the API", markup=False)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            return


def _settings(settings: Settings) -> Settings:
    port = _free_port()
    return replace(
        settings, home=settings.home / "demo", host="127.0.0.1", port=port,
        api_url=f"http://127.0.0.1:{port}", mlflow_tracking_uri="", records_url="",
        follow_seconds=1.0, alert_webhook="", alert_smtp_url="", alertmanager_url="",
    )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _records(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what a caller knows: not the crime code, nor what comes of the case."""
    from crimeguard.domain.field import CANONICAL_NAMES
    from crimeguard.domain.incident import INCIDENT_FIELDS

    known = [name for name in rows.columns if CANONICAL_NAMES[name] in INCIDENT_FIELDS]
    return rows.select("DR_NO", *known).to_dicts()


def _send(api: httpx.Client, rows: pl.DataFrame) -> None:
    """Ask for predictions, and tell later what was true."""
    codes = dict(zip(rows["DR_NO"], rows["Crm Cd"], strict=True))
    records = _records(rows)
    for start in range(0, len(records), _SENT):
        answered = api.post("/predict/batch", json=records[start : start + _SENT])
        answered.raise_for_status()
        labels = [
            {"prediction_id": row["prediction_id"], "crm_cd": int(codes[row["DR_NO"]])}
            for row in answered.json()["predictions"]
        ]
        api.post("/labels", json=labels).raise_for_status()


def _answers(api: httpx.Client, rows: pl.DataFrame) -> list[bytes]:
    """Ask for single incidents; the identifiers, which are new every time, are left out."""
    import re

    answers = []
    for record in _records(rows.head(_ASKED)):
        answered = api.post("/predict", json=record)
        answered.raise_for_status()
        answers.append(re.sub(rb'"prediction_id":"[0-9a-f]{32}"', b"", answered.content))
    return answers


def _await(api: httpx.Client, sha256: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while api.get("/health").json()["model_info"]["sha256"] != sha256:
        if time.monotonic() > until:
            raise CrimeGuardError("The API did not change over.", fix="See its words above.")
        time.sleep(0.2)


def _realised(look: Look) -> float:
    found = look.verdict.performance
    assert found is not None  # noqa: S101 -- a week of labelled incidents is enough
    assert found.realised is not None  # noqa: S101
    return found.realised.value


def _score(bundle: Bundle, rows: pl.DataFrame) -> Scores:
    from crimeguard.evaluate.metrics import score
    from crimeguard.features.columns import Columns
    from crimeguard.ingest.frame import canonical
    from crimeguard.train.fit import targets

    frame = canonical(rows).require_clean("the traffic")
    return score(bundle.model.probabilities(Columns.from_frame(frame)), targets(frame))
