"""Drawing incidents from a profile: which happen on a day, and what they look like."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.category import CATEGORIES, Category
from crimeguard.domain.codes import crime_codes
from crimeguard.ingest import coding
from crimeguard.ingest.chances import (
    class_categories,
    class_weights,
    code_shares,
    day_rates,
    descent_shares,
    even_ages,
    home_shares,
    reported_within,
    set_shares,
)
from crimeguard.ingest.drift import Drift, Effect
from crimeguard.ingest.places import BLOCKS
from crimeguard.ingest.profile import Profile
from crimeguard.ingest.table import Floats, Ints, Sampler

_MOST_DRAWS: Final = 50
# A few months are weak evidence of a monthly rhythm: as many more, without any, are added.
_MONTHS_OF_DOUBT: Final = 2
_MOST_MO: Final = 10  # the portal's exports never hold more
_SET_STEPS: Final = 1 << 16
_PLAIN: Final = ("victim", "band", "has_mo", "weapon")


@dataclass(frozen=True, slots=True)
class Phase:
    """Days on which the same drifts are on, and the same categories still withheld."""

    active: tuple[Drift, ...] = ()
    awaited: tuple[Drift, ...] = ()

    @classmethod
    def on(cls, day: dt.date, drifts: Sequence[Drift]) -> Phase:
        """Return the phase of a day; every drift must have a start."""
        begun = [drift.start is not None and drift.start <= day for drift in drifts]
        return cls(
            tuple(drift for drift, on in zip(drifts, begun, strict=True) if on),
            tuple(drift for drift, on in zip(drifts, begun, strict=True) if not on),
        )

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What the active drifts do."""
        return tuple(drift.effect for drift in self.active)

    def tilt(self, name: str, values: Sequence[int]) -> Floats:
        """Return how many times more often each value of a field happens."""
        tilt = np.ones(len(values))
        for effect in self.effects:
            wanted = effect.tilts.get(name, {})
            tilt *= [wanted.get(value, 1.0) for value in values]
        return tilt


