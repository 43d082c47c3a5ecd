"""Whether to train again: a pure function of what is known, with its reasons."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from crimeguard.domain.errors import UsageError
from crimeguard.retrain.signals import CRITICAL, Signals, VerdictLine, spoken
from crimeguard.train.params import RetrainParams

Action = Literal["block", "skip", "train"]

# Every reason begins with one of these words, and each belongs to one action.
REASONS: Final[dict[str, Action]] = {
    "locked": "block",
    "champion": "block",
    "reference": "block",
    "budget": "block",
    "unchanged": "block",
    "persistence": "skip",
    "cool-down": "skip",
    "rows": "skip",
    "drift": "train",
    "forced": "train",
}
_ID_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and why.

    `block`: it must not be trained, whoever asks. `skip`: there is no reason to. `train`:
    there is one. Each of `reasons` is `word: sentence`, with the words of REASONS. `id` is
    the same wherever and whenever the same facts are decided on.
    """

    action: Action
    reasons: tuple[str, ...]
    id: str


def decide(signals: Signals, params: RetrainParams) -> Decision:
    """Decide whether to train again; the same arguments lead to the same decision.

    What blocks is looked at first. A forced request needs none of the three conditions
    that skip looks at. UsageError if no number of verdicts could ever be enough.
    """
    if params.persistence > params.windows:
        raise UsageError(
            f"retrain.persistence is {params.persistence}, of {params.windows} windows.",
            why="So many verdicts are never looked at.",
            fix="Set retrain.persistence to at most retrain.windows.",
        )
    reasons = tuple(_blocks(signals, params))
    action: Action = "block" if reasons else "skip"
    if not reasons and signals.forced is None:
        reasons = tuple(_skips(signals, params))
    if not reasons:
        action, reasons = "train", (_why_train(signals, params),)
    return Decision(action, reasons, _digest(facts(signals, params)))


def facts(signals: Signals, params: RetrainParams) -> dict[str, Any]:
    """Return what the decision rests on, as JSON types: what its id is made of.

    A time is in it only by what it decides, and a count only by whether it is enough.
    """
    last = signals.last_training
    forced = signals.forced
    return {
        "champion": signals.champion,
        "reference": signals.reference,
        "verdicts": [[v.seq, v.status] for v in _considered(signals, params)],
        "last_training": None if last is None else last.seq,
        "cooled_down": _cooled_down(signals, params),
        "within_budget": _within_budget(signals, params),
        "enough_rows": _enough_rows(signals, params),
        "data": signals.data,
        "refused_data": signals.refused_data,
        "locked": signals.locked,
        "forced": None if forced is None else [forced.who, forced.why],
        # 1 and 1.0 are the same parameter.
        "params": {name: float(value) for name, value in asdict(params).items()},
    }


def evidence(decision: Decision, signals: Signals, params: RetrainParams) -> dict[str, Any]:
    """Return what the ledger keeps of a decision."""
    return {
        "action": decision.action,
        "reasons": list(decision.reasons),
        "facts": facts(signals, params),
        "trainings": signals.trainings,
        "new_labelled": signals.new_labelled,
    }


def _blocks(signals: Signals, params: RetrainParams) -> Iterator[str]:
    if signals.locked:
        yield "locked: another retraining runs."
    if signals.champion is None:
        yield "champion: nothing is in production that a new model could be held against."
    elif not signals.reference:
        yield "reference: the champion keeps no picture of what it was trained on."
    if not _within_budget(signals, params):
        yield (f"budget: {signals.trainings} trainings began in the last 30 days, "
               f"{params.budget} are allowed.")  # fmt: skip
    if signals.refused_data is not None and signals.refused_data == signals.data:
        yield "unchanged: the last challenger was refused, and the data are still the same."


def _skips(signals: Signals, params: RetrainParams) -> Iterator[str]:
    critical = _critical(signals, params)
    if critical < params.persistence:
        yield (f"persistence: {critical} of the last {params.windows} verdicts are critical, "
               f"{params.persistence} are needed.")  # fmt: skip
    if signals.last_training is not None and not _cooled_down(signals, params):
        days = (signals.now - signals.last_training.at) / dt.timedelta(days=1)
        yield (f"cool-down: the last training is {days:.2f} days old, "
               f"{params.cool_down_days:g} are needed.")  # fmt: skip
    if not _enough_rows(signals, params):
        yield (f"rows: {signals.new_labelled:,} labelled incidents are new, "
               f"{params.min_new_rows:,} are needed.")  # fmt: skip


def _why_train(signals: Signals, params: RetrainParams) -> str:
    if signals.forced is not None:
        return f"forced: {signals.forced.who} asks for it: {signals.forced.why}"
    critical = _critical(signals, params)
    return (f"drift: {critical} of the last {params.windows} verdicts are critical, and "
            f"{signals.new_labelled:,} labelled incidents are new.")  # fmt: skip


def _considered(signals: Signals, params: RetrainParams) -> tuple[VerdictLine, ...]:
    return spoken(signals.verdicts)[-params.windows :]


def _critical(signals: Signals, params: RetrainParams) -> int:
    return sum(verdict.status == CRITICAL for verdict in _considered(signals, params))


def _cooled_down(signals: Signals, params: RetrainParams) -> bool:
    last = signals.last_training
    return last is None or signals.now - last.at >= dt.timedelta(days=params.cool_down_days)


def _within_budget(signals: Signals, params: RetrainParams) -> bool:
    return signals.trainings < params.budget


def _enough_rows(signals: Signals, params: RetrainParams) -> bool:
    return signals.new_labelled >= params.min_new_rows


def _digest(known: dict[str, Any]) -> str:
    text = json.dumps(known, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]
