"""The parameters of a training run, as `params.yaml` states them."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from crimeguard.domain.errors import UsageError
from crimeguard.train.forest import DEEPEST


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitParams:
    """How time is cut; all in days.

    `test_share` is the newest share of the days that is held out when no date is given;
    `calibration_days` the newest part of the training window, kept from the members
    while the pool is calibrated on it; `embargo_days` the gap before it. With
    `reported_by_then` a training incident must also have been reported by the end of its
    window, as on the day itself nothing else is known; without it, training waits until
    the late reports are in.

    Of more than `most_training_rows` incidents to train on, or `most_test_rows` to score, so
    many are taken, evenly over time.
    """

    test_share: float = 0.2
    calibration_days: int = 14
    embargo_days: int = 2
    reported_by_then: bool = False
    most_training_rows: int = 100_000
    most_test_rows: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureParams:
    """`min_count` is how often a code or cross must occur to count as known."""

    min_count: int = 5
    mo_columns: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearParams:
    """How the linear member is fitted.

    `spread_*` is the prior variance of a weight at each level, `spread_codes` that of an
    MO code or weapon by itself; `folds` are blocks of time.
    """

    spread_call: float = 0.07
    spread_victim: float = 0.1
    spread_report: float = 0.1
    spread_codes: float = 2.0
    iterations: int = 120
    folds: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeParams:
    """What XGBoost and LightGBM have in common."""

    rounds: int
    learning_rate: float
    l2: float
    column_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class XgboostParams(TreeParams):
    """Vector-leaf trees: each predicts all categories at once."""

    rounds: int = 100
    learning_rate: float = 0.1
    l2: float = 10.0
    column_share: float = 0.5
    max_depth: int = 8
    row_share: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class LightgbmParams(TreeParams):
    """One tree a category and round, leaf by leaf."""

    rounds: int = 10
    learning_rate: float = 0.3
    l2: float = 10.0
    column_share: float = 1.0
    num_leaves: int = 15
    max_depth: int = 6
    min_rows_in_leaf: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralParams:
    """`units` of the hidden layer a seed; `seeds` networks are averaged."""

    units: int = 128
    epochs: int = 2
    batch: int = 256
    learning_rate: float = 0.002
    l2: float = 0.001
    seeds: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckParams:
    """What a bundle must show on its hold-out before it may serve for the first time."""

    min_test_rows: int = 1000
    max_ece: float = 0.03
    min_macro_auc: float = 0.9
    min_log_loss_gain: float = 0.1
    min_coverage: float = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class GateParams:
    """What a challenger must show before it replaces the champion.

    `max_loss` is how much accuracy (and, in nats, log-loss) it may cost at most, at the
    unfavourable end of the bootstrap interval; `max_slice_loss` the same for a slice of at
    least `min_slice_rows` incidents. `max_latency_ratio` is against the champion,
    `max_latency_ms` for one incident by itself. With `deepchecks` the suite of that name
    has to pass as well, and the bounds below it are its own: docs/gates.md says of what.
    """

    confidence: float = 0.95
    resamples: int = 1000
    max_loss: float = 0.01
    max_slice_loss: float = 0.05
    min_slice_rows: int = 100
    max_latency_ratio: float = 2.0
    max_latency_ms: float = 50.0
    max_bytes: int = 100_000_000
    deepchecks: bool = True
    max_degradation: float = 0.15
    max_overfitting: float = 3.0
    min_tree_gain: float = 0.4
    max_confusion: float = 0.08
    min_segment: float = 0.5
    min_brier_skill: float = 0.5
    max_importance_shift: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorParams:
    """When drift is told.

    A score above `warning` is a warning, one above `critical` an alarm. A window holds the
    predictions of the last `window_days`, at most the newest `max_rows`; below `min_rows`
    nothing is said. Labels count once their prediction is `maturity_days` old, since they
    do not arrive at random: what is cleared up at once is of other kinds. `volume` is for
    a service that sees all incidents, so that their daily number can be compared.
    """

    warning: float = 0.3
    critical: float = 0.5
    window_days: float = 7.0
    min_rows: int = 300
    max_rows: int = 100_000
    maturity_days: float = 7.0
    volume: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainParams:
    """When a model is trained again.

    At least `persistence` of the last `windows` verdicts must be critical, the last
    training `cool_down_days` old, `min_new_rows` labelled incidents new since the
    champion was trained, and fewer than `budget` trainings in the last 30 days.
    """

    persistence: int = 2
    windows: int = 3
    cool_down_days: float = 1.0
    min_new_rows: int = 1000
    budget: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningParams:
    """How `crimeguard tune` tries parameters; all of it inside the training window.

    Every trial is scored on `folds` blocks of `fold_days`, each by a model of the days before
    it. The newest `confirm_days` are seen by no trial: the best one is judged there, and is
    proposed if it gains at least `min_gain` nats of log-loss, with `confidence` more than
    none. The first `startup` trials are drawn at random, and none of them is cut short.
    """

    folds: int = 3
    fold_days: int = 7
    confirm_days: int = 14
    startup: int = 8
    min_gain: float = 0.001
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Everything that shapes a model beside its data."""

    seed: int = 20260
    threads: int = 2
    coverage: float = 0.9
    split: SplitParams = field(default_factory=SplitParams)
    features: FeatureParams = field(default_factory=FeatureParams)
    linear: LinearParams = field(default_factory=LinearParams)
    xgboost: XgboostParams = field(default_factory=XgboostParams)
    lightgbm: LightgbmParams = field(default_factory=LightgbmParams)
    neural: NeuralParams = field(default_factory=NeuralParams)
    checks: CheckParams = field(default_factory=CheckParams)
    gates: GateParams = field(default_factory=GateParams)
    monitor: MonitorParams = field(default_factory=MonitorParams)
    retrain: RetrainParams = field(default_factory=RetrainParams)
    tuning: TuningParams = field(default_factory=TuningParams)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, as `params.yaml` has them."""
        return asdict(self)


_SECTIONS = {
    "split": SplitParams,
    "features": FeatureParams,
    "linear": LinearParams,
    "xgboost": XgboostParams,
    "lightgbm": LightgbmParams,
    "neural": NeuralParams,
    "checks": CheckParams,
    "gates": GateParams,
    "monitor": MonitorParams,
    "retrain": RetrainParams,
    "tuning": TuningParams,
}


def load_params(path: Path | None = None) -> Params:
    """Read a parameter file, by default `params.yaml` here, else the built-in values.

    Raises UsageError that names an unknown or ill-typed parameter.
    """
    if path is None:
        path = Path("params.yaml")
        if not path.exists():
            return Params()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise UsageError(f"There is no parameter file {path}.", fix="Check --params.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", why=f"{error.strerror}.",
                         fix="Check --params.") from None  # fmt: skip
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML.", why=str(error)) from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} is not a table of parameters.")
    return params_from_dict(data, source=str(path))


def params_from_dict(data: dict[str, Any], *, source: str) -> Params:
    """Build parameters from nested plain values; what is not named keeps its default."""
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key in _SECTIONS:
            if not isinstance(value, dict):
                raise UsageError(f"{source}: {key} must be a table of parameters.")
            values[key] = _build(_SECTIONS[key], value, f"{source}: {key}.")
        else:
            values[key] = value
    params: Params = _build(Params, values, f"{source}: ")
    return params


def _build(cls: type[Any], values: dict[str, Any], where: str) -> Any:
    known = {item.name: getattr(cls(), item.name) for item in fields(cls)}
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{where}{key} is no parameter.", fix=f"Known: {', '.join(known)}.")
        default = known[key]
        number = isinstance(default, int | float) and not isinstance(default, bool)
        accepted = (int, float) if isinstance(default, float) else type(default)
        mistyped = not isinstance(value, accepted) or isinstance(value, bool) != isinstance(
            default, bool
        )
        if mistyped or (number and not _in_range(key, value)):
            least = "non-negative" if key in _MAY_BE_ZERO else "positive"
            bound = 1 if key.endswith(_AT_MOST_ONE) else _AT_MOST.get(key)
            most = "" if bound is None else f" of at most {bound}"
            raise UsageError(f"{where}{key} is {value!r}.",
                             fix=f"Give a {least} {type(default).__name__}{most}.")  # fmt: skip
    return cls(**values)


_MAY_BE_ZERO = ("embargo_days", "seed", "maturity_days", "cool_down_days", "min_gain")
_AT_MOST_ONE = (
    "_share", "coverage", "max_ece", "min_macro_auc", "confidence", "warning", "critical",
)  # fmt: skip


# The trees are laid out complete when they answer.
_AT_MOST = {"max_depth": DEEPEST}


def _in_range(key: str, value: float) -> bool:
    most = 1 if key.endswith(_AT_MOST_ONE) else _AT_MOST.get(key, sys.maxsize)
    return 0 < value <= most or (value == 0 and key in _MAY_BE_ZERO)
