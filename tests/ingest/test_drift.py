from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import crime_codes
from crimeguard.domain.errors import UsageError
from crimeguard.ingest.drift import CATALOGUE, Drift
from crimeguard.ingest.engine import Engine, Phase
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.profile import default_profile
from crimeguard.ingest.simulator import simulate

START = dt.date(2023, 2, 15)


def drifted(name: str, strength: float | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows from the drift's first day on, and rows of the same days without it."""
    drift = Drift(name, start=START) if strength is None else Drift(name, strength, START)
    # The control: a drift of strength 0 leaves every chance as it is.
    return simulated(drift), simulated(Drift("missing_field", 0.0, START))


@cache
def simulated(drift: Drift) -> pl.DataFrame:
    frame = canonical(pl.concat(simulate(24_000, seed=4, drifts=[drift]))).frame
    categories = {code: str(item.category) for code, item in crime_codes().items()}
    return frame.with_columns(category=pl.col("crm_cd").replace_strict(categories))


def since(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("date_occ") >= START)


def before(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("date_occ") < START)


def share(frame: pl.DataFrame, category: str) -> float:
    return float((frame["category"] == category).mean())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - {"new_category", "volume_change"}))
def test_before_its_date_a_drift_changes_nothing(name: str) -> None:
    with_drift, usual = (
        pl.concat(simulate(4_000, seed=4, drifts=drifts))
        for drifts in ([Drift(name, 1.0, START)], [Drift(name, 0.0, START)])
    )
    early = pl.col("DATE OCC").str.to_date("%m/%d/%Y 12:00:00 AM") < START
    a, b = with_drift.filter(early), usual.filter(early)
    assert a.height == b.height
    assert a["Crm Cd"].value_counts().height > 50
    assert a.equals(b)


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_drift_of_strength_zero_changes_no_chance(name: str) -> None:
    effect = CATALOGUE[name].effect(0.0)
    assert all(factor == 1 for factor in effect.shares.values())
    assert all(factor == 1 for tilt in effect.tilts.values() for factor in tilt.values())
    assert effect.volume == 1
    assert effect.blank_share == effect.relabel_share == 0


def test_covariate_shift_moves_where_and_when() -> None:
    after, usual = map(since, drifted("covariate_shift"))
    valley = pl.col("area").is_in([9, 10, 15, 16, 17, 19, 21])
    night = ~pl.col("time_occ").is_between(500, 2159)
    for moved in (valley, night):
        assert after.select(moved.mean()).item() > 1.3 * usual.select(moved.mean()).item()


def test_covariate_shift_leaves_the_category_given_the_rest_exactly_as_it_was() -> None:
    profile = default_profile()
    engine, pools = Engine(profile), profile.pool_of
    phase = Phase.on(START, [Drift("covariate_shift", 1.0, START)])
    areas, slots, premises = (profile.fields[n].shares(pools) for n in ("area", "slot", "premise"))
    factors = [phase.tilt(n, profile.fields[n].values) for n in ("area", "slot", "premise")]
    rates = [engine._drifted(p).rates[9] for p in (Phase(), phase)]
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, s, p = (int(rng.integers(table.shape[1])) for table in (areas, slots, premises))
        usual = rates[0] * areas[:, a] * slots[:, s] * premises[:, p]
        scaled = [t * f for t, f in zip((areas, slots, premises), factors, strict=True)]
        tilted = [t / t.sum(axis=1, keepdims=True) for t in scaled]
        moved = rates[1] * tilted[0][:, a] * tilted[1][:, s] * tilted[2][:, p]
        if usual.sum() > 0:
            assert np.allclose(moved / moved.sum(), usual / usual.sum())


def test_class_mix_shift_has_the_stated_factors() -> None:
    after, usual = map(since, drifted("class_mix_shift", 0.5))
    ratio = share(after, "vehicle_theft") / share(after, "simple_assault")
    before_ratio = share(usual, "vehicle_theft") / share(usual, "simple_assault")
    assert ratio / before_ratio == pytest.approx(2 / 0.6, rel=0.15)


