"""`drift.html`: one self-contained page on what a window says of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

_WARNING: Final = 0.3
_CRITICAL: Final = 0.5
# In the order in which they are read; what is of no known kind comes last.
_GROUPS: Final = {
    "field": "Fields",
    "correlation": "Correlations",
    "prediction": "Predictions",
    "target": "Labels",
    "volume": "Volume",
    "performance": "Performance",
    "": "Others",
}
_PAIRS: Final = {"prediction": "Predicted categories", "label": "True categories"}
_WORDS: Final = {
    "ok": "Nothing has moved far enough to matter.",
    "warning": "Something has moved. It is worth a look.",
    "critical": "Something has moved so far that the model may not fit any more.",
    "too few": "There are too few incidents to say anything.",
}


@dataclass(frozen=True, slots=True)
class _Bar:
    """One category's share before and now, each 0 to 1, drawn as parts of `widest`."""

    name: str
    before: float
    now: float
    widest: float

    def width(self, share: float) -> float:
        return round(100 * share / self.widest, 2) if self.widest else 0.0


@dataclass(frozen=True, slots=True)
class _Interval:
    name: str
    value: float
    low: float
    high: float
    note: str


def drift_page(
    verdict: Mapping[str, Any], facts: Mapping[str, Any], *, evidently: str | None = None
) -> str:
    """Return the page as HTML, without anything to load.

    Parameters
    ----------
    verdict
        A verdict's `to_dict()`; every part may be missing. `shares`, if there, holds by
        "prediction" and "label" the shares of the categories as "reference" and
        "current"; `daily`, if there, the incidents by day.
    facts
        Named values for the page's head, e.g. the bundle.
    evidently
        Where Evidently's page is, relative to this one; None if there is none.
    """
    from jinja2 import Environment, StrictUndefined

    source = files("crimeguard.monitor").joinpath("drift.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["number"] = _number
    environment.filters["share"] = _share
    status = str(verdict.get("status") or "unknown")
    return environment.from_string(source).render(
        status=status,
        words=_WORDS.get(status, ""),
        score=verdict.get("score"),
        warning=verdict.get("warning", _WARNING),
        critical=verdict.get("critical", _CRITICAL),
        head=_head(verdict) | dict(facts),
        groups=_groups(verdict.get("components") or ()),
        intervals=list(_intervals(verdict.get("performance") or {})),
        expected=(verdict.get("performance") or {}).get("expected"),
        labels=verdict.get("labels"),
        shares=_pairs(verdict.get("shares") or {}),
        daily=_daily(verdict.get("daily") or {}),
        evidently=evidently,
    )


def _head(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Name what the window is, as far as it is told."""
    rows, first, last = (verdict.get(name) for name in ("rows", "first", "last"))
    named = {"judged at": verdict.get("at"), "bundle": verdict.get("bundle")}
    if rows is not None:
        between = f", {first} to {last}" if first and last else ""
        named["window"] = f"{rows:,} incidents{between}"
    reference = verdict.get("reference")
    if isinstance(reference, Mapping):
        named |= {f"reference: {name}": value for name, value in reference.items()}
    return {name: value for name, value in named.items() if value is not None}


def _groups(components: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the components by kind, under a heading each, the largest score first."""
    groups: dict[str, list[dict[str, Any]]] = {heading: [] for heading in _GROUPS.values()}
    for item in sorted(components, key=lambda item: -(item.get("score") or 0.0)):
        heading = _GROUPS.get(item.get("kind", ""), _GROUPS[""])
        groups[heading].append(
            {
                "name": item.get("name", "?"),
                "score": item.get("score"),
                "status": item.get("status", ""),
                "distance": item.get("distance"),
                "critical_distance": item.get("critical_distance"),
                "significant": item.get("significant"),
                "measures": item.get("measures") or {},
                "words": item.get("words", ""),
            }
        )
    return {heading: items for heading, items in groups.items() if items}


def _intervals(performance: Mapping[str, Any]) -> Iterator[_Interval]:
    notes = {"estimated": "from the probabilities alone", "realised": "from the labels"}
    for name, note in notes.items():
        item = performance.get(name)
        if item and item.get("value") is not None:
            rows = item.get("labels", item.get("rows"))
            counted = f"{note}, {rows:,} incidents" if rows is not None else note
            value = item["value"]
            yield _Interval(name, value, item.get("low", value), item.get("high", value), counted)


def _pairs(shares: Mapping[str, Any]) -> dict[str, list[_Bar]]:
    found = {}
    for name, heading in _PAIRS.items():
        pair = shares.get(name) or {}
        before, now = pair.get("reference") or {}, pair.get("current") or {}
        names = sorted({*before, *now}, key=lambda name: -before.get(name, 0.0))
        widest = max([*before.values(), *now.values()], default=0.0)
        if names:
            found[heading] = [
                _Bar(name, before.get(name, 0.0), now.get(name, 0.0), widest) for name in names
            ]
    return found


def _daily(daily: Mapping[str, int]) -> dict[str, Any] | None:
    """Lay out the incidents by day as bars of a drawing 720 by 120."""
    if not daily:
        return None
    most = max(daily.values()) or 1
    width = 720 / len(daily)
    return {
        "most": most,
        "first": min(daily),
        "last": max(daily),
        "bars": [
            {
                "day": day,
                "rows": rows,
                "x": round(place * width, 2),
                "y": round(120 - 120 * rows / most, 2),
                "width": round(0.8 * width, 2),
                "height": round(120 * rows / most, 2),
            }
            for place, (day, rows) in enumerate(sorted(daily.items()))
        ],
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"  # noqa: RUF001


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"  # noqa: RUF001
