"""What the labels of an experiment say: by the sequential test, or once by the fixed one.

The sequential test is that of `evaluate.betting`, with its assumptions. The fixed test is
made once, when the planned number of labels is there, on the first so many: McNemar's (1947)
score test in a shadow, the score test of two shares in a split.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np

from crimeguard.evaluate.betting import Mode, interval_of, log_evidence, threshold_of, values_of
from crimeguard.evaluate.experiment_plan import Plan
from crimeguard.features.columns import Floats, Ints

Verdict = Literal["better", "worse", "undecided", "inconclusive"]
_MOST_LOOKS: Final = 100_000
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Arm:
    """What one model did on the labelled incidents: shares and nats; None without any."""

    rows: int
    accuracy: float | None
    log_loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the labels say so far.

    `estimate` is the difference in accuracy, challenger minus champion, within `low` and
    `high` with a confidence of 1 - alpha. `better` and `worse` are the logarithms of the
    evidence of the sequential test, which decides at `threshold`; `p_value` is the fixed
    test's. `decided_at` is the number of labelled incidents at which either spoke. What is
    not known yet is None. `missing` labels lack to the horizon.
    """

    verdict: Verdict
    labelled: int
    missing: int
    champion: Arm
    challenger: Arm
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    better: float | None = None
    worse: float | None = None
    threshold: float | None = None
    decided_at: int | None = None
    p_value: float | None = None
    discordance: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """The labelled incidents of an experiment, in the order in which they come to be used.

    Parameters
    ----------
    mode, share
        How they were assigned; `share` is 0 in a shadow.
    champion, challenger
        1 for a right and 0 for a wrong answer, shape (n,); NaN where the model did not
        answer, which in a split is one of the two.
    champion_loss, challenger_loss
        The log-loss of each answer in nats, likewise.
    """

    mode: Mode
    share: float
    champion: Floats
    challenger: Floats
    champion_loss: Floats
    challenger_loss: Floats

    def __len__(self) -> int:
        return len(self.champion)

    @property
    def kinds(self) -> Ints:
        """The place of each incident's value in `values_of`, shape (n,)."""
        if self.mode == "shadow":
            return (self.challenger - self.champion + 1).astype(np.int64)
        asked = ~np.isnan(self.challenger)
        right = np.where(asked, self.challenger, self.champion)
        return (2 * asked + right).astype(np.int64)

    def first(self, rows: int) -> Outcomes:
        """Return the first so many."""
        return Outcomes(
            self.mode, self.share, self.champion[:rows], self.challenger[:rows],
            self.champion_loss[:rows], self.challenger_loss[:rows],
        )  # fmt: skip


def judge_experiment(outcomes: Outcomes, plan: Plan) -> Finding:
    """Say what the labelled incidents tell of the challenger."""
    if plan.method == "sequential":
        return _sequential(outcomes, plan)
    return _fixed(outcomes, plan)


def _sequential(outcomes: Outcomes, plan: Plan) -> Finding:
    values = values_of(outcomes.mode, outcomes.share, plan.baseline)
    seen = np.cumsum(np.eye(len(values))[outcomes.kinds], axis=0)[_looks(len(outcomes))]
    threshold = threshold_of(plan.alpha)
    for_better, for_worse = log_evidence(seen, values), log_evidence(seen, -values)
    # What was enough once stays enough: the guarantee is of ever reaching it.
    reached = np.flatnonzero(np.maximum(for_better, for_worse) >= threshold)
    verdict: Verdict = "undecided" if len(outcomes) < plan.horizon else "inconclusive"
    if len(reached):
        verdict = "better" if for_better[reached[0]] >= threshold else "worse"
    known = len(outcomes) > 0
    low, high = interval_of(seen[-1], values, plan.alpha) if known else (None, None)
    return Finding(
        verdict=verdict, estimate=_difference(outcomes), low=low, high=high,
        better=float(for_better[-1]) if known else 0.0,
        worse=float(for_worse[-1]) if known else 0.0,
        threshold=threshold, decided_at=int(seen[reached[0]].sum()) if len(reached) else None,
        **_told(outcomes, plan),
    )  # fmt: skip


def _looks(rows: int) -> Ints:
    """Return where to look: after each incident, or of very many after some, and the last."""
    step = max(1, rows // _MOST_LOOKS)
    return np.arange(rows - 1, -1, -step)[::-1]


def _fixed(outcomes: Outcomes, plan: Plan) -> Finding:
    """Test the first `horizon` incidents; before they are there nothing is said."""
    told = _told(outcomes, plan)
    if len(outcomes) < plan.horizon:
        return Finding(verdict="undecided", **told)
    tested = outcomes.first(plan.horizon)
    difference = _difference(tested)
    if difference is None:
        return Finding(verdict="inconclusive", **told)
    score, error = fixed_score(_counts(tested), tested.mode)
    p_value = 2 * _NORMAL.cdf(-abs(float(score)))
    half = _NORMAL.inv_cdf(1 - plan.alpha / 2) * float(error)
    found = p_value <= plan.alpha
    verdict: Verdict = "inconclusive" if not found else "better" if score > 0 else "worse"
    return Finding(
        verdict=verdict, estimate=difference, low=max(-1.0, difference - half),
        high=min(1.0, difference + half), decided_at=plan.horizon,
        p_value=p_value, **told,
    )  # fmt: skip


def fixed_score(counts: Floats, mode: Mode) -> tuple[Floats, Floats]:
    """Return the score of "there is no difference", and the standard error of the difference.

    `counts` has shape (..., k), as for `log_evidence`; both results have shape (...).
    """
    rows = counts.sum(axis=-1)
    if mode == "shadow":
        lost, _, won = np.moveaxis(counts, -1, 0)
        score = (won - lost) / np.sqrt(np.maximum(won + lost, 1))
        variance = (won + lost) / rows - ((won - lost) / rows) ** 2
        return score, np.sqrt(variance / rows)
    old_wrong, old_right, new_wrong, new_right = np.moveaxis(counts, -1, 0)
    old, new = old_wrong + old_right, new_wrong + new_right
    first, second = old_right / old, new_right / new
    pooled = (old_right + new_right) / rows
    under_null = np.sqrt(np.maximum(pooled * (1 - pooled) * (1 / old + 1 / new), 1e-12))
    error = np.sqrt(first * (1 - first) / old + second * (1 - second) / new)
    return (second - first) / under_null, error


def _counts(outcomes: Outcomes) -> Floats:
    size = 3 if outcomes.mode == "shadow" else 4
    return np.bincount(outcomes.kinds, minlength=size).astype(np.float64)


def _told(outcomes: Outcomes, plan: Plan) -> dict[str, Any]:
    apart = None
    if outcomes.mode == "shadow" and len(outcomes):
        apart = float(np.mean(outcomes.champion != outcomes.challenger))
    return {
        "labelled": len(outcomes), "missing": max(0, plan.horizon - len(outcomes)),
        "champion": _arm(outcomes.champion, outcomes.champion_loss),
        "challenger": _arm(outcomes.challenger, outcomes.challenger_loss),
        "discordance": apart,
    }  # fmt: skip


def _arm(right: Floats, loss: Floats) -> Arm:
    asked = ~np.isnan(right)
    rows = int(asked.sum())
    if not rows:
        return Arm(0, None, None)
    return Arm(rows, float(right[asked].mean()), float(loss[asked].mean()))


def _difference(outcomes: Outcomes) -> float | None:
    one, other = (_arm(right, right) for right in (outcomes.champion, outcomes.challenger))
    if one.accuracy is None or other.accuracy is None:
        return None
    return other.accuracy - one.accuracy
