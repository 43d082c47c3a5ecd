"""The search for parameters: trials that Optuna proposes, kept so that a kill loses none.

Every trial is a line of its own in an SQLite file. One that was cut off is marked failed and
done again: what the sampler draws depends on the seed, on how many trials have finished and on
what these found, and not on how often the search was stopped in between. So the same seed gives
the same trials, killed or not.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from crimeguard import __version__
from crimeguard.domain.errors import CrimeGuardError
from crimeguard.train.nested import Days, Nested, Scorer, mean_loss, score_fold
from crimeguard.train.params import Params
from crimeguard.train.space import Dimension, present, with_values

Shower = Callable[[str, int, int], None]

_DIGITS: Final = 3  # of a value that is tried: what is proposed is to be read by people
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)
_JUDGES: Final = ("checks", "gates", "monitor", "retrain")
_VERDICT: Final = ("min_gain", "confidence")
_VALUES: Final = "values"
_DAYS: Final = "days"
_CONFIRMED: Final = "confirmed"


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished trial: the values tried, and the losses of the folds that it came to."""

    number: int
    pruned: bool
    values: dict[str, int | float]
    folds: list[Days]
    ended: float  # seconds since 1970

    @property
    def loss(self) -> float:
        """Return the mean log-loss over its folds, in nats."""
        return mean_loss(self.folds)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched: from which parameters, in which space, judged on which days.

    `data` names what the days are of: a snapshot's id.
    """

    params: Params
    space: tuple[Dimension, ...]
    nested: Nested
    data: str

    @property
    def shape(self) -> dict[str, Any]:
        """Return those parameters that make the trials what they are."""
        shape = {key: value for key, value in self.params.to_dict().items() if key not in _JUDGES}
        tuning = {key: value for key, value in shape["tuning"].items() if key not in _VERDICT}
        return shape | {"tuning": tuning}

    @property
    def name(self) -> str:
        """Name the study: another name for whatever would make its trials other ones."""
        told = {
            "params": self.shape,
            "space": [(item.name, item.low, item.high, item.log) for item in self.space],
            "folds": [(str(fold.until), fold.label) for fold in self.nested.folds],
            "confirm": self.nested.confirm.label,
            "data": self.data,
            "version": __version__,
        }
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return f"tune-{digest[:12]}"


class Study:
    """The trials of one plan, in a file that many plans share; not for two processes at once."""

    def __init__(self, plan: Plan, storage: optuna.storages.RDBStorage) -> None:
        self.plan = plan
        startup = plan.params.tuning.startup
        self._study = optuna.create_study(
            storage=storage, study_name=plan.name, direction="minimize", load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=startup),
        )  # fmt: skip

    def finished(self) -> list[Trial]:
        """Return the trials that came to an end, pruned ones among them, in their order."""
        found = self._study.get_trials(deepcopy=False, states=_FINISHED)
        return [_trial(item) for item in found]

    def failed(self) -> int:
        """Return how many trials were cut off, and done again if the search went on."""
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,)))

    def best(self) -> Trial | None:
        """Return the complete trial of the least loss, the older of equals."""
        complete = [item for item in self.finished() if not item.pruned]
        return min(complete, key=lambda item: (item.loss, item.number), default=None)

    def run(
        self, trials: int, seconds: float | None = None, *, scorer: Scorer = score_fold,
        on_step: Shower = lambda *_: None, on_trial: Callable[[Trial], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """Go on until `trials` have finished in all, or `seconds` are over.

        What runs then is cut off at its next step. `on_step` is told a name, steps done and
        steps in all; `on_trial` of each trial that finished.
        """
        self._abandon()
        end = None if seconds is None else time.monotonic() + seconds
        clock = _Clock(end, on_step)
        try:
            for place in range(len(self.finished()), trials):
                clock.prefix = f"trial {place + 1} of {trials}"
                on_trial(self._one(place, scorer, clock))
        except _TimeUpError:
            return

    def confirm(
        self, best: Trial, *, scorer: Scorer = score_fold, on_step: Shower = lambda *_: None
    ) -> tuple[Days, Days]:
        """Score what is used now and the best trial on the days that no trial has seen.

        Done once for a trial, and kept.
        """
        kept = self._study.user_attrs.get(_CONFIRMED, {})
        if kept.get("number") != best.number:
            fold, after = self.plan.nested.confirm, with_values(self.plan.params, best.values)
            kept = {
                "number": best.number,
                "before": scorer(fold, self.plan.params, _named("confirm, before", on_step)),
                "after": scorer(fold, after, _named("confirm, after", on_step)),
            }
            self._study.set_user_attr(_CONFIRMED, kept)
        return _days(kept["before"]), _days(kept["after"])

    def _abandon(self) -> None:
        """Mark failed what was running when a process was killed."""
        for item in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(item.number, state=TrialState.FAIL)

    def _one(self, place: int, scorer: Scorer, clock: _Clock) -> Trial:
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if place == 0 and not waiting:
            self._study.enqueue_trial(present(self.plan.params, self.plan.space))
        self._study.sampler = _sampler(self.plan.params, place)
        trial = self._study.ask()
        try:
            self._score(trial, self._suggest(trial, whole=place == 0), scorer, clock)
        except BaseException:
            # Ctrl-C may come in the moment after the trial was told.
            self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            raise
        return self.finished()[-1]

    def _suggest(self, trial: optuna.Trial, *, whole: bool) -> dict[str, int | float]:
        """Draw values, rounded; `whole` where they are those used now, which stay as they are."""
        values: dict[str, int | float] = {}
        for item in self.plan.space:
            if item.whole:
                value: int | float = trial.suggest_int(
                    item.name, int(item.low), int(item.high), log=item.log
                )
            else:
                value = trial.suggest_float(item.name, item.low, item.high, log=item.log)
                value = value if whole else _rounded(value, item)
            values[item.name] = value
        return values

    def _score(
        self, trial: optuna.Trial, values: dict[str, int | float], scorer: Scorer, clock: _Clock
    ) -> None:
        trial.set_user_attr(_VALUES, values)
        params = with_values(self.plan.params, values)
        folds: list[Days] = []
        for place, fold in enumerate(self.plan.nested.folds):
            clock.fold = place + 1
            clock("begin", 0, 1)
            folds.append(scorer(fold, params, clock))
            trial.report(mean_loss(folds), place)
            if place + 1 < len(self.plan.nested.folds) and trial.should_prune():
                trial.set_user_attr(_DAYS, folds)
                self._study.tell(trial, state=TrialState.PRUNED)
                return
        trial.set_user_attr(_DAYS, folds)
        self._study.tell(trial, mean_loss(folds))


@contextmanager
def opened(plan: Plan, file: Path) -> Iterator[Study]:
    """Open the study of a plan; CrimeGuardError if its file cannot be used."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{file.resolve()}")
        try:
            yield Study(plan, storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError) as error:
        raise CrimeGuardError(f"The trials in {file} cannot be read or kept.",
                              why=f"{type(error).__name__}: {str(error).splitlines()[0]}",
                              fix="Free some space, or move the file away to begin anew."
                              ) from error  # fmt: skip


