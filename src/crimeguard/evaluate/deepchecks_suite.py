"""The Deepchecks suite, run as a script by another Python than CrimeGuard's own.

    python -I deepchecks_suite.py FOLDER

Deepchecks pins other versions of everything, so nothing of CrimeGuard may be imported
here, and no model comes along: FOLDER holds request.json, train.parquet and test.parquet
(features, label, probabilities). What was found is written beside them, as findings.json
and page.html. `crimeguard.evaluate.suite` is the other end.
"""

from __future__ import annotations

import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
from deepchecks.core import CheckResult, ConditionCategory, ConditionResult, DatasetKind
from deepchecks.tabular import Dataset, SingleDatasetCheck, Suite
from deepchecks.tabular.checks import (
    CalibrationScore,
    ConfusionMatrixReport,
    SimpleModelComparison,
    TrainTestPerformance,
    WeakSegmentsPerformance,
)

Request = Mapping[str, Any]
# A value of a check to the one figure that its condition bounds.
Figure = Callable[[Any], float]


class ImportanceStability(SingleDatasetCheck):  # type: ignore[misc]
    """How far the importance of fields has moved from the champion's.

    The value is the total variation distance of the two, each scaled to sum one: 0 for
    the same reasons, 1 for wholly other ones.
    """

    # Deepchecks reads the arguments back from the attributes of the same names.
    def __init__(
        self, challenger: Mapping[str, float], champion: Mapping[str, float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.challenger = challenger
        self.champion = champion

    def run_logic(self, context: Any, dataset_kind: Any) -> Any:  # noqa: ARG002
        """Compare them; NaN if either model uses no field at all."""
        worth = pd.DataFrame({"challenger": self.challenger, "champion": self.champion})
        worth = worth.clip(lower=0)
        shares = worth / worth.sum()
        distance = float(shares.diff(axis=1)["champion"].abs().sum(skipna=False) / 2)
        figure = px.bar(shares, barmode="group", orientation="h", labels={"value": "share"})
        return CheckResult(distance, header="Importance Stability", display=[figure])


class AlignedCalibration(CalibrationScore):  # type: ignore[misc]
    """Deepchecks' calibration, with each category's own probabilities.

    The original numbers the columns of the probabilities by the categories among the rows
    at hand, and so reads its neighbour's where a rare one does not occur.
    """

    def run_logic(self, context: Any, dataset_kind: Any) -> Any:
        """Hand on only the columns of categories that occur."""
        present = set(context.get_data_by_kind(dataset_kind).classes_in_label_col)
        columns = [place for place, name in enumerate(context.model_classes) if name in present]
        model = SimpleNamespace(predict_proba=lambda x: context.model.predict_proba(x)[:, columns])
        narrowed = SimpleNamespace(
            model=model, with_display=context.with_display,
            get_data_by_kind=context.get_data_by_kind,
            assert_classification_task=context.assert_classification_task,
        )  # fmt: skip
        return super().run_logic(narrowed, dataset_kind)


def log_likelihood(model: Any, rows: Any, hot: Any) -> float:
    """Score the probability of the truth, which `hot` marks by row; Deepchecks' own cannot."""
    true = (model.predict_proba(rows) * np.asarray(hot)).sum(axis=1)
    return float(np.log(np.maximum(true, 1e-15)).mean())


LIKELIHOOD = "log-likelihood"
SCORERS = {"accuracy": "accuracy", "weighted F1": "f1_weighted", LIKELIHOOD: log_likelihood}


def _by_metric(value: pd.DataFrame) -> pd.DataFrame:
    return value.pivot_table(index="Metric", columns="Dataset", values="Value", dropna=False)


def degradation(value: pd.DataFrame) -> float:
    """Return the largest relative loss of a score from training to hold-out rows."""
    scores = _by_metric(value).drop(index=LIKELIHOOD)
    return float(((scores["Train"] - scores["Test"]) / scores["Train"]).max(skipna=False))


def overfitting(value: pd.DataFrame) -> float:
    """Return how many times the log-loss of training rows that of the hold-out is."""
    scores = _by_metric(value).loc[LIKELIHOOD]
    return float(scores["Test"] / scores["Train"])


def gain(value: Mapping[str, Any]) -> float:
    """Return by how much a score exceeds that of a simple tree, of what it could at most."""
    gains = []
    for scores in value["scores"].values():
        ours, simple = scores["Origin"], scores["Simple"]
        gains.append((ours - simple) / (1 - simple))
    return float(min(gains))


def confused(value: Any) -> float:
    """Return the largest share of all rows that is one category taken for one other."""
    counts = np.asarray(value, float)
    wrong = counts - np.diag(np.diag(counts))
    return float(wrong.max() / counts.sum())


def weakest(value: Mapping[str, Any]) -> float:
    """Return the accuracy of the weakest segment against the average."""
    segments = value["weak_segments_list"]
    return float(segments.iloc[0, 0] / value["avg_score"])


def skill_over(base: float) -> Figure:
    """Return the Brier score's gain on that of the base rates, 1 for certain and right."""
    return lambda briers: 1 - float(sum(briers.values())) / base


def suite_of(request: Request, base_brier: float, hits: pd.Series) -> tuple[Suite, list[Any]]:
    """Return the suite, and what it measured once it has run."""
    bounds, seed = request["bounds"], request["seed"]
    measured: list[Any] = []
    asked: list[tuple[Any, dict[str, Figure]]] = [
        (TrainTestPerformance(scorers=SCORERS),
         {"train-test degradation": degradation, "overfitting": overfitting}),
        (SimpleModelComparison(strategy="tree", max_depth=5, scorers=["accuracy"],
                               random_state=seed), {"gain over a simple tree": gain}),
        (ConfusionMatrixReport(), {"largest confusion": confused}),
        (WeakSegmentsPerformance(columns=request["segments"], n_top_features=None,
                                 score_per_sample=hits, random_state=seed,
                                 segment_minimum_size_ratio=request["segment_share"]),
         {"weakest segment": weakest}),
        (AlignedCalibration(), {"Brier skill": skill_over(base_brier)}),
    ]  # fmt: skip
    if "champion_importance" in request:
        stability = ImportanceStability(request["importance"], request["champion_importance"])
        asked.append((stability, {"importance shift": float}))
    for check, figures in asked:
        for name, figure in figures.items():
            kind, bound = bounds[name]
            judge = _condition(name, figure, kind, bound, measured)
            check.add_condition(f"{name} {kind} {bound:g}", judge)
    return Suite(
        "CrimeGuard: a challenger before it serves", *(check for check, _ in asked)
    ), measured


def _condition(
    name: str, figure: Figure, kind: str, bound: float, measured: list[Any]
) -> Callable[[Any], Any]:
    def judge(value: Any) -> Any:
        found = figure(value)
        passed = found >= bound if kind == "at least" else found <= bound
        measured.append({"name": name, "value": found if math.isfinite(found) else None})
        category = ConditionCategory.PASS if passed else ConditionCategory.FAIL
        return ConditionResult(category, f"{name} is {found:.4g}")

    return judge


def dataset(frame: pd.DataFrame, request: Request) -> Any:
    """Return the features and labels of a frame as Deepchecks wants them."""
    return Dataset(frame[[*request["features"], "label"]], label="label",
                   cat_features=request["categorical"])  # fmt: skip


def each_script_once(page: str) -> str:
    """Leave out repeated scripts of a page: every figure brings all of Plotly, 5 MB.

    One more copy is for pages with require.js, which this one is not.
    """
    seen: set[str] = set()

    def keep(found: re.Match[str]) -> str:
        script = found[0]
        first = script not in seen and "typeof require !==" not in script[:100]
        seen.add(script)
        return script if first else ""

    return re.sub(r"<script\b[^>]*>.*?</script>", keep, page, flags=re.DOTALL)


def run(folder: Path) -> None:
    """Read a request, run the suite, write what it found."""
    request = json.loads((folder / "request.json").read_text())
    frames = [pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test")]
    classes = request["classes"]
    probabilities = [frame[[f"p_{name}" for name in classes]].to_numpy() for frame in frames]
    answers = [np.array(classes)[shares.argmax(axis=1)] for shares in probabilities]
    rates = frames[1]["label"].value_counts(normalize=True)
    # Rows of the same number in both would be renamed, and their hits not found.
    frames[0].index = frames[0].index + len(frames[1])
    # In percent: the search leaves alone what differs by less than a fixed amount.
    hits = pd.Series(100.0 * (answers[1] == frames[1]["label"].to_numpy()))
    suite, measured = suite_of(request, float((rates * (1 - rates)).sum()), hits)
    result = suite.run(
        dataset(frames[0], request), dataset(frames[1], request),
        feature_importance=pd.Series(request["column_importance"]),
        y_pred_train=answers[0], y_pred_test=answers[1],
        y_proba_train=probabilities[0], y_proba_test=probabilities[1], model_classes=classes,
        run_single_dataset=DatasetKind.TEST.value,
    )  # fmt: skip
    failed = [{"check": item.get_header(), "why": str(item.exception)}
              for item in result.get_not_ran_checks()]  # fmt: skip
    page = folder / "page.html"
    # Not the page of widgets: that one loads its programs from elsewhere.
    result.save_as_html(str(page), as_widget=False, requirejs=False, connected=False)
    page.write_text(each_script_once(page.read_text()))
    findings = {"measured": measured, "failed": failed}
    (folder / "findings.json").write_text(json.dumps(findings, allow_nan=False))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(Path(sys.argv[1]))
