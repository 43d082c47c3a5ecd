"""`training_report.html`: one self-contained page on how good a model is, and where."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.evaluate.checks import Check
from crimeguard.evaluate.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"call": "#b5651d", "victim": "#5f7f9e", "report": "#1f5f4a"}


def training_report(
    evaluation: Evaluation, checks: Sequence[Check], *, facts: dict[str, Any]
) -> str:
    """Return the page as HTML; `facts` are named values for its head, e.g. the snapshot."""
    from jinja2 import Environment, StrictUndefined

    source = files("crimeguard.evaluate").joinpath("training_report.html.j2").read_text()
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
    return template.render(
        evaluation=evaluation,
        best=evaluation.best,
        checks=checks,
        facts=facts,
        plots={name: _png(plot) for name, plot in figures(evaluation).items()},
    )


def figures(evaluation: Evaluation) -> dict[str, Figure]:
    """Draw calibration, confusion and the worth of fields."""
    return {
        "calibration": _calibration(evaluation),
        "confusion": _confusion(evaluation),
        "importance": _importance(evaluation),
    }


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _calibration(evaluation: Evaluation) -> Figure:
    figure = _figure(6.4, 4.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    for label, item in evaluation.levels.items():
        bins = [point for point in item.calibration if point.rows >= 20]
        axes.plot(
            [point.confidence for point in bins], [point.accuracy for point in bins],
            marker="o", markersize=4, color=_COLOURS[label],
            label=f"{label} (ECE {item.scores.ece:.3f})",
        )  # fmt: skip
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    axes.set_title("Calibration: of answers given with confidence x, which share is right?")
    axes.title.set_fontsize(10)
    axes.legend(frameon=False)
    return figure


def _confusion(evaluation: Evaluation) -> Figure:
    counts = np.asarray(evaluation.best.confusion, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(8.6, 7.4)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Greens", vmin=0, vmax=1)
    for row, column in np.argwhere(shares >= 0.005):
        axes.text(column, row, f"{shares[row, column]:.0%}", ha="center", va="center", fontsize=7,
                  color="white" if shares[row, column] > 0.6 else "black")  # fmt: skip
    names = [name.replace("_", " ") for name in CATEGORIES]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"Confusion at level {evaluation.best.level}, share of the true category",
                   fontsize=10)  # fmt: skip
    return figure


def _importance(evaluation: Evaluation) -> Figure:
    names = list(evaluation.importance)[::-1]
    figure = _figure(6.4, 0.34 * len(names) + 1)
    axes = figure.add_subplot()
    axes.barh(names, [evaluation.importance[name] for name in names], color=_COLOURS["report"])
    axes.set_xlabel("rise in log-loss (nats) when the field is shuffled")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
