from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from typing import Any

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.codes import crime_codes
from crimeguard.domain.errors import UsageError
from crimeguard.domain.field import EXPORT_COLUMNS
from crimeguard.ingest import simulator
from crimeguard.ingest.chances import class_weights, code_shares
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.profile import default_profile
from crimeguard.ingest.simulator import CHUNK, DEFAULT_WINDOW, _Numbers, simulate

JANUARY: dict[str, Any] = {"start": dt.date(2023, 1, 1), "end": dt.date(2023, 1, 31)}


@pytest.fixture(scope="module")
def export() -> pl.DataFrame:
    return pl.concat(simulate(20_000, seed=11))


@pytest.fixture(scope="module")
def rows(export: pl.DataFrame) -> pl.DataFrame:
    return canonical(export).require_clean("simulated rows")


def test_the_columns_are_those_of_the_portal_and_all_text(export: pl.DataFrame) -> None:
    assert tuple(export.columns) == EXPORT_COLUMNS
    assert set(export.dtypes) == {pl.String()}
    assert export.height == 20_000
    assert sum(export.null_count().row(0)) == 0


@pytest.mark.parametrize(
    ("column", "form"),
    [
        ("DR_NO", r"\d{9}"),
        ("DATE OCC", r"\d\d/\d\d/2023 12:00:00 AM"),
        ("TIME OCC", r"([01]\d|2[0-3])[0-5]\d"),
        ("AREA", r"(0[1-9]|1\d|2[01])"),
        ("Rpt Dist No", r"\d{4}"),
        ("Mocodes", r"(\d{4}( \d{4}){0,9})?"),
        ("LOCATION", r"(\d{3,5} [ NSEW]  )?[A-Z]+ +[A-Z]{2}"),
        ("LAT", r"3[34](\.\d{1,4})?"),
        ("LON", r"-11[78](\.\d{1,4})?"),
    ],
)
def test_values_have_the_form_of_the_portal(export: pl.DataFrame, column: str, form: str) -> None:
    wrong = export.filter(~pl.col(column).str.contains(f"^{form}$"))
    assert wrong[column].to_list() == []


def test_streets_are_padded_like_the_portals(export: pl.DataFrame) -> None:
    corners = export.filter(pl.col("Cross Street") != "")
    assert 0.10 < corners.height / export.height < 0.17
    assert set(corners["Cross Street"].str.len_chars()) == {31}
    assert set(corners["LOCATION"].str.len_chars()) == {31}


def test_days_and_times_ascend(rows: pl.DataFrame) -> None:
    assert rows.select("date_occ", "time_occ").equals(
        rows.select("date_occ", "time_occ").sort("date_occ", "time_occ")
    )
    assert rows["date_occ"].min() == DEFAULT_WINDOW.start
    assert rows["date_occ"].max() == DEFAULT_WINDOW.end


def test_report_numbers_are_unique_and_tell_year_and_area(rows: pl.DataFrame) -> None:
    assert rows["dr_no"].n_unique() == rows.height
    year = rows["date_rptd"].dt.year() % 100
    assert (rows["dr_no"].str.slice(0, 2).cast(pl.Int32) == year).all()
    assert (rows["dr_no"].str.slice(2, 2).cast(pl.Int32) == rows["area"]).all()


def test_report_numbers_stay_unique_beyond_five_digits() -> None:
    numbers = _Numbers()
    day = np.zeros(70_000, dtype=np.int64)
    given = [numbers.next(dt.date(2023, 1, 1), day, day + 1) for _ in range(2)]
    assert len(np.unique(np.concatenate(given))) == 140_000
    assert given[0][0] == 230100001


def test_the_same_seed_gives_the_same_rows_and_another_others() -> None:
    first, again, other = (pl.concat(simulate(1_000, seed=seed, **JANUARY)) for seed in (5, 5, 6))
    assert first.equals(again)
    assert not first.equals(other)


def test_a_seed_gives_these_very_rows_on_every_machine() -> None:
    # Codes only: the portal's texts may be worded anew. Changes with the packaged profile.
    codes = pl.concat(simulate(3_000, seed=2023)).select(
        "DR_NO", "Date Rptd", "DATE OCC", "TIME OCC", "Crm Cd", "Mocodes", "Premis Cd"
    )
    digest = hashlib.sha256(codes.write_csv().encode()).hexdigest()
    assert digest[:16] == "e958989c2da05621"


def test_ages_are_zero_exactly_where_unknown(export: pl.DataFrame, rows: pl.DataFrame) -> None:
    assert ((export["Vict Age"] == "0") == rows["vict_age"].is_null()).all()
    assert 0.2 < rows["vict_age"].is_null().mean() < 0.3  # type: ignore[operator]


