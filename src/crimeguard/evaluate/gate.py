"""What a gate is shown, what it says, and the rule that a gate which fails refuses."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import polars as pl

from crimeguard.domain.errors import CrimeGuardError, DataError
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.checks import Check
from crimeguard.evaluate.evaluation import Evaluation, field_importance, finite
from crimeguard.features.columns import Columns, Floats, Ints
from crimeguard.settings import Settings
from crimeguard.train.fit import targets
from crimeguard.train.model import Model
from crimeguard.train.params import Params

NO_CHAMPION: Final = "no champion to compare with"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that serves or wants to; `card` says on what it was trained."""

    name: str
    sha256: str
    model: Model
    card: Mapping[str, Any]
    size_bytes: int

    @property
    def trained_until(self) -> dt.date:
        """The last day of its training window."""
        return dt.date.fromisoformat(self.card["trained"]["last"])


@dataclass(frozen=True)
class Case:
    """A challenger, the champion if there is one, and the rows that they are judged on.

    `train` is what the challenger was trained on, `test` a newer hold-out that neither
    has seen, `evaluation` the challenger's on `test`. What a model answers is asked once
    and kept.
    """

    challenger: Contender
    champion: Contender | None
    train: pl.DataFrame
    test: pl.DataFrame
    evaluation: Evaluation
    params: Params
    settings: Settings = field(default_factory=Settings.load)

    @cached_property
    def truth(self) -> Ints:
        """Places in CATEGORIES of the hold-out's categories, shape (n,)."""
        return targets(self.test)

    @cached_property
    def columns(self) -> dict[InformationLevel, Columns]:
        """The hold-out as it is known at each level that was evaluated, lowest first."""
        if not self.test.height:
            raise DataError("The hold-out is empty.")
        levels = [level for level in InformationLevel if level.label in self.evaluation.levels]
        return {level: Columns.from_frame(self.test, level=level) for level in levels}

    @property
    def best(self) -> InformationLevel:
        """The highest level that was evaluated."""
        return max(self.columns)

    @cached_property
    def challenger_probabilities(self) -> dict[InformationLevel, Floats]:
        """The challenger's answers to the hold-out by level, each of shape (n, 15)."""
        return self._answers(self.challenger.model)

    @cached_property
    def champion_probabilities(self) -> dict[InformationLevel, Floats]:
        """The champion's answers to the hold-out by level; KeyError without a champion."""
        if self.champion is None:
            raise KeyError(NO_CHAMPION)
        return self._answers(self.champion.model)

    @cached_property
    def champion_importance(self) -> dict[str, float] | None:
        """What each field is worth to the champion, on the rows used for the challenger."""
        if self.champion is None:
            return None
        return field_importance(self.champion.model, self.test, self.truth, seed=self.params.seed)

    def _answers(self, model: Model) -> dict[InformationLevel, Floats]:
        return {level: model.probabilities(columns) for level, columns in self.columns.items()}


@dataclass(frozen=True, slots=True)
class Table:
    """Evidence in rows and columns."""

    caption: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a gate found.

    It passes if every check does and there is at least one, or if it is `waived` for the
    reason given. `page` is a whole HTML page of its own.
    """

    checks: tuple[Check, ...] = ()
    waived: str = ""
    evidence: tuple[Table, ...] = ()
    page: str | None = None


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """What one gate says of a challenger, in figures and in words."""

    gate: str
    passed: bool
    checks: tuple[Check, ...]
    why: str
    seconds: float
    evidence: tuple[Table, ...] = ()
    page: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON types, without tables and page."""
        plain: dict[str, Any] = finite(
            {
                "gate": self.gate,
                "passed": self.passed,
                "why": self.why,
                "seconds": round(self.seconds, 3),
                "checks": [check.to_dict() for check in self.checks],
            }
        )
        return plain


Gate = Callable[[Case], GateVerdict]


def fail_closed(name: str, look: Callable[[Case], Outcome]) -> Gate:
    """Make a gate of a function: what raises, or finds nothing to check, refuses."""

    def gate(case: Case) -> GateVerdict:
        begin = time.perf_counter()
        try:
            outcome = look(case)
            passed, why = _judge(outcome)
        except Exception as error:  # noqa: BLE001
            # Whatever went wrong, the challenger has not shown that it may serve.
            _log.warning("gate %s could not judge and refuses", name, exc_info=True)
            outcome, passed = Outcome(), False
            said = str(error) if isinstance(error, CrimeGuardError) else repr(error)
            why = f"the gate could not judge: {said}"
        seconds = time.perf_counter() - begin
        return GateVerdict(
            name, passed, outcome.checks, why, seconds, outcome.evidence, outcome.page
        )

    return gate


def _judge(outcome: Outcome) -> tuple[bool, str]:
    refused = [str(check) for check in outcome.checks if not check.passed]
    if refused:
        return False, "; ".join(refused)
    if outcome.waived:
        return True, outcome.waived
    if not outcome.checks:
        return False, "nothing was checked"
    return True, f"{len(outcome.checks)} of {len(outcome.checks)} checks passed"
