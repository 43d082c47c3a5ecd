"""The links in order: data to snapshot, snapshot to bundle, bundle to registry.

Every way to run them (command line, DVC, `crimeguard up`) comes through here.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from crimeguard.domain.errors import DataError
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.card import model_card
from crimeguard.evaluate.checks import Check, run_checks
from crimeguard.evaluate.evaluation import Evaluation, evaluate_model
from crimeguard.evaluate.reference import Reference, make_reference
from crimeguard.evaluate.training_report import figures, training_report
from crimeguard.features.columns import Columns, Floats
from crimeguard.ingest.frame import Reading
from crimeguard.ingest.quarantine import Origin, write_quarantine
from crimeguard.ingest.snapshot import Snapshot, write_snapshot
from crimeguard.ingest.source import read_file
from crimeguard.ingest.writer import write_text
from crimeguard.registry.bundle import Bundle, write_bundle
from crimeguard.registry.golden import golden_answers
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.model import Model
from crimeguard.train.params import Params
from crimeguard.train.split import TimeSplit, split_by_time
from crimeguard.validate.leakage import refuse_forbidden
from crimeguard.validate.limits import QUARANTINE_MOST
from crimeguard.validate.report import Report
from crimeguard.validate.run import validate_reading
from crimeguard.validate.sift import readable, report_of, require_few, sift

if TYPE_CHECKING:
    from crimeguard.registry.signature import SigningKey
    from crimeguard.registry.store import Registry
    from crimeguard.train.crew import Crew

# A name, how many steps of it are done, and of how many.
Progress = Callable[[str, int, int], None]


def silent(name: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A snapshot, and what validation found on the way; no report for one made earlier.

    `quarantined` rows were left out on this way, and lie beside the snapshot.
    """

    snapshot: Snapshot
    report: Report | None
    quarantined: int = 0


def prepare(
    data: Path, home: Path, *, drop_bad: bool = False, quarantine: bool = False,
    most_bad: float = QUARANTINE_MOST, progress: Progress = silent,
) -> Prepared:  # fmt: skip
    """Read, validate and store a file of incidents; a snapshot's folder is opened as it is.

    Rows that are left out lie in `home`/quarantine with the reasons: with `drop_bad` those
    that cannot be read, with `quarantine` also those that break the contract, unless they
    are more than a share `most_bad`.

    Raises DataError when validation finds an error; nothing is stored then, and the
    report lies in `home`/reports/validation.html.
    """
    if data.is_dir():
        return Prepared(_only_snapshot(data), None)
    progress(f"read {data.name}", 0, 3)
    return keep(read_file(data), home, name=str(data), source=data.name, files=[data],
                origin=lambda: Origin.of_file(data), drop_bad=drop_bad, quarantine=quarantine,
                most_bad=most_bad, progress=progress)  # fmt: skip


def keep(
    reading: Reading,
    home: Path,
    *,
    name: str,
    source: str,
    origin: Callable[[], Origin],
    files: Sequence[Path] = (),
    drop_bad: bool = False,
    quarantine: bool = False,
    most_bad: float = QUARANTINE_MOST,
    progress: Progress = silent,
) -> Prepared:
    """Validate what was read and store it, as `prepare` says.

    `name` is for errors; `origin` says where the rows came from, and is asked if some are bad.
    """
    progress(f"validate {source}", 1, 3)
    today = dt.datetime.now(dt.UTC).date()
    report = validate_reading(reading, source=source, as_of=today, drop_bad=drop_bad)
    sifted = readable(reading)
    if quarantine and not report.ok:
        sifted = sift(reading, as_of=today)
        report = report_of(reading, sifted, report, source=source, as_of=today)
    write_text(home / "reports" / "validation.html", report.to_html())
    if quarantine:
        require_few(sifted, reading.frame.height, most_bad, source)
    if not report.ok:
        raise _refusal(name, report, reading, home)
    progress(f"store {source}", 2, 3)
    came = reading.frame.height
    snapshot = write_snapshot(
        sifted.frame, home, source=source, files=files, rows_in=came,
        aside=lambda name: write_quarantine(sifted.faults, home, name, origin, rows_in=came),
    )  # fmt: skip
    return Prepared(snapshot, report, len(sifted.rows))


def _only_snapshot(folder: Path) -> Snapshot:
    """Open a snapshot by its own folder, or by one that holds just it."""
    if (folder / "manifest.json").exists():
        return Snapshot.load(folder)
    below = folder / "snapshots" if (folder / "snapshots").is_dir() else folder
    found = sorted(path.parent for path in below.glob("*/manifest.json"))
    if len(found) != 1:
        raise DataError(f"{folder} holds {len(found)} snapshots.",
                        fix="Name a file of incidents, or the folder of one snapshot.")  # fmt: skip
    return Snapshot.load(found[0])


def _refusal(data: str, report: Report, reading: Reading, home: Path) -> DataError:
    errors = " ".join(
        f"{item.meaning} ({item.check}: {item.count:,}, e.g. "
        f"{', '.join(dict.fromkeys(found.value for found in item.evidence[:3]))})"
        for item in report.errors
    )
    unread = ", or leave unreadable ones out with --on-bad drop" if reading.bad_rows else ""
    by_row = any(found.row is not None for item in report.errors for found in item.evidence)
    apart = ", or set bad ones aside with --on-bad quarantine" if by_row else ""
    return DataError(
        f"{data} does not keep the data contract.",
        why=errors,
        fix=f"See {home / 'reports' / 'validation.html'} and correct the rows{unread}{apart}.",
        bad=reading.bad,
    )


