"""Deepchecks, asked from here: files go over to its own environment, findings come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import GateRefusedError
from crimeguard.evaluate.checks import Check
from crimeguard.evaluate.gate import Case
from crimeguard.features.columns import Columns, Floats
from crimeguard.settings import Settings
from crimeguard.train.fit import targets
from crimeguard.train.params import GateParams

SCRIPT: Final = Path(__file__).with_name("deepchecks_suite.py")
# Enough to tell a sick model from a healthy one, and done in half a minute.
TRAIN_ROWS, TEST_ROWS = 4_000, 2_000
SEGMENTS: Final = ("hour", "area", "premise", "vict_age", "vict_sex", "weapon")  # in pairs
SEGMENT_SHARE: Final = 0.05  # of the rows that a weak segment has at least
MO_CODES: Final = 12  # the commonest, as columns of their own
TIMEOUT: Final = 300  # seconds
CATEGORICAL: Final = ("weekday", "area", "premise", "vict_sex", "vict_descent", "weapon")
# Which field of `evaluation.FIELD_GROUPS` a column shows; MO codes are added by number.
SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "date and time": ("hour", "weekday"),
    "area and district": ("area",),
    "coordinates": ("lat", "lon"),
    "cross street": ("crossed",),
    "premise": ("premise",),
    "victim age": ("vict_age",),
    "victim sex": ("vict_sex",),
    "victim descent": ("vict_descent",),
    "days until reported": ("delay",),
    "weapon": ("weapon",),
}
_QUIET: Final = {
    "DISABLE_DEEPCHECKS_ANALYTICS": "1",
    "DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY": "1",
    "DISABLE_LATEST_VERSION_CHECK": "1",
    "DO_NOT_TRACK": "1",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}


@dataclass(frozen=True, slots=True)
class Suite:
    """What Deepchecks measured, and its page."""

    checks: tuple[Check, ...]
    page: str


def bounds(params: GateParams, *, champion: bool) -> dict[str, tuple[str, float]]:
    """Return the bound of every figure that the suite has to bring back."""
    asked = {
        "train-test degradation": ("at most", params.max_degradation),
        "overfitting": ("at most", params.max_overfitting),
        "gain over a simple tree": ("at least", params.min_tree_gain),
        "largest confusion": ("at most", params.max_confusion),
        "weakest segment": ("at least", params.min_segment),
        "Brier skill": ("at least", params.min_brier_skill),
    }
    if champion:
        asked["importance shift"] = ("at most", params.max_importance_shift)
    return asked


def interpreter(settings: Settings) -> Path:
    """Return the Python that has Deepchecks; GateRefusedError if there is none."""
    named = settings.deepchecks_python
    path = Path(named) if named else Path(sys.prefix) / "deepchecks" / "bin" / "python"
    if not path.exists():
        raise GateRefusedError(
            f"There is no Python with Deepchecks at {path}.",
            why="Deepchecks needs an environment of its own.",
            fix="run `make .venv/.deepchecks`, or set gates.deepchecks: false in params.yaml",
        )
    return path


def run_suite(case: Case) -> Suite:
    """Run the suite on samples of the training rows and the hold-out.

    Raises GateRefusedError when it cannot be run, or comes back without a figure.
    """
    python = interpreter(case.settings)
    with tempfile.TemporaryDirectory(prefix="crimeguard-deepchecks-") as name:
        folder = Path(name)
        write_request(case, folder)
        _call(python, folder)
        findings = json.loads((folder / "findings.json").read_text())
        page = (folder / "page.html").read_text(encoding="utf-8")
    if findings["failed"]:
        broken = "; ".join(f"{item['check']}: {item['why']}" for item in findings["failed"])
        raise GateRefusedError("Deepchecks could not run every check.", why=broken)
    measured = {item["name"]: item["value"] for item in findings["measured"]}
    asked = bounds(case.params.gates, champion=case.champion is not None)
    return Suite(tuple(_check(name, measured.get(name), *asked[name]) for name in asked), page)


def _check(name: str, value: float | None, kind: Any, bound: float) -> Check:
    return Check(name, float("nan") if value is None else value, kind, bound)


def _call(python: Path, folder: Path) -> None:
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), **_QUIET}
    try:
        # Isolated (-I), so that neither this folder nor any PYTHONPATH is imported from.
        subprocess.run(  # noqa: S603
            [str(python), "-I", str(SCRIPT), str(folder)], cwd=folder, env=environment,
            capture_output=True, text=True, timeout=TIMEOUT, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise GateRefusedError(f"Deepchecks did not finish in {TIMEOUT} seconds.") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise GateRefusedError("Deepchecks failed.", why=last) from None


def write_request(case: Case, folder: Path) -> None:
    """Write what the other side reads: two Parquet files and a request."""
    gates, seed = case.params.gates, case.params.seed
    codes = common_codes(case.train)
    # The newest training rows: nearest to the hold-out, so that a gap between them is what
    # the model learnt by heart rather than what changed in the city.
    newest = case.train.sort("date_occ", maintain_order=True).tail(TRAIN_ROWS)
    rest = case.test.sample(min(TEST_ROWS, case.test.height), seed=seed)
    for name, rows in (("train", newest), ("test", rest)):
        answers = case.challenger.model.probabilities(Columns.from_frame(rows, level=case.best))
        table(rows, codes, answers).write_parquet(folder / f"{name}.parquet")
    features = [*features_of(case.train, codes).columns]
    request: dict[str, Any] = {
        "seed": seed,
        "features": features,
        "categorical": [name for name in CATEGORICAL if name in features],
        "classes": sorted(CATEGORIES),
        "segments": [name for name in SEGMENTS if name in features],
        "segment_share": SEGMENT_SHARE,
        "bounds": bounds(gates, champion=case.champion is not None),
        "importance": case.evaluation.importance,
        "column_importance": column_importance(case.evaluation.importance, features),
    }
    if case.champion_importance is not None:
        request["champion_importance"] = case.champion_importance
    (folder / "request.json").write_text(json.dumps(request, allow_nan=False))


def table(rows: pl.DataFrame, codes: list[int], answers: Floats) -> pl.DataFrame:
    """Return features, label and probabilities p_<category> of incidents."""
    shares = pl.DataFrame({f"p_{name}": answers[:, i] for i, name in enumerate(CATEGORIES)})
    label = pl.Series("label", np.array(CATEGORIES)[targets(rows)])
    return pl.concat([features_of(rows, codes), label.to_frame(), shares], how="horizontal")


def common_codes(frame: pl.DataFrame) -> list[int]:
    """Return the commonest MO codes, most common first."""
    if "mocodes" not in frame.columns:
        return []
    counted = frame["mocodes"].explode().drop_nulls().value_counts(name="n")
    return counted.sort(["n", "mocodes"], descending=[True, False])["mocodes"][:MO_CODES].to_list()


def features_of(frame: pl.DataFrame, codes: list[int]) -> pl.DataFrame:
    """Return what is known of incidents in columns that a person can read."""
    col, whole = pl.col, pl.Int64
    known = {
        "hour": col("time_occ") // 100,
        "weekday": col("date_occ").dt.to_string("%a"),
        "area": col("area").cast(pl.String),
        "lat": col("lat"),
        "lon": col("lon"),
        "crossed": col("cross_street").is_not_null().cast(whole),
        "premise": col("premis_cd").cast(pl.String),
        "vict_age": col("vict_age").cast(pl.Float64),
        "vict_sex": col("vict_sex"),
        "vict_descent": col("vict_descent"),
        "delay": (col("date_rptd") - col("date_occ")).dt.total_days().cast(pl.Float64),
        "weapon": col("weapon_used_cd").cast(pl.String),
        "mo_count": col("mocodes").list.len().cast(pl.Float64).fill_null(0),
        **{f"mo_{code:04d}": col("mocodes").list.contains(code).cast(whole).fill_null(0)
           for code in codes},
    }  # fmt: skip
    texts = [
        expression.fill_null("none") if name in CATEGORICAL else expression
        for name, expression in known.items()
    ]
    there = set(frame.columns)
    return frame.select(
        expression.alias(name)
        for name, expression in zip(known, texts, strict=True)
        if set(expression.meta.root_names()) <= there
    )


def column_importance(worth: Mapping[str, float], features: list[str]) -> dict[str, float]:
    """Share out each field's worth among the columns that show it; the sum is one."""
    shown = {**SHOWN, "MO codes": tuple(name for name in features if name.startswith("mo_"))}
    shares = dict.fromkeys(features, 0.0)
    for field, value in worth.items():
        columns = [name for name in shown[field] if name in shares]
        for name in columns:
            shares[name] = max(value, 0.0) / len(columns)
    total = sum(shares.values())
    if not total > 0:
        raise GateRefusedError("The challenger's answers do not depend on any field.")
    return {name: share / total for name, share in shares.items()}
