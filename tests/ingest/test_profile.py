from __future__ import annotations

import gzip
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.codes import crime_codes
from crimeguard.domain.errors import DataError
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.profile import Profile, default_profile, fit_profile
from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.source import read_file
from crimeguard.ingest.table import FEWEST


@pytest.fixture(scope="module")
def incidents() -> pl.DataFrame:
    return canonical(pl.concat(simulate(8_000, seed=3))).require_clean("simulated rows")


@pytest.fixture(scope="module")
def profile(incidents: pl.DataFrame) -> Profile:
    return fit_profile(incidents)


def packaged() -> Any:
    content = (files("crimeguard.ingest") / "data" / "la_profile.json.gz").read_bytes()
    return json.loads(gzip.decompress(content))


def stored_counts(packed: Any) -> list[int]:
    """Every count in the file, read without the package's own code."""
    tables = [packed["ages"], packed["districts"]["by_area"], packed["districts"]["by_premise"]]
    fields = [packed["codes"], packed["mo_codes"], packed["descents"], *packed["fields"].values()]
    for item in fields:
        tables += [item[part] for part in ("classes", "pools", "overall") if part in item]
    counts = [*packed["rows"], *packed["rows_with_mo"]]
    counts += [n for by in packed["volumes"].values() for n in by.values()]
    for table in tables:
        for rest, *cells in table:
            counts += [rest, *cells[1::2]]
    return counts


def test_no_count_in_the_packaged_profile_is_below_five() -> None:
    counts = np.array(stored_counts(packaged()))
    assert len(counts) > 10_000
    assert counts[counts > 0].min() >= 5
    assert (counts >= 0).all()


def test_the_packaged_profile_holds_nothing_but_counts_codes_and_district_centres() -> None:
    packed = packaged()
    assert set(packed) == {
        "format", "source", "pools", "pool_of", "rows", "rows_with_mo", "codes", "fields",
        "mo_codes", "ages", "descents", "districts", "weekdays", "month_parts", "volumes",
    }  # fmt: skip
    texts = {v for item in packed["fields"].values() for v in item["values"] if isinstance(v, str)}
    assert all(len(text) <= 2 for text in texts)


def test_the_packaged_profile_is_small() -> None:
    content = (files("crimeguard.ingest") / "data" / "la_profile.json.gz").read_bytes()
    assert len(content) < 1_500_000


def test_what_occurs_fewer_than_five_times_is_in_no_table(incidents: pl.DataFrame) -> None:
    four = pl.int_range(pl.len()) < 4
    marked = incidents.with_columns(
        premis_cd=pl.when(four).then(971).otherwise("premis_cd").cast(pl.Int32),
        mocodes=pl.when(four).then(pl.lit([8888], pl.List(pl.Int16))).otherwise("mocodes"),
        rpt_dist_no=pl.when(four).then(9998).otherwise("rpt_dist_no").cast(pl.Int32),
    )
    fitted = fit_profile(marked)
    assert 971 not in fitted.fields["premise"].values
    assert 8888 not in fitted.mo_codes.values
    assert 9998 not in fitted.districts.number
    assert all(counts.smallest() >= FEWEST for counts in fitted.counts().values())


def test_one_more_makes_it_known(incidents: pl.DataFrame) -> None:
    five = pl.int_range(pl.len()) < 5
    marked = incidents.with_columns(
        premis_cd=pl.when(five).then(971).otherwise("premis_cd").cast(pl.Int32)
    )
    assert 971 in fit_profile(marked).fields["premise"].values


def test_every_crime_code_is_in_exactly_one_pool(profile: Profile) -> None:
    codes = [code for pool in profile.pools for code in pool]
    assert sorted(codes) == sorted(crime_codes())
    assert set(profile.pool_of) == set(range(len(profile.pools)))


def test_fitting_what_was_simulated_gives_the_same_shares_back(profile: Profile) -> None:
    truth = default_profile()
    for name in ("area", "weapon", "victim", "has_mo", "slot"):
        ours = dict(zip(profile.fields[name].values,
                        profile.fields[name].overall.shares()[0], strict=True))  # fmt: skip
        theirs = zip(truth.fields[name].values, truth.fields[name].overall.shares()[0], strict=True)
        assert all(abs(ours.get(value, 0) - share) < 0.02 for value, share in theirs), name


def test_a_file_gives_the_same_profile_back(profile: Profile, tmp_path: Path) -> None:
    first, second = tmp_path / "a.json.gz", tmp_path / "b.json.gz"
    profile.save(first)
    Profile.load(first).save(second)
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.json.gz", "b.json.gz"]


def test_fitting_twice_gives_the_same_bytes(incidents: pl.DataFrame, tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit_profile(incidents.head(2_000)).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"no profile", b"[1, 2]", gzip.compress(b'{"format": 1}', mtime=0),
     b"\x1f\x8b broken", b'{"format": 99}'],
)  # fmt: skip
def test_what_is_no_profile_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "p.json.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="profile"):
        Profile.load(path)


def test_a_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Profile.load(tmp_path / "none.json.gz")


def test_too_few_incidents_are_refused(incidents: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="too few"):
        fit_profile(incidents.head(100))


def test_a_frame_without_a_field_is_refused(incidents: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="status"):
        fit_profile(incidents.drop("status"))


def test_further_rows_of_rare_codes_change_no_share(incidents: pl.DataFrame) -> None:
    more = pl.concat([incidents] * 20)
    plain, helped = fit_profile(incidents), fit_profile(incidents, rare=more)
    assert (plain.codes.overall.cells == helped.codes.overall.cells).all()
    assert helped.rows.sum() <= incidents.height
    assert helped.rows_with_mo.sum() > plain.rows_with_mo.sum()


def test_volumes_leave_out_the_year_that_is_cut_short(incidents: pl.DataFrame) -> None:
    census = pl.DataFrame(
        {"year": [21, 22, 23, 24], "area": [1, 1, 1, 1], "len": [900, 1000, 1000, 300]}
    )
    assert sorted(fit_profile(incidents, census).volumes) == [2021, 2022, 2023]


@pytest.mark.realdata
def test_the_real_blanks_are_kept(tmp_path: Path) -> None:
    folder = os.environ.get("CRIMEGUARD_REALDATA")
    if not folder:
        pytest.skip("CRIMEGUARD_REALDATA does not name the folder of the real rows")
    real = read_file(Path(folder) / "la_2023q1.parquet").frame
    fitted = fit_profile(real)
    rows = canonical(pl.concat(simulate(30_000, seed=1, profile=fitted))).frame
    for name in ("vict_sex", "vict_descent", "vict_age", "weapon_used_cd", "crm_cd_2"):
        blank = [frame.select(pl.col(name).is_null().mean()).item() for frame in (real, rows)]
        assert blank[0] == pytest.approx(blank[1], abs=0.02), name
