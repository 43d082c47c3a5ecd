"""The search space: which parameters `crimeguard tune` varies, and how far.

A table of CSV with the columns name (`section.parameter`), low, high and scale (`linear` or
`log`); `data/search_space.csv` is the built-in one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from crimeguard.domain.errors import UsageError
from crimeguard.train.params import Params, params_from_dict

Values = Mapping[str, int | float]

COLUMNS: Final = ("name", "low", "high", "scale")
BUILT_IN: Final = "the built-in search space"
# What measures a model must not be what is varied to make it look better.
_JUDGES: Final = frozenset({"split", "checks", "gates", "monitor", "retrain", "tuning"})


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter between `low` and `high`, both included; whole numbers where both are."""

    name: str
    low: int | float
    high: int | float
    log: bool

    @property
    def whole(self) -> bool:
        """Tell whether only whole numbers are tried."""
        return isinstance(self.low, int)


def load_space(path: Path | None, params: Params) -> tuple[Dimension, ...]:
    """Read a search space and hold it against the parameters that it starts from.

    Raises UsageError that names the line: for what is no parameter or none of a model's, for
    a bound that the parameter cannot take, and where the present value is outside.
    """
    source = BUILT_IN if path is None else str(path)
    rows = _rows(_text(path))
    if not rows:
        raise UsageError(f"{source} is no search space.",
                         why="It is a table of CSV: name, low, high and scale in every line.",
                         fix=f"Begin with the line {','.join(COLUMNS)}.")  # fmt: skip
    space = tuple(_dimension(row, source, params) for row in rows)
    names = [item.name for item in space]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"{source}: {min(twice)} is there twice.", fix="Keep one of the lines.")
    return space


def present(params: Params, space: tuple[Dimension, ...]) -> dict[str, int | float]:
    """Return the values that the parameters of a space have now."""
    return {item.name: _value(params, item.name) for item in space}


def with_values(params: Params, values: Values) -> Params:
    """Return parameters with other values, given as `section.parameter`."""
    nested: dict[str, Any] = params.to_dict()
    for name, value in values.items():
        section, _, key = name.partition(".")
        nested[section] = {**nested[section], key: value}
    return params_from_dict(nested, source="the search space")


def _text(path: Path | None) -> str:
    if path is None:
        return (files("crimeguard.train") / "data" / "search_space.csv").read_text("utf-8")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(f"The search space {path} cannot be read.", why=f"{why}.",
                         fix="Check --space.") from None  # fmt: skip


def _rows(text: str) -> list[dict[str, str]]:
    """Read the table; nothing if it is not one, or a line has other cells than the first."""
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error:
        return []
    whole = all(tuple(row) == COLUMNS and None not in row.values() for row in rows)
    return rows if whole else []


def _dimension(row: dict[str, str], source: str, params: Params) -> Dimension:
    name, scale = row["name"], row["scale"]
    where = f"{source}: {name}"
    whole = isinstance(_known(name, where, params), int)
    low, high = (_number(row[end], where, whole=whole) for end in ("low", "high"))
    if scale not in ("linear", "log"):
        raise UsageError(f"{where} has the scale {scale!r}.", fix="Say linear or log.")
    if not low < high or (scale == "log" and low <= 0):
        raise UsageError(f"{where} runs from {low} to {high}.",
                         fix="Give a low end below the high one; above 0 on a scale of log."
                         )  # fmt: skip
    for end in (low, high):
        _check(name, end, source, params)
    now = _value(params, name)
    if not low <= now <= high:
        raise UsageError(f"{where} runs from {low} to {high}, and is {now} now.",
                         why="The first trial is what is used now.",
                         fix="Widen the search space, or begin elsewhere.")  # fmt: skip
    return Dimension(name, low, high, scale == "log")


def _known(name: str, where: str, params: Params) -> int | float:
    section, _, key = name.partition(".")
    table = params.to_dict().get(section)
    if section in _JUDGES or not isinstance(table, dict):
        raise UsageError(f"{where} shapes no member of the model.",
                         fix="Name one as section.parameter, as in xgboost.rounds.")  # fmt: skip
    value = table.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"{where} is no parameter that is a number.",
                         fix=f"Known in {section}: {', '.join(table)}.")  # fmt: skip
    return value


def _value(params: Params, name: str) -> int | float:
    section, _, key = name.partition(".")
    value: int | float = getattr(getattr(params, section), key)
    return value


def _number(text: str, where: str, *, whole: bool) -> int | float:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{where} has the bound {text!r}.", fix=f"Give {kind}.") from None


def _check(name: str, value: float, source: str, params: Params) -> None:
    section, _, key = name.partition(".")
    params_from_dict({**params.to_dict(), section: {key: value}}, source=source)
