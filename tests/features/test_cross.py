from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.incident import Incident
from crimeguard.domain.level import InformationLevel
from crimeguard.features import cross
from crimeguard.features.columns import Columns, Ints
from crimeguard.features.cross import (
    RADIX,
    TEMPLATES,
    crossed_keys,
    level_of_key,
    template_name,
    template_of,
)

ONE = Incident(
    date_occ=dt.date(2023, 3, 10), time_occ=2130, area=12, rpt_dist_no=1249, premis_cd=502,
    date_rptd=dt.date(2023, 3, 10), vict_age=34, vict_sex="F", vict_descent="H",
    weapon_used_cd=400, mocodes=(416, 1813, 2000),
)  # fmt: skip


def keys(incident: Incident) -> list[int]:
    return sorted(crossed_keys(Columns.from_incidents([incident])).values.tolist())


def atoms_of(columns: Columns) -> dict[str, Ints]:
    made = cross._atoms(columns, np.diff(columns.mo_offsets))
    assert len(made) == len(cross.ATOMS) + 1
    return dict(zip(cross.ATOMS, made, strict=False))


def template(*names: str) -> int:
    return [listed for _, listed in TEMPLATES].index(names)


def keys_of(incident: Incident, *names: str) -> set[int]:
    mine = crossed_keys(Columns.from_incidents([incident])).values
    return set(mine[template_of(mine) == template(*names)].tolist())


def test_every_packed_value_fits_into_its_block() -> None:
    for _, names in TEMPLATES:
        assert math.prod(RADIX[name] for name in names) <= cross.BLOCK
    assert len(TEMPLATES) * 3 * cross.BLOCK < 2**63


def test_no_template_stands_twice() -> None:
    named = [names for _, names in TEMPLATES]
    assert len(set(named)) == len(named)


def test_atoms_stay_below_their_radix(incidents: pl.DataFrame) -> None:
    edges = [
        ONE,
        Incident(date_occ=dt.date(2000, 1, 1)),
        replace(ONE, time_occ=2359, area=999_999, rpt_dist_no=999_999, premis_cd=999_999,
                weapon_used_cd=999_999, vict_age=120, vict_sex="X", vict_descent="Z",
                mocodes=(*range(1, 15), 9999), date_rptd=dt.date(2033, 1, 1)),
        replace(ONE, time_occ=0, area=0, premis_cd=0, weapon_used_cd=0, vict_age=1,
                date_rptd=dt.date(2003, 1, 1)),
    ]  # fmt: skip
    for columns in (Columns.from_incidents(edges), Columns.from_frame(incidents)):
        for name, values in atoms_of(columns).items():
            assert values.min() >= 0, name
            assert values.max() < RADIX[name], name


def test_different_values_never_share_a_key(incidents: pl.DataFrame) -> None:
    columns = Columns.from_frame(incidents)
    atoms = atoms_of(columns)
    made = crossed_keys(columns)
    row = np.repeat(np.arange(len(columns)), np.diff(made.offsets))
    for names in (("premise", "weapon"), ("sex", "age"), ("premise", "area")):
        here = template_of(made.values) == template(*names)
        seen = dict[tuple[int, ...], int]()
        for place, key in zip(row[here], made.values[here], strict=True):
            values = tuple(int(atoms[name][place]) for name in names)
            assert seen.setdefault(values, int(key)) == key
        assert len(set(seen.values())) == len(seen) > 5


def test_the_order_of_mo_codes_changes_nothing() -> None:
    columns = Columns.from_incidents([ONE])
    turned = replace(columns, mo_values=columns.mo_values[::-1].copy())
    assert sorted(crossed_keys(turned).values) == sorted(crossed_keys(columns).values)


def test_pairs_of_mo_codes_are_all_there_once() -> None:
    for count in range(6):
        incident = replace(ONE, mocodes=tuple(range(1, count + 1)))
        assert len(keys_of(incident, "mo", "mo_other")) == count * (count - 1) // 2


def test_no_mo_code_is_a_fact_of_its_own() -> None:
    blank = replace(ONE, mocodes=())
    assert len(keys_of(blank, "mo")) == 1
    assert keys_of(blank, "mo").isdisjoint(keys_of(ONE, "mo"))
    assert len(keys_of(ONE, "mo")) == 3


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"premis_cd": 501}, ("premise",)),
        ({"premis_cd": None}, ("premise",)),
        ({"weapon_used_cd": None}, ("weapon",)),
        ({"area": 1}, ("area",)),
        ({"vict_sex": None}, ("sex",)),
        ({"vict_age": None}, ("age",)),
        ({"vict_descent": "X"}, ("descent",)),
        ({"date_rptd": None}, ("delay",)),
        ({"date_occ": dt.date(2023, 3, 11)}, ("weekday",)),
        ({"time_occ": None}, ("hour",)),
        ({"cross_street": "MAIN"}, ("crossed",)),
    ],
)
def test_a_change_of_a_field_changes_its_key(change: dict[str, Any], names: tuple[str]) -> None:
    changed = replace(ONE, **change)
    assert keys_of(changed, *names) != keys_of(ONE, *names)
    others = [listed for _, listed in TEMPLATES if listed in (("district",), ("mo",))]
    assert all(keys_of(changed, *listed) == keys_of(ONE, *listed) for listed in others)


def test_days_and_ages_fall_into_bands() -> None:
    delays = np.array([-3, 0, 1, 2, 3, 7, 30, 180, 181, 4000, -(10**6)])
    assert cross._delay_band(delays).tolist() == [0, 0, 1, 2, 2, 3, 4, 5, 6, 6, 7]
    ages = np.array([-1, 1, 2, 3, 17, 18, 20, 80, 120])
    bands = cross._age_band(ages).tolist()
    assert bands[0] == 0
    assert bands[1] == bands[2]
    assert bands == sorted(bands)
    assert len(set(bands)) == 7


def test_times_that_clerks_write_for_unknown_stand_out() -> None:
    kinds = [keys_of(replace(ONE, time_occ=time), "placeholder") for time in (1200, 1, 1201, None)]
    assert kinds[0] != kinds[1] != kinds[2] == kinds[3]


def test_levels_share_no_key() -> None:
    for level in InformationLevel:
        made = np.array(keys(replace(ONE, level=level)))
        assert set(level_of_key(made)) == {level}
        least = [TEMPLATES[index][0] for index in template_of(made)]
        assert max(least) == level


def test_keys_stand_by_incident() -> None:
    both = [ONE, Incident(date_occ=dt.date(2023, 1, 1), level=InformationLevel.CALL)]
    made = crossed_keys(Columns.from_incidents(both))
    for place, incident in enumerate(both):
        mine = made.values[made.offsets[place] : made.offsets[place + 1]]
        assert sorted(mine) == keys(incident)
        assert (np.diff(template_of(mine)) >= 0).all()


def test_templates_have_names() -> None:
    assert template_name(0) == "base rate"
    assert template_name(template("premise", "weapon")) == "premise x weapon"
