"""What an experiment is to find, and how many labels that takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final, Literal, get_args

from crimeguard.domain.errors import UsageError
from crimeguard.evaluate.betting import FRACTIONS, Mode

Method = Literal["sequential", "fixed"]
LEAST: Final = 1e-6  # of a share; below it the arithmetic would decide, not the incidents
METHODS: Final[tuple[Method, ...]] = get_args(Method)
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is tested, fixed before the first label.

    Parameters
    ----------
    method
        `sequential` may be looked at at any time, `fixed` once, at the horizon.
    alpha
        Chance of calling a challenger better or worse that is neither.
    effect, power
        A difference in accuracy of `effect` is found with a chance of `power` by the horizon,
        if `discordance` (shadow) or `baseline` (split) is as large as was thought.
    horizon
        Labelled incidents; in a split those of both models together.
    discordance
        Share of incidents that one of the two alone gets right, before there are figures.
    baseline
        Accuracy of the champion, before there are figures.
    maturity_days
        A label counts once its prediction is so old.
    metric
        What the test is about. Log-loss is reported and not tested.
    """

    horizon: int
    method: Method = "sequential"
    alpha: float = 0.05
    power: float = 0.8
    effect: float = 0.02
    discordance: float = 0.1
    baseline: float = 0.75
    maturity_days: float = 7.0
    metric: Literal["accuracy"] = "accuracy"

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON types."""
        return asdict(self)


def make_plan(
    mode: Mode,
    share: float = 0.0,
    *,
    method: Method = "sequential",
    alpha: float = 0.05,
    power: float = 0.8,
    effect: float = 0.02,
    horizon: int | None = None,
    discordance: float = 0.1,
    baseline: float = 0.75,
    maturity_days: float = 7.0,
) -> Plan:
    """Make a plan, with the horizon that its effect and power need if none is given.

    UsageError names what cannot be.
    """
    plan = Plan(
        horizon=horizon or 1, method=method, alpha=alpha, power=power, effect=effect,
        discordance=discordance, baseline=baseline, maturity_days=maturity_days,
    )  # fmt: skip
    for name, why in flaws_of(mode, share, plan):
        raise UsageError(f"An experiment cannot have this {name}.", why=f"It {why}.",
                         fix="docs/experiments.md says what each figure means.")  # fmt: skip
    rows = horizon or horizon_of(mode, share, plan)
    return Plan(**{**plan.to_dict(), "horizon": rows})


def flaws_of(mode: Mode, share: float, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the name of everything in a plan that cannot be, and why."""
    yield from _share_flaws(mode, share)
    bounds = (("alpha", 0.5), ("power", 1.0), ("effect", 1.0), ("discordance", 1.0),
              ("baseline", 1.0))  # fmt: skip
    for name, most in bounds:
        if not LEAST <= getattr(plan, name) < most:
            yield name, f"must lie between {LEAST:g} and {most:g}"
    if mode == "shadow" and plan.effect > plan.discordance:
        yield "effect", "cannot be above the discordance: models that agree do not differ"
    if mode == "split" and plan.effect >= min(plan.baseline, 1 - plan.baseline):
        yield "effect", "leads from the baseline beyond what an accuracy can be"
    if not 0 <= plan.maturity_days < math.inf:
        yield "maturity_days", "must be 0 or more"
    if plan.horizon < 1:
        yield "horizon", "must be at least 1"


def _share_flaws(mode: Mode, share: float) -> Iterator[tuple[str, str]]:
    if mode == "split" and not LEAST <= share < 1:
        yield "share", f"must lie between {LEAST:g} and 1"
    if mode == "shadow" and share != 0:
        yield "share", "belongs to a split: a shadow scores every incident"


def horizon_of(mode: Mode, share: float, plan: Plan) -> int:
    """Return the labelled incidents after which an effect is found with the plan's power.

    For the fixed test by Connor (1987) and the usual formula of two shares. For the
    sequential one by the growth of the capital at the best fraction, less what the others
    cost; that it is enough is shown by simulation (benchmarks/experiments.py).
    """
    sure = _NORMAL.inv_cdf(plan.power)
    needed = max(
        _needed(mode, share, plan, sign * plan.effect, sure) for sign in (1, -1)
    )  # fmt: skip
    return math.ceil(needed / plan.effect**2)


def _needed(mode: Mode, share: float, plan: Plan, effect: float, sure: float) -> float:
    if mode == "shadow":
        null, other = plan.discordance, plan.discordance - effect**2
    else:
        null, other = _split_variances(share, plan, effect)
    if plan.method == "sequential":
        edge = math.sqrt(2 * math.log(2 * len(FRACTIONS) / plan.alpha))
        return (edge + sure) ** 2 * null
    edge = _NORMAL.inv_cdf(1 - plan.alpha / 2)
    return (edge * math.sqrt(null) + sure * math.sqrt(max(other, 0.0))) ** 2


def _split_variances(share: float, plan: Plan, effect: float) -> tuple[float, float]:
    """Return the variance of the difference, times incidents, without and with the effect."""
    old, new = plan.baseline, plan.baseline + effect
    pooled = (1 - share) * old + share * new
    null = pooled * (1 - pooled) / (share * (1 - share))
    other = old * (1 - old) / (1 - share) + new * (1 - new) / share
    if plan.method == "sequential":
        null = other + effect**2 / share  # of the values that are bet on
    return null, other