def test_a_new_category_is_never_seen_before() -> None:
    frame, usual = drifted("new_category")
    assert share(before(frame), "fraud_identity_theft") == 0
    seen = share(since(frame), "fraud_identity_theft")
    assert seen == pytest.approx(share(since(usual), "fraud_identity_theft"), abs=0.015)
    assert set(before(frame)["category"]) == set(CATEGORIES) - {"fraud_identity_theft"}


def test_a_missing_field_goes_blank_in_the_stated_share() -> None:
    after, usual = map(since, drifted("missing_field", 0.8))
    known = [frame.select((pl.col("mocodes").list.len() > 0).mean()).item()
             for frame in (after, usual)]  # fmt: skip
    assert known[0] / known[1] == pytest.approx(0.2, abs=0.02)
    assert after.drop("mocodes").equals(usual.drop("mocodes"))


def test_relabelled_codes_change_the_label_and_nothing_else() -> None:
    after, usual = map(since, drifted("relabelled_codes", 0.5))
    label = ["crm_cd", "crm_cd_1", "category"]
    assert share(after, "theft_from_vehicle") == pytest.approx(
        share(usual, "theft_from_vehicle") / 2, rel=0.1
    )
    moved = usual.filter(usual["crm_cd"] != after["crm_cd"])
    assert set(moved["category"]) == {"theft_from_vehicle"}
    same = ["date_occ", "time_occ", "area", "premis_cd", "weapon_used_cd", "date_rptd"]
    assert after.select(same).equals(usual.select(same))
    assert not set(label) & set(same)


def test_volume_changes_by_the_stated_factor() -> None:
    after, usual = drifted("volume_change", 0.5)
    ratio = since(after).height / before(after).height
    assert ratio / (since(usual).height / before(usual).height) == pytest.approx(0.55, rel=0.06)


def test_nibrs_takes_victims_and_mo_codes_away() -> None:
    after, usual = map(since, drifted("nibrs_2024"))
    for name in ("vict_age", "vict_sex", "vict_descent", "crm_cd_2", "crm_cd_3", "crm_cd_4"):
        assert after[name].is_null().all()
    assert (after["mocodes"].list.len() == 0).all()
    assert share(after, "court_order_violation") < share(usual, "court_order_violation")
    assert after["weapon_used_cd"].is_not_null().mean() > 0.2  # type: ignore[operator]


def test_drifts_can_be_combined() -> None:
    drifts = [Drift("missing_field", 1.0, START), Drift("volume_change", 1.0, START)]
    frame = canonical(pl.concat(simulate(5_000, seed=1, drifts=drifts))).frame
    assert since(frame).height < 0.12 * frame.height
    assert (since(frame)["mocodes"].list.len() == 0).all()


@pytest.mark.parametrize(
    ("text", "drift"),
    [
        ("missing_field", Drift("missing_field", 0.8)),
        ("missing_field:0.3", Drift("missing_field", 0.3)),
        ("missing_field@2023-02-15", Drift("missing_field", 0.8, START)),
        ("nibrs_2024:1@2023-02-15", Drift("nibrs_2024", 1.0, START)),
    ],
)
def test_a_drift_is_read_from_text(text: str, drift: Drift) -> None:
    assert Drift.parse(text) == drift


@pytest.mark.parametrize(
    "text", ["", "no_such", "missing_field:2", "missing_field:x", "missing_field@soon",
             "missing_field:-0.1", "missing_field:nan"],
)  # fmt: skip
def test_what_is_no_drift_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Drift.parse(text)


def test_a_drift_outside_the_days_is_refused() -> None:
    with pytest.raises(UsageError, match="outside"):
        simulate(10, seed=1, drifts=[Drift("nibrs_2024", start=dt.date(2024, 1, 1))])


def test_without_a_date_a_drift_begins_in_the_middle() -> None:
    days: dict[str, Any] = {"start": dt.date(2023, 1, 1), "end": dt.date(2023, 1, 20)}
    frame = canonical(
        pl.concat(simulate(3_000, seed=1, drifts=[Drift("missing_field", 1.0)], **days))
    ).frame
    known = frame.filter(pl.col("mocodes").list.len() > 0)["date_occ"]
    assert known.max() == dt.date(2023, 1, 10)