@dataclass(frozen=True, slots=True)
class Trained:
    """A bundle, and how it did on its hold-out."""

    bundle: Bundle
    split: TimeSplit
    evaluation: Evaluation
    checks: list[Check]
    reports: Path


def train(
    snapshot: Snapshot,
    params: Params,
    home: Path,
    *,
    train_until: dt.date | None = None,
    test_until: dt.date | None = None,
    mix: Floats | None = None,
    signing: SigningKey | None = None,
    crew: Crew | None = None,
    progress: Progress = silent,
) -> Trained:
    """Fit on the older incidents of a snapshot, score on the newer, write bundle and report.

    `mix` are the shares of the categories, shape (15,), where they are known to have changed.
    `signing` signs the bundle. `crew` fits the model, by default this machine.
    """
    refuse_forbidden(INCIDENT_FIELDS)
    split = split_by_time(snapshot.frame(), params.split, train_until, test_until)
    if not split.test.height:
        raise DataError(f"No incident occurred after {split.train_until}.",
                        why="A model without a hold-out cannot be judged.",
                        fix="Give an earlier --train-until, or newer data.")  # fmt: skip
    model = fit_model(split.train, split.train_until, params, progress, mix=mix, crew=crew)
    evaluation = evaluate_model(
        model, split.test, seed=params.seed, on_step=lambda name: progress(name, 0, 1)
    )
    card = model_card(
        evaluation,
        trained={
            "first": str(split.train["date_occ"].min()),
            "last": str(split.train_until),
            "rows": split.train.height,
            "sample": split.sample,
            "mix_adjusted": mix is not None,
        },
        params=params.to_dict(),
        data={"snapshot": snapshot.id, "source": snapshot.manifest["source"]},
        test_sample=split.test_sample,
    )
    progress("reference profile", 0, 1)
    bundle = write_bundle(
        model, home / "bundles", card=card, golden=golden_answers(model),
        reference=_reference(model, split, params),
    )  # fmt: skip
    if signing is not None:
        signing.sign(bundle.path)
    checks = run_checks(evaluation, params.checks)
    reports = home / "reports" / bundle.version
    _write_reports(reports, evaluation, checks, snapshot, split, bundle)
    return Trained(bundle, split, evaluation, checks, reports)


def _reference(model: Model, split: TimeSplit, params: Params) -> Reference:
    """Summarise what the model was made from, and how it does on what it has not seen."""

    def probabilities(level: InformationLevel) -> Floats:
        return model.probabilities(Columns.from_frame(split.test, level=level))

    return make_reference(
        split.train, targets(split.train), split.test, targets(split.test), probabilities,
        days=split.train_days, seed=params.seed,
    )  # fmt: skip


def _write_reports(
    folder: Path, evaluation: Evaluation, checks: list[Check],
    snapshot: Snapshot, split: TimeSplit, bundle: Bundle,
) -> None:  # fmt: skip
    facts = {
        "bundle": bundle.sha256,
        "snapshot": f"{snapshot.id} ({snapshot.manifest['source']})",
        "trained on": f"{split.train.height:,} incidents up to {split.train_until}"
        + ("" if split.sample == "all" else f" ({split.sample})"),
    }
    page = training_report(evaluation, checks, facts=facts)
    write_text(folder / "training_report.html", page)
    verdict = {**evaluation.to_dict(), "checks": [check.to_dict() for check in checks]}
    write_text(folder / "evaluation.json", json.dumps(verdict, indent=1))
    write_text(folder / "card.json", json.dumps(bundle.card, indent=1))
    for name, figure in figures(evaluation).items():
        figure.savefig(folder / f"{name}.png", dpi=110)


def register(trained: Trained, snapshot: Snapshot, registry: Registry) -> str:
    """Log a training run and put its bundle under alias `staging`; return the version."""
    from crimeguard.registry.store import Run

    run = Run(
        params=trained.bundle.card["params"],
        metrics=trained.evaluation.metrics(),
        tags={
            "snapshot": snapshot.id,
            "train_until": trained.split.train_until.isoformat(),
            "test_until": trained.split.test_until.isoformat(),
            "training_sample": trained.split.sample,
            "git_commit": git_commit(),
            "bundle": trained.bundle.sha256,
        },
        artifacts=tuple(sorted(trained.reports.iterdir())),
    )
    return registry.register(trained.bundle, run)


def git_commit() -> str:
    """Return the commit of the code that runs, marked if the tree was changed; or 'unknown'."""
    git = shutil.which("git")
    here = Path(__file__).resolve().parent
    if git is None:
        return "unknown"
    asked = subprocess.run(  # noqa: S603
        [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip() or "unknown"


def labelled(data: Path, *, drop_bad: bool = False) -> pl.DataFrame:
    """Read incidents whose category is known, from a file or a snapshot's folder."""
    if data.is_dir():
        return _only_snapshot(data).frame()
    reading = read_file(data)
    return reading.drop_bad() if drop_bad else reading.require_clean(data.name)


def summary(trained: Trained) -> dict[str, Any]:
    """Return what a script wants to know of a training run."""
    return {
        "bundle": str(trained.bundle.path),
        "sha256": trained.bundle.sha256,
        "report": str(trained.reports / "training_report.html"),
        "train_rows": trained.split.train.height,
        "train_sample": trained.split.sample,
        "test_rows": trained.evaluation.rows,
        "train_until": trained.split.train_until.isoformat(),
        "test_until": trained.split.test_until.isoformat(),
        "metrics": trained.evaluation.metrics(),
        "checks": [check.to_dict() for check in trained.checks],
    }
