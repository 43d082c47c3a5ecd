"""The report on quality as one page that needs nothing from anywhere.

All words and numbers are HTML and only the bars are drawn, so that they can be stretched:
what is legible on a wide screen is so on a narrow one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from crimeguard.domain.city import CITIES
from crimeguard.validate import limits
from crimeguard.validate.month import SPANS, Month
from crimeguard.validate.quality import VOLUME, Quality, Trouble, volume_ratio

_QUANTILES = {"50 % of reports": "p50", "90 %": "p90", "99 %": "p99"}
_DASH = "–"  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Bar:
    """One month's bar: its height from 0 to 100, its colour, and what it says when asked."""

    height: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A name, its bars by month, and two figures beside them."""

    name: str
    bars: list[Bar]
    one: str
    two: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a stacked bar: from `y`, counted from above, so high, in the tone-th colour."""

    y: float
    height: float
    tone: int
    title: str


def quality_page(quality: Quality) -> str:
    """Return the report as HTML, without anything to load."""
    import jinja2

    template = (files("crimeguard.validate") / "quality.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    view = _View(quality)
    ratios = volume_ratio(quality.months, quality.span)
    young = [month.month for month in quality.months if quality.young(month)]
    return environment.from_string(template).render(
        quality=quality,
        facts=_facts(quality),
        when=lambda item: _when(item, quality),
        young=", ".join(young),
        young_count=len(young),
        volume=view.volume(ratios),
        most_daily=max(month.rows / month.days for month in quality.months),
        ratios=ratios,
        completeness=list(view.completeness()),
        broken=list(view.broken()),
        never=sorted(name for name, rows in view.totals().items() if not rows),
        spans=list(SPANS),
        delays=view.delays(),
        quantiles=list(view.quantiles()),
        areas=list(view.areas()),
    )


class _View:
    """Turns months into bars, one for every month of the span."""

    def __init__(self, quality: Quality) -> None:
        self._quality = quality
        self._months = {month.month: month for month in quality.months}
        self._tones = {
            (trouble.check, month): f"is-{trouble.severity.value}"
            for trouble in quality.troubles for month in trouble.months
        }  # fmt: skip

    def volume(self, ratios: dict[str, float]) -> list[Bar]:
        return self._bars(
            lambda month: month.rows / month.days,
            lambda month, daily: (
                f"{month.month}: {month.rows:,} rows, {daily:,.0f} a day, "
                f"{ratios[month.month]:.0%} of the usual"
            ),
            VOLUME,
        )

    def completeness(self) -> Iterator[Line]:
        for name in self._quality.columns:
            shares = {month.month: month.share(name) for month in self._quality.months}
            bars = self._bars(
                lambda month, name=name: month.share(name),  # type: ignore[misc]
                lambda month, share: f"{month.month}: {share:.1%}",
                f"{name}_complete", most=1.0,
            )  # fmt: skip
            yield Line(name, bars, _percent(min(shares.values())), _percent([*shares.values()][-1]))

    def totals(self) -> dict[str, int]:
        """Return by rule the rows that break it; what is told as completeness is not among."""
        told: dict[str, int] = {}
        for month in self._quality.months:
            for check, rows in month.broken.items():
                if check.removesuffix("_complete") not in limits.COMPLETENESS:
                    told[check] = told.get(check, 0) + rows
        return told

    def broken(self) -> Iterator[Line]:
        for check, rows in sorted(self.totals().items(), key=lambda item: -item[1]):
            if rows:
                bars = self._bars(
                    lambda month, check=check: month.broken.get(check, 0) / month.rows,  # type: ignore[misc]
                    lambda month, share, check=check: (  # type: ignore[misc]
                        f"{month.month}: {month.broken.get(check, 0):,} rows, {share:.2%}"
                    ),
                    check,
                )
                worst = max(month.broken.get(check, 0) / month.rows
                            for month in self._quality.months)  # fmt: skip
                yield Line(check, bars, _percent(worst), f"{rows:,}")

    def delays(self) -> list[list[Part]]:
        if not any(month.delay for month in self._quality.months):
            return []
        return [_stack(self._months.get(name)) for name in self._quality.span]

    def quantiles(self) -> Iterator[Line]:
        for name, part in _QUANTILES.items():
            days = [getattr(month.delay, part) for month in self._quality.months if month.delay]
            if days:
                bars = self._bars(
                    lambda month, part=part: getattr(month.delay, part, 0),  # type: ignore[misc]
                    lambda month, value: f"{month.month}: within {value:,} days",
                    "",
                )
                yield Line(name, bars, f"{max(days):,}", f"{days[-1]:,}")

    def areas(self) -> Iterator[Line]:
        names = CITIES[self._quality.months[0].city].areas()
        found = sorted({area for month in self._quality.months for area in month.areas})
        for area in found:
            rows = sum(month.areas.get(area, 0) for month in self._quality.months)
            bars = self._bars(
                lambda month, area=area: month.areas.get(area, 0) / month.days,  # type: ignore[misc]
                lambda month, daily, area=area: (  # type: ignore[misc]
                    f"{month.month}: {month.areas.get(area, 0):,} rows, {daily:,.1f} a day"
                ),
                "",
            )
            share = _percent(rows / self._quality.rows)
            yield Line(f"{area} {names.get(area, '')}".strip(), bars, share, f"{rows:,}")

    def _bars(
        self, value: Callable[[Month], float], title: Callable[[Month, float], str], check: str,
        most: float | None = None,
    ) -> list[Bar]:  # fmt: skip
        values = {month.month: value(month) for month in self._quality.months}
        top = max(values.values(), default=0.0) if most is None else most
        return [self._bar(name, values, top, title, check) for name in self._quality.span]

    def _bar(
        self, name: str, values: dict[str, float], top: float,
        title: Callable[[Month, float], str], check: str,
    ) -> Bar:  # fmt: skip
        if name not in values:
            return Bar(0.0, "", "")
        month = self._months[name]
        pale = "is-young" if self._quality.young(month) else ""
        tone = f"{self._tones.get((check, name), '')} {pale}".strip()
        height = 100 * values[name] / top if top else 0.0
        return Bar(height, tone, title(month, values[name]))


def _stack(month: Month | None) -> list[Part]:
    if month is None or month.delay is None:
        return []
    parts, below = [], 0.0
    for tone, (name, rows) in enumerate(zip(SPANS, month.delay.spans, strict=True)):
        share = rows / month.delay.rows
        below += 100 * share
        if rows:
            parts.append(Part(100 - below, 100 * share, tone,
                              f"{month.month}, {name}: {rows:,} rows, {share:.1%}"))  # fmt: skip
    return parts


def _facts(quality: Quality) -> dict[str, Any]:
    empty = sorted(set(quality.span) - {month.month for month in quality.months})
    facts = {
        "snapshot": quality.snapshot,
        "source": quality.source or _DASH,
        "months": _span(quality),
        "last report": quality.last_reported or _DASH,
    }
    if empty:
        facts["months without rows"] = _listed(empty)
    return facts


def _span(quality: Quality) -> str:
    first, last = quality.span[0], quality.span[-1]
    return first if first == last else f"{first} to {last}"


def _when(item: Trouble, quality: Quality) -> str:
    of = f"{len(item.months)} of {len(quality.span)} months"
    usual = " of the usual" if item.check == VOLUME else ""
    return f"{of}, {item.rows:,} rows; worst {item.worst}: {_percent(item.share)}{usual}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"


def _percent(share: float) -> str:
    """Write a share so that neither little looks like nothing nor nearly all like all."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"
