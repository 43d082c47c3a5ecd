"""A model card's JSON as titled tables; a figure that the card lacks is not made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from crimeguard.domain.level import InformationLevel
from crimeguard.ui.wording import CATEGORY_NAMES, FIELD_NAMES

_WORDS: Final = MappingProxyType(
    {
        "ece": "Expected calibration error",
        "f1": "F1",
        "macro_f1": "Macro F1",
        "weighted_f1": "Weighted F1",
        "log_loss": "Log-loss",
        "macro_roc_auc": "Macro ROC-AUC",
        "weighted_roc_auc": "Weighted ROC-AUC",
        "roc_auc": "ROC-AUC",
        "macro_auc": "Macro ROC-AUC",
        "top3": "Truth among the first three",
        "rows": "Incidents",
        "sample": "Of the incidents there are",
        "first": "First day",
        "last": "Last day",
        "data": "Data",
        "trained": "Training window",
        "tested": "Measured on",
        "levels": "Measured, by information level",
        "categories_at_best_level": "Measured, by category, at the highest level",
        "importance": "Importance of fields",
        "fields": "Fields",
        "params": "Parameters",
        "majority_share": "Share of the most common category",
        "base_rate_log_loss": "Log-loss of the plain category shares",
        "coverage": "Coverage of the sets",
        "set_size": "Mean size of the sets",
        "support": "Incidents",
        "call": "Call",
        "victim": "Victim",
        "report": "Report",
        "sha256": "SHA-256",
    }
)
_DEEPEST: Final = 3
# Sentences, which the page shows as such, and lists that say nothing of this model.
PROSE: Final = ("intended_use", "not_for", "limits")
_LEFT_OUT: Final = frozenset({*PROSE, "name", "task", "categories"})
# What people look for first; what the card holds beside comes after, details last.
_FIRST: Final = ("levels", "categories_at_best_level", "importance", "tested", "trained", "data")
_DETAILS: Final = frozenset({"params"})
# JSON objects come in the order of the alphabet; tables are read from the left and the top.
_ORDER: Final = (
    "call", "victim", "report", "support", "rows", "first", "last", "accuracy", "precision",
    "recall", "f1", "weighted_f1", "macro_f1", "roc_auc", "weighted_roc_auc", "macro_roc_auc",
    "log_loss", "ece", "top3", "coverage", "set_size",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """A titled table; without `columns` it is names and values; `detail` may be folded away."""

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    detail: bool = False


def sections(card: Mapping[str, Any]) -> list[Section]:
    """Turn a card into sections: plain values first, then one for each group."""
    shown = {name: card[name] for name in _FIRST if name in card}
    shown |= {name: value for name, value in card.items() if name not in _LEFT_OUT}
    fields = _importance(shown.get("importance"))
    if fields:
        shown["importance"] = fields
    details = {name: shown.pop(name) for name in _DETAILS & shown.keys()}
    folded = (replace(item, detail=True) for item in _sections("Details", details, 0))
    return [*_sections("Model", shown, 0), *folded]


def coverage_of(card: Mapping[str, Any], level: InformationLevel) -> float | None:
    """Return the measured coverage of the prediction sets at a level, where the card has it."""
    value: Any = card
    for step in ("levels", level.label, "coverage"):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value if isinstance(value, float) else None


def words(name: str) -> str:
    """Return a key of the card as people read it."""
    known = _WORDS.get(name) or CATEGORY_NAMES.get(name) or FIELD_NAMES.get(name)
    spaced = name.replace("_", " ").strip()
    return known or spaced[:1].upper() + spaced[1:]


def value_text(value: Any) -> str:
    """Write one value of the card; shares to three decimals, so that they align."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}" if 0.001 <= abs(value) < 10 else f"{value:,.6g}"
    if isinstance(value, list):
        return ", ".join(FIELD_NAMES.get(item) or value_text(item) for item in value)
    return "not measured" if value is None else CATEGORY_NAMES.get(value, str(value))


def _importance(group: Any) -> Mapping[str, Any]:
    """Return what each field is worth, most on top; {} where the card says it otherwise."""
    fields = group.get("fields") if isinstance(group, Mapping) else None
    if not isinstance(fields, Mapping) or not all(isinstance(x, float) for x in fields.values()):
        return {}
    how = {"measured_as": group["how"]} if "how" in group else {}
    return dict(sorted(fields.items(), key=lambda item: -item[1])) | how


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


def _sections(title: str, group: Mapping[str, Any], depth: int) -> Iterator[Section]:
    plain = {name: value for name, value in group.items() if not _is_group(value)}
    if plain:
        lines = tuple((words(name), value_text(plain[name])) for name in _ordered(plain))
        yield Section(title, rows=lines)
    for name, value in group.items():
        if not _is_group(value):
            continue
        inner = words(name) if not depth else f"{title}: {words(name).lower()}"
        rows = _as_rows(value)
        if rows:
            yield _table(inner, rows)
        elif isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _sections(inner, value, depth + 1)


def _is_group(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping)


def _as_rows(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Return named rows where a group is a table: like entries, each a flat mapping."""
    if isinstance(value, list):
        return [_named(number, item) for number, item in enumerate(value, 1)]
    entries = [(name, value[name]) for name in _ordered(value)]
    flat = len(entries) > 1 and all(
        isinstance(item, Mapping) and item and not any(_is_group(part) for part in item.values())
        for _, item in entries
    )
    return entries if flat else []


def _named(number: int, item: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name a row of a list by its category or name, else by its number."""
    for key in ("category", "name"):
        if key in item:
            return str(item[key]), {name: item[name] for name in item if name != key}
    return str(number), item


def _table(title: str, rows: list[tuple[str, Mapping[str, Any]]]) -> Section:
    columns = _ordered(dict.fromkeys(name for _, row in rows for name in row))
    return Section(
        title,
        ("", *(words(name) for name in columns)),
        tuple(
            (words(name), *(value_text(row[key]) if key in row else "" for key in columns))
            for name, row in rows
        ),
    )
