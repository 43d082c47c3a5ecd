"""Simulated incidents written as the portal's export writes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain import codes
from crimeguard.domain.field import EXPORT_COLUMNS
from crimeguard.ingest import coding
from crimeguard.ingest.places import blocks
from crimeguard.ingest.profile import Profile
from crimeguard.ingest.table import Ints


class Exporter:
    """Turns positions in a profile's vocabularies into the 28 columns of text."""

    def __init__(self, profile: Profile, first_day: dt.date, days: int) -> None:
        fields = profile.fields
        reach = days + coding.LONGEST + 1
        self._days = _series(
            (first_day + dt.timedelta(days=day)).strftime("%m/%d/%Y 12:00:00 AM")
            for day in range(reach)
        )
        self._times = _series(f"{at // 60:02d}{at % 60:02d}" for at in range(1440))
        self._ages = _series(str(age) for age in range(121))
        self._sexes = _series(coding.SEXES)
        self._descents = _series([*fields["descent"].values, "X", ""])
        self._statuses = fields["status"].values
        self._words = {
            name: fields[name].values for name in ("premise", "weapon", "second", "third", "fourth")
        }
        self._codes = sorted(codes.crime_codes())
        self._areas = fields["area"].values
        self._districts = _series(f"{number:04d}" for number in profile.districts.number)
        self._blocks = blocks(profile.districts)
        self._mo = _series(f"{code:04d}" for code in profile.mo_codes.values)

    def frame(self, drawn: Mapping[str, Ints], mo: tuple[Ints, Ints]) -> pl.DataFrame:
        """Write drawn positions as one export, in the order in which they were drawn."""
        table = codes.crime_codes()
        crimes = [table[code] for code in self._codes]
        code = pl.Series(drawn["code"])
        area, place = pl.Series(drawn["area"]), self._blocks[drawn["block"]]
        crime = _series(f"{item.code}" for item in crimes).gather(code)
        columns = {
            "DR_NO": _numbers(drawn["number"]),
            "Date Rptd": self._days.gather(drawn["reported"]),
            "DATE OCC": self._days.gather(drawn["day"]),
            "TIME OCC": self._times.gather(drawn["time"]),
            "AREA": _series(f"{number:02d}" for number in self._areas).gather(area),
            "AREA NAME": _described(self._areas, codes.area_descriptions()).gather(area),
            "Rpt Dist No": self._districts.gather(drawn["district"]),
            "Part 1-2": _series(f"{item.part}" for item in crimes).gather(code),
            "Crm Cd": crime,
            "Crm Cd Desc": _series(item.description for item in crimes).gather(code),
            "Mocodes": self._sets(mo, len(code)),
            "Vict Age": self._ages.gather(drawn["age"]),
            "Vict Sex": self._sexes.gather(drawn["sex"]),
            "Vict Descent": self._descents.gather(drawn["descent"]),
            "Premis Cd": self._numeric("premise", drawn),
            "Premis Desc": self._text("premise", drawn, codes.premise_descriptions()),
            "Weapon Used Cd": self._numeric("weapon", drawn),
            "Weapon Desc": self._text("weapon", drawn, codes.weapon_descriptions()),
            "Status": _series(self._statuses).gather(drawn["status"]),
            "Status Desc": _described(self._statuses, codes.status_descriptions()).gather(
                drawn["status"]
            ),
            "Crm Cd 1": crime,
            "Crm Cd 2": self._numeric("second", drawn),
            "Crm Cd 3": self._numeric("third", drawn),
            "Crm Cd 4": self._numeric("fourth", drawn),
            **place.to_dict(),
        }
        return pl.DataFrame({name: columns[name] for name in EXPORT_COLUMNS})

    def _numeric(self, name: str, drawn: Mapping[str, Ints]) -> pl.Series:
        words = _series(str(code) if code else "" for code in self._words[name])
        return words.gather(drawn[name])

    def _text(self, name: str, drawn: Mapping[str, Ints], texts: Mapping[int, str]) -> pl.Series:
        return _described(self._words[name], texts).gather(drawn[name])

    def _sets(self, mo: tuple[Ints, Ints], rows: int) -> pl.Series:
        """Join each row's MO codes; `mo` is pairs of row and code, rows ascending."""
        pairs = pl.DataFrame({"row": mo[0], "code": self._mo.gather(mo[1])})
        joined = pairs.group_by("row", maintain_order=True).agg(pl.col("code").str.join(" "))
        texts = pl.DataFrame({"row": pl.int_range(rows, dtype=pl.Int64, eager=True)}).join(
            joined, on="row", how="left", maintain_order="left"
        )
        return texts["code"].fill_null("")


def blank(frame: pl.DataFrame, columns: Iterable[str], rows: NDArray[np.bool_]) -> pl.DataFrame:
    """Blank some columns of some rows, in the way of an export: an unknown age is 0."""
    mask = pl.Series(rows)
    return frame.with_columns(
        pl.when(mask).then(pl.lit("0" if name == "Vict Age" else "")).otherwise(pl.col(name))
        .alias(name)
        for name in columns
    )  # fmt: skip


def _series(texts: Iterable[str]) -> pl.Series:
    return pl.Series(list(texts), dtype=pl.String)


def _described(
    values: Iterable[int] | Iterable[str], texts: Mapping[int, str] | Mapping[str, str]
) -> pl.Series:
    known: dict[int | str, str] = dict(texts.items())
    return _series(known.get(value, "") for value in values)


def _numbers(numbers: Ints) -> pl.Series:
    return pl.Series(numbers).cast(pl.String).str.zfill(9)