def test_stolen_vehicles_have_neither_victim_nor_mo(rows: pl.DataFrame) -> None:
    stolen, others = rows.filter(pl.col("crm_cd") == 510), rows.filter(pl.col("crm_cd") != 510)
    blank_mo = pl.col("mocodes").list.len() == 0
    assert stolen["vict_sex"].is_null().mean() > 0.98  # type: ignore[operator]
    assert stolen.select(blank_mo.mean()).item() > 0.98
    assert others["vict_sex"].is_null().mean() < 0.06  # type: ignore[operator]


def test_blanks_of_a_victim_come_together(rows: pl.DataFrame) -> None:
    blank = rows.select(pl.col("vict_sex", "vict_descent", "vict_age").is_null())
    sex = blank.filter("vict_sex")
    assert sex.select(pl.all().mean()).row(0) > (0.99, 0.97, 0.97)


def test_placeholder_times_stand_out(rows: pl.DataFrame) -> None:
    counts = dict(rows["time_occ"].value_counts().iter_rows())
    assert counts[1200] == max(counts.values())
    assert counts[1] > 10 * counts.get(2, 1)


def test_mo_codes_hang_on_each_other(rows: pl.DataFrame) -> None:
    theft = rows.filter(pl.col("crm_cd").is_in([330, 331]) & (pl.col("mocodes").list.len() > 0))
    has = theft.select(
        smash=pl.col("mocodes").list.contains(1609), window=pl.col("mocodes").list.contains(1307)
    )
    both = pl.col("smash") & pl.col("window")
    together = has.select(both.mean()).item()
    apart = has.select(pl.col("smash").mean() * pl.col("window").mean()).item()
    assert together > 1.3 * apart


def test_every_crime_code_can_occur() -> None:
    profile = default_profile()
    pools = set(profile.pool_of[class_weights(profile) > 0])
    shares = code_shares(profile)
    possible = {
        profile.codes.values[place] for pool in pools for place in np.nonzero(shares[pool] > 0)[0]
    }
    assert possible == set(crime_codes())


def test_one_day_larger_than_a_chunk_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "CHUNK", 100)
    day = dt.date(2023, 1, 5)
    chunks = list(simulate(210, seed=1, start=day, end=day))
    assert [chunk.height for chunk in chunks] == [100, 100, 10]


def test_chunks_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "CHUNK", 1_000)
    heights = [chunk.height for chunk in simulate(6_000, seed=1)]
    assert sum(heights) == 6_000
    assert max(heights) <= 1_000
    assert min(heights[:-1]) > 500


def test_years_have_the_volumes_of_the_census() -> None:
    span: dict[str, Any] = {"start": dt.date(2020, 7, 1), "end": dt.date(2022, 6, 30)}
    years = canonical(pl.concat(simulate(40_000, seed=1, **span))).frame["date_occ"].dt.year()
    counts = dict(years.value_counts().iter_rows())
    census = {year: sum(by.values()) for year, by in default_profile().volumes.items()}
    # Half a year, a year, half a year.
    assert counts[2020] / counts[2022] == pytest.approx(census[2020] / census[2022], rel=0.08)
    assert counts[2021] / counts[2020] == pytest.approx(2 * census[2021] / census[2020], rel=0.08)


def test_an_export_holds_no_later_report() -> None:
    exported = dt.date(2023, 2, 3)
    early = canonical(pl.concat(simulate(10_000, seed=1, exported=exported, **JANUARY))).frame
    whole = canonical(pl.concat(simulate(10_000, seed=1, **JANUARY))).frame
    assert early["date_rptd"].max() <= exported  # type: ignore[operator]
    assert whole["date_rptd"].max() > exported  # type: ignore[operator]
    last = pl.col("date_occ") > dt.date(2023, 1, 28)
    assert early.filter(last).height < whole.filter(last).height


@pytest.mark.parametrize(
    "wrong",
    [{"rows": 0}, {"seed": -1}, {"start": dt.date(2024, 1, 1)}, {"exported": dt.date(2023, 1, 1)}],
)
def test_what_cannot_be_simulated_is_refused_at_once(wrong: dict[str, object]) -> None:
    given: dict[str, object] = {"rows": 10, "seed": 1, **JANUARY, **wrong}
    with pytest.raises(UsageError):
        simulate(**given)  # type: ignore[arg-type]


def test_it_streams() -> None:
    first = next(itertools.islice(simulate(2_000_000, seed=1), 1))
    assert first.height <= CHUNK