class Engine:
    """A profile made ready for drawing: every table as probabilities by latent class."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        pool_of = profile.pool_of
        self._shares = {name: item.shares(pool_of) for name, item in profile.fields.items()}
        self._samplers = {name: Sampler(self._shares[name]) for name in (*_PLAIN, "delay")}
        self._in_time = reported_within(self._shares["delay"])
        pools = np.arange(len(profile.pools))
        for name in ("minute", "status", "second", "third", "fourth"):
            self._samplers[name] = Sampler(profile.fields[name].shares(pools))
        self._codes = Sampler(code_shares(profile))
        self._ages = Sampler(profile.ages.shares(even_ages()))
        self._descents = Sampler(descent_shares(profile, self._shares))
        self._prepare_districts()
        self._mo = np.rint(
            profile.mo_codes.rates(pool_of, profile.rows_with_mo) * (_SET_STEPS - 1)
        ).astype(np.uint16)
        self._fallback_mo = Sampler(set_shares(self._mo))
        self._weights = class_weights(profile)
        self._category_of_class = class_categories(profile)
        self._by_phase: dict[Phase, _Drifted] = {}
        self._areas: dict[tuple[Phase, int], Sampler] = {}

    def _prepare_districts(self) -> None:
        places, profile = self._profile.districts, self._profile
        areas, premises = (len(profile.fields[name].values) for name in ("area", "premise"))
        wide = places.by_area.shares(home_shares(places.area, areas))
        pairs = np.array([area for area, _ in places.pairs], dtype=np.int64)
        narrow = places.by_premise.shares(wide[pairs]) if len(pairs) else wide[:0]
        self._districts = Sampler(np.vstack([wide, narrow]))
        self._district_group = np.repeat(np.arange(areas)[:, None], premises, axis=1)
        for place, (area, premise) in enumerate(places.pairs):
            self._district_group[area, premise] = areas + place

    def intensity(self, day: dt.date, phase: Phase, patience: int) -> float:
        """Return the expected incidents of a day that are reported within `patience` days.

        Up to a constant factor.
        """
        return float(self._rates(day, phase, patience).sum()) * self._year_factor(day.year)

    def _rates(self, day: dt.date, phase: Phase, patience: int) -> Floats:
        in_time = self._in_time[min(patience, coding.LONGEST)]
        return np.asarray(self._drifted(phase).rates[_kind(day)] * in_time)

    def draw(
        self,
        rng: np.random.Generator,
        days: Ints,
        calendar: Sequence[dt.date],
        phase: Phase,
        exported: int,
    ) -> tuple[dict[str, Ints], tuple[Ints, Ints]]:
        """Draw one incident for each entry of `days` (positions in `calendar`, one year).

        `exported` is the last position on which a report still came in time.

        Returns positions in the profile's vocabularies by name, ordered by day and time,
        and the MO codes as pairs of row and code.
        """
        drifted = self._drifted(phase)
        dates, place = np.unique(days, return_inverse=True)
        rates = [self._rates(calendar[day], phase, exported - day) for day in dates]
        latent = Sampler(np.stack(rates)).draw(rng, place)
        pool = self._profile.pool_of[latent]
        slot = drifted.slots.draw(rng, latent)
        time = _times(slot, self._samplers["minute"].draw(rng, pool))
        order = np.lexsort((time, days))
        days, time, latent, pool = days[order], time[order], latent[order], pool[order]
        drawn = {"day": days, "time": time, "code": self._codes.draw(rng, pool)}
        drawn["area"] = self._area_sampler(phase, calendar[days[0]].year).draw(rng, latent)
        drawn["premise"] = drifted.premises.draw(rng, latent)
        for name in _PLAIN:
            drawn[name] = self._samplers[name].draw(rng, latent)
        for name in ("status", "second", "third", "fourth"):
            drawn[name] = self._samplers[name].draw(rng, pool)
        drawn["reported"] = drawn["day"] + self._draw_delays(rng, latent, exported - days)
        self._finish(rng, drawn, latent)
        mo = self._draw_sets(rng, latent, drawn["has_mo"] == 1)
        # Last of all, so that the rows are otherwise those of the same seed without it.
        self._relabel(rng, drawn, phase)
        return drawn, mo

    def _finish(self, rng: np.random.Generator, drawn: dict[str, Ints], latent: Ints) -> None:
        """Derive what hangs on several drawn fields: place, victim, report, further codes."""
        rows = len(latent)
        group = self._district_group[drawn["area"], drawn["premise"]]
        drawn["district"] = self._districts.draw(rng, group)
        # The smaller of two draws: some blocks see more than others.
        block = rng.integers(0, BLOCKS, (2, rows), dtype=np.uint32).astype(np.int64)
        drawn["block"] = drawn["district"] * BLOCKS + block.min(axis=0)
        pattern = drawn["victim"]
        drawn["sex"] = pattern // 6
        drawn["age"] = np.where(pattern % 2 == 1, self._ages.draw(rng, drawn["band"]), 0)
        areas = len(self._profile.fields["area"].values)
        letter = self._descents.draw(rng, latent * areas + drawn["area"])
        letters = len(self._profile.fields["descent"].values)
        told = pattern // 2 % 3
        drawn["descent"] = np.where(told == 2, letter, np.where(told == 1, letters, letters + 1))
        for name, given in (("third", "second"), ("fourth", "third")):
            blank = self._blank_of(name)
            drawn[name] = np.where(drawn[given] == self._blank_of(given), blank, drawn[name])

    def _draw_delays(self, rng: np.random.Generator, latent: Ints, patience: Ints) -> Ints:
        """Draw days until the report, again and again where the report would be too late."""
        delays = _delays(rng, self._samplers["delay"].draw(rng, latent))
        for _ in range(_MOST_DRAWS):
            (late,) = np.nonzero(delays > patience)
            if not len(late):
                break
            delays[late] = _delays(rng, self._samplers["delay"].draw(rng, latent[late]))
        return np.minimum(delays, patience)

    def _blank_of(self, name: str) -> int:
        return self._profile.fields[name].values.index(0)

    def _relabel(self, rng: np.random.Generator, drawn: dict[str, Ints], phase: Phase) -> None:
        places = {code: place for place, code in enumerate(sorted(crime_codes()))}
        for effect in phase.effects:
            if effect.relabelled:
                target = np.arange(len(places))
                for code, other in effect.relabelled.items():
                    target[places[code]] = places[other]
                draws = rng.integers(0, 1 << 32, len(drawn["code"]), dtype=np.uint32)
                hit = draws < effect.relabel_share * (1 << 32)
                drawn["code"] = np.where(hit, target[drawn["code"]], drawn["code"])

    def _draw_sets(
        self, rng: np.random.Generator, latent: Ints, present: NDArray[np.bool_]
    ) -> tuple[Ints, Ints]:
        (rows,) = np.nonzero(present)
        steps = self._mo[latent[rows]]
        chosen = rng.integers(0, _SET_STEPS, steps.shape, dtype=np.uint16) < steps
        (empty,) = np.nonzero(~chosen.any(axis=1))
        chosen[empty, self._fallback_mo.draw(rng, latent[rows[empty]])] = True
        at, member = np.nonzero(chosen)
        shuffled = np.lexsort((rng.integers(0, 1 << 32, len(at), dtype=np.uint32), at))
        at, member = at[shuffled], member[shuffled]
        position = np.arange(len(at)) - np.searchsorted(at, at)
        keep = position < _MOST_MO
        return rows[at[keep]], member[keep]

    def _drifted(self, phase: Phase) -> _Drifted:
        if phase not in self._by_phase:
            self._by_phase[phase] = self._drift(phase)
        return self._by_phase[phase]

    def _drift(self, phase: Phase) -> _Drifted:
        factor = np.ones(len(self._weights))
        tables = {}
        for name in ("slot", "premise", "area"):
            tilt = phase.tilt(name, self._profile.fields[name].values)
            tables[name] = self._shares[name] * tilt
            factor *= tables[name].sum(axis=1)
        withheld = np.ones(len(self._weights))
        volume = 1.0
        for effect in phase.effects:
            factor *= self._by_category(effect.shares)
            withheld *= self._by_category(dict.fromkeys(effect.withheld, effect.returning))
            volume *= effect.volume
        for drift in phase.awaited:
            withheld *= self._by_category(dict.fromkeys(drift.effect.withheld, 0.0))
        rates = self._base_rates()
        # Tilts and shares move incidents about; no day gets more of them or fewer.
        moved = rates * factor
        moved *= rates.sum(axis=1, keepdims=True) / moved.sum(axis=1, keepdims=True)
        rates = moved * withheld * volume
        return _Drifted(rates, Sampler(tables["slot"]), Sampler(tables["premise"]))

    def _by_category(self, factors: Mapping[Category, float]) -> Floats:
        wanted = np.array([factors.get(Category(name), 1.0) for name in CATEGORIES])
        return wanted[self._category_of_class]

    def _base_rates(self) -> Floats:
        """Return expected incidents a day by kind of day (21) and class."""
        profile = self._profile
        by_day = day_rates(self._shares["weekday"], profile.weekdays, doubt=0)
        by_part = day_rates(self._shares["part"], profile.month_parts, doubt=_MONTHS_OF_DOUBT)
        rates = [
            self._weights * by_day[:, weekday] * by_part[:, part]
            for part in range(len(coding.MONTH_PARTS))
            for weekday in range(7)
        ]
        return np.stack(rates)

    def _area_sampler(self, phase: Phase, year: int) -> Sampler:
        if (phase, year) not in self._areas:
            values = self._profile.fields["area"].values
            tilt = phase.tilt("area", values) * self._area_factors(year)
            self._areas[phase, year] = Sampler(self._shares["area"] * tilt)
        return self._areas[phase, year]

    def _nearest(self, year: int) -> dict[int, int]:
        volumes = self._profile.volumes
        return volumes[min(volumes, key=lambda other: abs(other - year))] if volumes else {}

    def _year_factor(self, year: int) -> float:
        return float(sum(self._nearest(year).values()) or 1)

    def _area_factors(self, year: int) -> Floats:
        """Return each area's share of the year's census against its share in the profile."""
        census = self._nearest(year)
        usual = self._profile.fields["area"].overall.cells[0].astype(float)
        known = np.array([census.get(area, 0) for area in self._profile.fields["area"].values])
        if not census or not known.all():
            return np.ones(len(usual))
        return np.asarray((known / known.sum()) / (usual / usual.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class _Drifted:
    rates: Floats
    slots: Sampler
    premises: Sampler


def _kind(day: dt.date) -> int:
    part = sum(day.day >= first for first in coding.MONTH_PARTS) - 1
    return 7 * part + day.weekday()


def _times(slot: Ints, minute: Ints) -> Ints:
    """Return minutes since midnight; a drawn noon or 00:01 was no placeholder, so move it."""
    minute = np.where((slot == 12) & (minute == 0), 30, minute)
    minute = np.where((slot == 0) & (minute == 1), 5, minute)
    time = slot * 60 + minute
    for placeholder, place in coding.PLACEHOLDERS.items():
        time = np.where(slot == place, placeholder // 100 * 60 + placeholder % 100, time)
    return np.asarray(time, dtype=np.int64)


def _delays(rng: np.random.Generator, span: Ints) -> Ints:
    starts = np.array(coding.DELAYS, dtype=np.int64)
    ends = np.array([*coding.DELAYS[1:], coding.LONGEST + 1], dtype=np.int64)
    draws = rng.integers(0, 1 << 32, len(span), dtype=np.uint32).astype(np.int64)
    return starts[span] + (draws * (ends - starts)[span] >> 32)
