"""Power and false positives of the tests of experiments, by simulation.

    python -m benchmarks.experiments [EXPERIMENTS [SEED]]

Every simulated experiment runs to the horizon of its plan, for an effect of 0.02 found with a
power of 80 % at alpha 5 %. The sequential test is looked at 2,000 times on the way, the fixed
test once. Shares of experiments in which the challenger is called better or worse are shown
with the true difference in accuracy; `labels` is the median at which the sequential test spoke.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from crimeguard.evaluate.betting import Mode, log_evidence, threshold_of, values_of
from crimeguard.evaluate.experiment import fixed_score
from crimeguard.evaluate.experiment_plan import METHODS, Plan, make_plan
from crimeguard.features.columns import Ints

DESIGNS: tuple[tuple[Mode, float], ...] = (("shadow", 0.0), ("split", 0.5), ("split", 0.1))
EFFECTS = (0.0, 0.5, 1.0, -1.0, 2.0)  # of the plan's
LOOKS = 2_000
ROOM = 4_000_000  # incidents in memory at once


@dataclass(frozen=True)
class Called:
    """Which experiments called the challenger better or worse, and after how many labels."""

    better: np.ndarray[tuple[int], np.dtype[np.bool_]]
    worse: np.ndarray[tuple[int], np.dtype[np.bool_]]
    labels: Ints

    def share(self, direction: str) -> float:
        """Return the share of experiments that called it so."""
        return float(getattr(self, direction).mean())


def simulate(
    mode: Mode, share: float, plan: Plan, effect: float, experiments: int, seed: int
) -> Called:
    """Run experiments whose challenger truly is better by `effect`."""
    rng = np.random.default_rng(seed)
    step = max(1, ROOM // plan.horizon)
    parts = []
    for first in range(0, experiments, step):
        drawn = _draw(mode, share, plan, effect, min(step, experiments - first), rng)
        parts.append(_run(mode, share, plan, drawn))
    return Called(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in
          ("better", "worse", "labels"))
    )  # fmt: skip


def _draw(
    mode: Mode, share: float, plan: Plan, effect: float, experiments: int,
    rng: np.random.Generator,
) -> Ints:  # fmt: skip
    """Return the kind of each incident's value, shape (experiments, horizon)."""
    if mode == "shadow":
        apart = plan.discordance
        chances = [(apart - effect) / 2, 1 - apart, (apart + effect) / 2]
    else:
        new = plan.baseline + effect
        chances = [(1 - share) * (1 - plan.baseline), (1 - share) * plan.baseline,
                   share * (1 - new), share * new]  # fmt: skip
    edges = np.cumsum(chances)[:-1]
    return np.searchsorted(edges, rng.random((experiments, plan.horizon)))


def _run(mode: Mode, share: float, plan: Plan, kinds: Ints) -> Called:
    values = values_of(mode, share, plan.baseline)
    if plan.method == "fixed":
        counts = np.stack([(kinds == kind).sum(axis=1) for kind in range(len(values))], axis=-1)
        score, _ = fixed_score(counts.astype(np.float64), mode)
        edge = NormalDist().inv_cdf(1 - plan.alpha / 2)
        rows = np.full(len(kinds), plan.horizon)
        return Called(score >= edge, score <= -edge, rows)
    looks = np.unique(np.linspace(1, plan.horizon, LOOKS).astype(np.int64)) - 1
    seen = np.stack(
        [(kinds == kind).cumsum(axis=1)[:, looks] for kind in range(len(values))], axis=-1
    ).astype(np.float64)
    edge = threshold_of(plan.alpha)
    up, down = log_evidence(seen, values) >= edge, log_evidence(seen, -values) >= edge
    first_up, first_down = _first(up), _first(down)
    spoke = np.minimum(first_up, first_down)
    labels = looks[np.minimum(spoke, len(looks) - 1)] + 1
    return Called((first_up < first_down), (first_down < first_up), labels)


def _first(reached: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Ints:
    return np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1])


def _told(called: Called, direction: str) -> str:
    share, n = called.share(direction), len(called.better)
    return f"{share:6.1%} +-{1.96 * math.sqrt(share * (1 - share) / n):5.1%}"


def main() -> None:
    """Print a table."""
    numbers = [int(word) for word in sys.argv[1:]]
    experiments, seed = (*numbers, *(200, 1)[len(numbers) :])
    began = time.perf_counter()
    print(f"{experiments} experiments a line; alpha 5 %, power 80 % for an effect of 0.02\n")
    print("| mode | share | test | horizon | true effect | better | worse | labels |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for mode, share in DESIGNS:
        for method in METHODS:
            plan = make_plan(mode, share, method=method)
            for times in EFFECTS:
                effect = times * plan.effect
                called = simulate(mode, share, plan, effect, experiments, seed)
                spoke = called.labels[called.better | called.worse]
                when = f"{int(np.median(spoke)):,}" if len(spoke) else "-"
                design = f"{mode} | {share or '-'} | {method} | {plan.horizon:,} | {effect:+.2f}"
                found = f"{_told(called, 'better')} | {_told(called, 'worse')} | {when}"
                print(f"| {design} | {found} |")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