class _TimeUpError(Exception):
    """The time that the search was given is over."""


@dataclass(slots=True)
class _Clock:
    """Shows each step of a trial, and ends it when the time is up."""

    end: float | None
    show: Shower
    prefix: str = ""
    fold: int = 0

    def __call__(self, name: str, done: int, total: int) -> None:
        if self.end is not None and time.monotonic() > self.end:
            raise _TimeUpError
        self.show(f"{self.prefix}, fold {self.fold}: {name}", done, total)


def _named(prefix: str, show: Shower) -> Shower:
    return lambda name, done, total: show(f"{prefix}: {name}", done, total)


def _sampler(params: Params, place: int) -> optuna.samplers.BaseSampler:
    """Make the sampler of one trial: its draws depend on the trials before it alone."""
    drawn = np.random.SeedSequence([params.seed, place]).generate_state(1)
    return optuna.samplers.TPESampler(
        seed=int(drawn[0]), n_startup_trials=params.tuning.startup, multivariate=True
    )


def _rounded(value: float, item: Dimension) -> float:
    return min(max(float(f"{value:.{_DIGITS}g}"), item.low), item.high)


def _trial(item: optuna.trial.FrozenTrial) -> Trial:
    ended = item.datetime_complete
    return Trial(
        item.number,
        item.state == TrialState.PRUNED,
        dict(item.user_attrs[_VALUES]),
        [_days(fold) for fold in item.user_attrs[_DAYS]],
        ended.timestamp() if ended else 0.0,
    )


def _days(kept: Any) -> Days:
    return [(int(count), float(total)) for count, total in kept]
