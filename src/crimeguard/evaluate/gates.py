"""The gates that stand before production: each by name, and the judgement of all.

Every gate asks one question, and refuses when it gets no answer. docs/gates.md says what
each asks, of what, and why.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from crimeguard.domain.errors import DataError
from crimeguard.domain.field import FORBIDDEN_FEATURES
from crimeguard.evaluate.chance import chance_error
from crimeguard.evaluate.checks import CHECKS, Check, Figures
from crimeguard.evaluate.comparison import OVERALL, compare
from crimeguard.evaluate.gate import (
    NO_CHAMPION,
    Case,
    Contender,
    Gate,
    GateVerdict,
    Outcome,
    Table,
    fail_closed,
)
from crimeguard.evaluate.latency import median_milliseconds
from crimeguard.evaluate.slices import MEASURES, slice_losses
from crimeguard.evaluate.suite import run_suite
from crimeguard.features.columns import Columns
from crimeguard.validate import limits
from crimeguard.validate.contract import check_contract
from crimeguard.validate.finding import Finding
from crimeguard.validate.leakage import check_leakage, check_names

PERMUTED_ROWS: Final = 2_000
SHOWN: Final = 12  # slices in the evidence


def contract(case: Case) -> Outcome:
    """Whether the rows behind the judgement keep the data contract."""
    today = dt.datetime.now(dt.UTC).date()
    checks, found = [], []
    for name, frame in (("training rows", case.train), ("hold-out", case.test)):
        report = check_contract(frame, as_of=today)
        found += [(name, item) for item in report.findings]
        checks.append(Check(f"incidents among the {name}", frame.height, "at least", 1))
        checks.append(Check(f"broken rules among the {name}", len(report.errors), "at most", 0))
    return Outcome(tuple(checks), evidence=_findings(found))


def leakage(case: Case) -> Outcome:
    """Whether the challenger can know more than it may."""
    named = check_names(case.challenger.model.featurizer.table.names)
    told = check_leakage(case.train)
    last, first = case.train["date_occ"].max(), case.test["date_occ"].min()
    known = case.test.join(case.train, on="dr_no", how="semi").height
    checks = (
        Check("incidents examined", case.train.height, "at least", limits.MIN_ROWS),
        Check("features with a forbidden name", sum(f.count for f in named), "at most", 0),
        Check("fields that tell the category", len(told), "at most", 0),
        Check("days from training to the hold-out", _days(last, first), "at least", 1),
        Check("incidents both trained on and held out", known, "at most", 0),
        Check("largest change by permuting forbidden columns", _moved(case), "at most", 0),
    )
    found = [("training rows", item) for item in told] + [("model", item) for item in named]
    return Outcome(checks, evidence=_findings(found))


def _moved(case: Case) -> float:
    """Return the largest change of a probability when forbidden columns are permuted."""
    rows = case.test.head(PERMUTED_ROWS)
    if not rows.height:
        return math.nan
    forbidden = [name for name in rows.columns if name in FORBIDDEN_FEATURES]
    order = np.random.default_rng(case.params.seed).permutation(rows.height)
    permuted = rows.with_columns(rows.select(forbidden)[order])
    model = case.challenger.model
    before, after = (model.probabilities(Columns.from_frame(f)) for f in (rows, permuted))
    return float(np.abs(before - after).max())


def _days(last: object, first: object) -> float:
    if not isinstance(last, dt.date) or not isinstance(first, dt.date):
        return math.nan
    return (first - last).days


def _of_evaluation(name: str) -> Callable[[Case], Outcome]:
    def gate(case: Case) -> Outcome:
        if case.evaluation.rows != case.test.height:
            raise DataError("The evaluation is not of this hold-out.")
        figures = Figures.of(case.evaluation)
        return Outcome(tuple(CHECKS[name](figures, case.params.checks)))

    return gate


def calibration(case: Case) -> Outcome:
    """Whether probabilities mean what they say, but for what chance makes of few rows.

    The error of a perfectly calibrated model is not zero, and the larger the fewer rows:
    what is expected of one is added to the bound.
    """
    found = _of_evaluation("calibration")(case)
    levels = case.evaluation.levels.values()
    checks = tuple(
        replace(check, bound=check.bound + chance_error(item.calibration))
        for check, item in zip(found.checks, levels, strict=True)
    )
    return Outcome(checks)


def champion(case: Case) -> Outcome:
    """Whether the challenger is no worse than the champion on what neither has seen."""
    if case.champion is None:
        return Outcome(waived=NO_CHAMPION)
    gates, best = case.params.gates, case.best.label
    found = compare(
        case.challenger_probabilities, case.champion_probabilities, case.truth,
        resamples=gates.resamples, confidence=gates.confidence, seed=case.params.seed,
    )  # fmt: skip
    apart = _days(case.champion.trained_until, case.test["date_occ"].min())
    checks = [Check("days from the champion's training to the hold-out", apart, "at least", 1)]
    for name in (best, OVERALL):
        accuracy, loss = found[name].accuracy.low, found[name].log_loss.high
        checks += [
            Check(f"accuracy against the champion, {name}, at least", accuracy, "at least",
                  -gates.max_loss),
            Check(f"log-loss against the champion, {name}, at most", loss, "at most",
                  gates.max_loss),
        ]  # fmt: skip
    table = Table(
        f"Challenger minus champion, with the {gates.confidence:.0%} interval of "
        f"{gates.resamples:,} resamples of {case.test.height:,} incidents",
        ("level", "accuracy", "log-loss (nats)"),
        tuple((name, str(item.accuracy), str(item.log_loss)) for name, item in found.items()),
    )
    return Outcome(tuple(checks), evidence=(table,))


def slices(case: Case) -> Outcome:
    """Whether the challenger is worse for any kind of incident."""
    if case.champion is None:
        return Outcome(waived=NO_CHAMPION)
    gates = case.params.gates
    found = slice_losses(
        case.test, case.truth, case.challenger_probabilities, case.champion_probabilities,
        least=gates.min_slice_rows, alpha=1 - gates.confidence,
    )  # fmt: skip
    checks = [Check("slices tested", len(found), "at least", 1)]
    for label in case.evaluation.levels:
        for measure in MEASURES:
            name = f"largest significant loss of {measure} in a slice at {label}"
            mine = [x for x in found if x.significant and (x.level, x.measure) == (label, measure)]
            lost = max([0.0, *(item.loss for item in mine)])
            checks.append(Check(name, lost, "at most", gates.max_slice_loss))
    table = Table(
        f"The largest losses of {len(found):,} tests on slices of at least "
        f"{gates.min_slice_rows} incidents",
        ("level", "slice", "value", "incidents", "measure", "loss", "chance", "significant"),
        tuple(
            (x.level, x.slice, x.value, f"{x.rows:,}", x.measure, f"{x.loss:+.4f}", f"{x.p:.2g}",
             "yes" if x.significant else "no")
            for x in found[:SHOWN]
        ),
    )  # fmt: skip
    return Outcome(tuple(checks), evidence=(table,))


def deepchecks(case: Case) -> Outcome:
    """Whether Deepchecks finds the challenger healthy."""
    if not case.params.gates.deepchecks:
        return Outcome(waived="switched off by gates.deepchecks")
    suite = run_suite(case)
    return Outcome(suite.checks, page=suite.page)


def latency(case: Case) -> Outcome:
    """Whether the challenger answers one incident soon enough."""
    gates = case.params.gates
    contenders = [case.challenger, *([case.champion] if case.champion else [])]
    taken = median_milliseconds([item.model for item in contenders], case.columns[case.best])
    checks = [Check("milliseconds for one incident", taken[0], "at most", gates.max_latency_ms)]
    if case.champion:
        ratio = taken[0] / taken[1]
        checks.append(Check("times the champion's time", ratio, "at most", gates.max_latency_ratio))
    rows = tuple(
        (item.name, f"{time:.2f}") for item, time in zip(contenders, taken, strict=True)
    )  # fmt: skip
    table = Table("Median time of one answer, measured in turns", ("model", "milliseconds"), rows)
    return Outcome(tuple(checks), evidence=(table,))


def size(case: Case) -> Outcome:
    """Whether the bundle is of a size that can be fetched and kept."""
    measured = case.challenger.size_bytes
    return Outcome(
        (
            Check("bytes of the bundle", measured, "at least", 1),
            Check("bytes of the bundle", measured, "at most", case.params.gates.max_bytes),
        )
    )


def _findings(found: list[tuple[str, Finding]]) -> tuple[Table, ...]:
    if not found:
        return ()
    rows = tuple(
        (where, item.severity.value, item.check, f"{item.count:,}", item.meaning)
        for where, item in found
    )
    return (Table("What validation found", ("in", "severity", "check", "count", "meaning"), rows),)


_LOOKS: Final[Mapping[str, Callable[[Case], Outcome]]] = {
    "contract": contract,
    "leakage": leakage,
    "floor": _of_evaluation("floor"),
    "calibration": calibration,
    "coverage": _of_evaluation("coverage"),
    "champion": champion,
    "slices": slices,
    "latency": latency,
    "size": size,
    "deepchecks": deepchecks,
}
GATES: Final[Mapping[str, Gate]] = MappingProxyType(
    {name: fail_closed(name, look) for name, look in _LOOKS.items()}
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all gates say of one challenger; it passes if every one of them does."""

    challenger: Contender
    champion: Contender | None
    verdicts: tuple[GateVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate that there is has spoken and passes."""
        return {item.gate for item in self.verdicts} == set(GATES) and not self.refused

    @property
    def refused(self) -> tuple[str, ...]:
        """Names of the gates that refuse."""
        return tuple(item.gate for item in self.verdicts if not item.passed)

    @property
    def why(self) -> str:
        """The reasons of the gates that refuse."""
        return " ".join(
            f"{item.gate}: {item.why.rstrip('.')}." for item in self.verdicts if not item.passed
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the judgement as JSON types."""
        return {
            "passed": self.passed,
            "challenger": self.challenger.sha256,
            "champion": self.champion.sha256 if self.champion else None,
            "refused": list(self.refused),
            "gates": [item.to_dict() for item in self.verdicts],
        }

    def to_html(self) -> str:
        """Return one page that needs nothing from anywhere, with a section a gate."""
        from jinja2 import Environment, StrictUndefined

        source = files("crimeguard.evaluate").joinpath("judgement.html.j2").read_text()
        return Environment(autoescape=True, undefined=StrictUndefined).from_string(source).render(
            judgement=self
        )  # fmt: skip


def judge(case: Case, on_gate: Callable[[str], None] = lambda _: None) -> Judgement:
    """Ask every gate, also behind one that refuses; `on_gate` hears each name as it begins."""
    verdicts = []
    for name, gate in GATES.items():
        on_gate(name)
        verdicts.append(gate(case))
    return Judgement(case.challenger, case.champion, tuple(verdicts))
