"""The statistical profile of a city's incidents: what the simulator knows of them.

It holds counts and nothing else: by latent class within a crime code, with every count
below five merged into a wider group, so that no incident can be read back.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import crime_codes
from crimeguard.domain.errors import DataError
from crimeguard.ingest import fit
from crimeguard.ingest.coding import AGE_BANDS, MONTH_PARTS, bands
from crimeguard.ingest.places import Districts, fit_districts
from crimeguard.ingest.table import FEWEST, Counts, Ints, Levels, cross
from crimeguard.ingest.writer import replacing

FORMAT: Final = 1
_FEWEST_ROWS: Final = 1000
_MAKE_ONE: Final = "Make one with `crimeguard profile DATA --out FILE`."


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Counts of incidents, each at least five.

    Attributes
    ----------
    pool_of : array of int, classes
        Pool that each latent class belongs to.
    rows, rows_with_mo : arrays of int, classes
        Incidents of the class, and those among them with any MO code.
    codes : Levels
        Crime codes by pool; a pool is one common code, or the rare ones of a category.
    pools : tuple of tuples of int
        Crime codes of each pool, whether or not they occurred.
    fields : dict of Levels
        Counts of every field, see `crimeguard.ingest.fit.code_columns`.
    mo_codes : Levels
        Counts of incidents in which an MO code occurs.
    ages : Counts
        Exact ages by age band.
    descents : Levels
        Descent by area, where the wider groups are the areas in place of pools.
    districts : Districts
        Reporting districts of every area.
    weekdays, month_parts : arrays of int
        Days fitted on, by weekday (7) and by `coding.MONTH_PARTS` (3).
    volumes : dict
        Incidents by year and area, where a census of them was given.
    source : dict
        What it was fitted on: rows, first and last day.
    """

    pool_of: Ints
    rows: Ints
    rows_with_mo: Ints
    codes: Levels
    pools: tuple[tuple[int, ...], ...]
    fields: dict[str, Levels]
    mo_codes: Levels
    ages: Counts
    descents: Levels
    districts: Districts
    weekdays: Ints
    month_parts: Ints
    volumes: dict[int, dict[int, int]]
    source: dict[str, Any]

    def counts(self) -> dict[str, Counts]:
        """Return every table of counts by name, for whoever wants to check them."""
        named = {"ages": self.ages, "districts by area": self.districts.by_area,
                 "districts by premise": self.districts.by_premise}  # fmt: skip
        for name, levels in {
            "code": self.codes,
            "mo": self.mo_codes,
            "descent by area": self.descents,
            **self.fields,
        }.items():
            named |= {f"{name} {number}": part for number, part in enumerate(levels.parts())}
        return named

    def save(self, path: Path) -> None:
        """Write the profile as gzipped JSON, at once or not at all; same counts, same bytes."""
        text = json.dumps(self._packed(), separators=(",", ":"), allow_nan=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(gzip.compress(text.encode(), 9, mtime=0))

    @classmethod
    def load(cls, path: Path) -> Profile:
        """Read a profile; DataError if it is none, or of another format."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"The profile {path} cannot be read.", why=f"{error.strerror}.",
                            fix=_MAKE_ONE) from None  # fmt: skip
        return cls.read(content, str(path))

    @classmethod
    def read(cls, content: bytes, name: str) -> Profile:
        """Read a profile from bytes, gzipped or plain JSON."""
        try:
            plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            packed = json.loads(plain)
            written = packed["format"]
            profile = cls._unpacked(packed) if written == FORMAT else None
        except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"{name} is not a profile of incidents.", why=f"{error!r}.",
                            fix=_MAKE_ONE) from None  # fmt: skip
        if profile is None:
            raise DataError(f"{name} is a profile of format {written!r}, not {FORMAT}.",
                            fix=_MAKE_ONE)  # fmt: skip
        return profile

    def _packed(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "source": self.source,
            "pools": [list(pool) for pool in self.pools], "pool_of": self.pool_of.tolist(),
            "rows": self.rows.tolist(), "rows_with_mo": self.rows_with_mo.tolist(),
            "codes": self.codes.to_json(),
            "fields": {name: levels.to_json() for name, levels in self.fields.items()},
            "mo_codes": self.mo_codes.to_json(), "ages": self.ages.to_json(),
            "descents": self.descents.to_json(),
            "districts": self.districts.to_json(), "weekdays": self.weekdays.tolist(),
            "month_parts": self.month_parts.tolist(),
            "volumes": {str(year): {str(area): n for area, n in by.items()}
                        for year, by in self.volumes.items()},
        }  # fmt: skip

    @classmethod
    def _unpacked(cls, packed: dict[str, Any]) -> Profile:
        def whole(name: str) -> Ints:
            return np.array(packed[name], dtype=np.int64)

        return cls(
            pool_of=whole("pool_of"), rows=whole("rows"), rows_with_mo=whole("rows_with_mo"),
            codes=Levels.from_json(packed["codes"]),
            pools=tuple(tuple(pool) for pool in packed["pools"]),
            fields={name: Levels.from_json(item) for name, item in packed["fields"].items()},
            mo_codes=Levels.from_json(packed["mo_codes"]),
            ages=Counts.from_json(packed["ages"], 100),
            descents=Levels.from_json(packed["descents"]),
            districts=Districts.from_json(packed["districts"]),
            weekdays=whole("weekdays"), month_parts=whole("month_parts"),
            volumes={int(year): {int(area): int(n) for area, n in by.items()}
                     for year, by in packed["volumes"].items()},
            source=dict(packed["source"]),
        )  # fmt: skip


@cache
def default_profile() -> Profile:
    """Return the packaged profile of Los Angeles."""
    path = files("crimeguard.ingest") / "data" / "la_profile.json.gz"
    return Profile.read(path.read_bytes(), "the packaged profile")


def fit_profile(
    incidents: pl.DataFrame,
    volumes: pl.DataFrame | None = None,
    *,
    rare: pl.DataFrame | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Profile:
    """Fit a profile on canonical incidents.

    Parameters
    ----------
    incidents : polars.DataFrame
        A fair sample of all incidents of its days, canonical fields; rows of crime codes
        in no table are left out.
    volumes : polars.DataFrame, optional
        Census with columns `year` (of four digits, or two), `area` and `len`.
    rare : polars.DataFrame, optional
        Further incidents, however biased: used only for what incidents of a code look
        like that occurs fewer than `fit.RARE` times in `incidents`, never for shares.
    on_progress : callable, optional
        Told the number of incidents done after every pool of crime codes.

    Raises DataError when there are too few incidents.
    """
    positions = fit.code_positions()
    known = _usable(incidents, positions)
    if known.height < _FEWEST_ROWS:
        raise DataError(f"{known.height:,} incidents are too few for a profile.",
                        fix=f"Give at least {_FEWEST_ROWS:,}.")  # fmt: skip
    frame, own = _with_rare(known, rare, positions)
    code = frame["crm_cd"].replace_strict(positions, return_dtype=pl.Int64).to_numpy()
    categories = np.array([CATEGORIES.index(crime_codes()[c].category) for c in positions])
    seen = np.bincount(code, minlength=len(positions))
    members, pool_of_code = fit.pools(categories, seen)
    columns, sets = fit.code_columns(frame), fit.code_sets(frame)
    many = len(members)
    class_of_row, pool_of = fit.assign_classes(columns, sets, pool_of_code[code], many, on_progress)
    names = tuple(positions)
    code_column = fit.Column(names, np.where(own, code, -1), "pool")
    return Profile(
        pool_of=pool_of,
        rows=_at_least(np.bincount(class_of_row[own], minlength=len(pool_of))),
        rows_with_mo=_at_least(
            np.bincount(class_of_row, columns["has_mo"].coded, minlength=len(pool_of))
        ),
        codes=fit.count_levels(code_column, class_of_row, pool_of, many),
        pools=tuple(tuple(names[place] for place in inside) for inside in members),
        fields={name: fit.count_levels(column, class_of_row, pool_of, many)
                for name, column in columns.items()},
        mo_codes=fit.count_sets(sets, class_of_row, pool_of, many),
        ages=_ages(frame, columns["band"].coded),
        descents=_descents(columns),
        districts=fit_districts(
            frame, columns["area"].coded, columns["premise"].coded,
            (len(columns["area"].values), len(columns["premise"].values)),
        ),
        weekdays=_days(known)[0], month_parts=_days(known)[1],
        volumes=_volumes(volumes),
        source={"rows": known.height, "first_day": str(known["date_occ"].min()),
                "last_day": str(known["date_occ"].max())},
    )  # fmt: skip


def _usable(incidents: pl.DataFrame, positions: dict[int, int]) -> pl.DataFrame:
    missing = [name for name in fit.USED if name not in incidents.columns]
    if missing:
        raise DataError(f"A profile needs the fields {', '.join(missing)}.",
                        fix="Give incidents in the portal's 28-column form.")  # fmt: skip
    known = pl.col("crm_cd").is_in(list(positions)) & pl.col("date_occ").is_not_null()
    return incidents.select(fit.USED).filter(known)


def _with_rare(
    known: pl.DataFrame, rare: pl.DataFrame | None, positions: dict[int, int]
) -> tuple[pl.DataFrame, Any]:
    """Append the further incidents of rare codes; tell which rows are the sample's own."""
    if rare is None:
        return known, np.ones(known.height, dtype=bool)
    counts = known["crm_cd"].value_counts()
    common = counts.filter(pl.col("count") >= fit.RARE)["crm_cd"].to_list()
    more = _usable(rare, positions).filter(~pl.col("crm_cd").is_in(common))
    both = pl.concat([known, more])
    return both, np.arange(both.height) < known.height


def _at_least(counts: Any) -> Ints:
    whole = np.asarray(counts, dtype=np.int64)
    return np.where(whole < FEWEST, 0, whole)


def _ages(frame: pl.DataFrame, band: Ints) -> Counts:
    ages = frame["vict_age"].fill_null(-1).clip(-1, 99).cast(pl.Int64).to_numpy()
    return Counts.merged(cross(band, ages, (len(AGE_BANDS), 100)))


def _descents(columns: dict[str, fit.Column]) -> Levels:
    area, descent = columns["area"], columns["descent"]
    by_area = cross(area.coded, descent.coded, (len(area.values), len(descent.values)))
    overall = Counts.merged(by_area.sum(axis=0, keepdims=True))
    return Levels(descent.values, None, Counts.merged(by_area), overall)


def _days(frame: pl.DataFrame) -> tuple[Ints, Ints]:
    days = frame["date_occ"].unique()
    weekdays = np.bincount(days.dt.weekday().to_numpy() - 1, minlength=7)
    parts = np.bincount(bands(days.dt.day(), MONTH_PARTS), minlength=len(MONTH_PARTS))
    return weekdays.astype(np.int64), parts.astype(np.int64)


def _volumes(volumes: pl.DataFrame | None) -> dict[int, dict[int, int]]:
    """Keep the years that are complete: the last export ends within a year."""
    if volumes is None:
        return {}
    census: dict[int, dict[int, int]] = {}
    for year, area, count in volumes.select("year", "area", "len").cast(pl.Int64).iter_rows():
        if count >= FEWEST:
            census.setdefault(year + 2000 if year < 100 else year, {})[area] = count
    usual = float(np.median([sum(by.values()) for by in census.values()] or [0]))
    return {year: by for year, by in sorted(census.items()) if sum(by.values()) > 0.6 * usual}
