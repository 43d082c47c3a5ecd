"""What a retraining learns from: the newest snapshot, and the labelled predictions."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import crime_codes
from crimeguard.domain.errors import DataError
from crimeguard.domain.level import InformationLevel
from crimeguard.domain.offense import CATEGORY
from crimeguard.features.columns import Floats
from crimeguard.ingest.coded import category_places, city_of
from crimeguard.ingest.digest import content_sha256
from crimeguard.ingest.frame import SCHEMA
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.monitor.drift import LEAST_ROWS, target_component
from crimeguard.records.database import Database
from crimeguard.records.window import read_window
from crimeguard.registry.bundle import Bundle
from crimeguard.train.fit import targets
from crimeguard.train.params import Params

# A code of each category, for labels that name no code. Models learn categories only.
_CODES: Final = {
    CATEGORIES.index(crime.category): code for code, crime in sorted(crime_codes().items())[::-1]
}
_PRIOR: Final = 0.1  # incidents; a category may be rare, but never impossible
_REQUIRED: Final = ("date_occ", "date_rptd", "area")


@dataclass(frozen=True, slots=True)
class Material:
    """A snapshot, and the labelled incidents of the log that it does not hold.

    `labelled` is canonical, with `dr_no` and `crm_cd`; `days` are those of every labelled
    incident of the log, whether the snapshot holds it or not; `left_out` counts labelled
    predictions that cannot be learnt from.
    """

    snapshot: Snapshot
    labelled: pl.DataFrame
    days: pl.Series
    left_out: int

    def newer_than(self, day: dt.date) -> int:
        """Count labelled incidents that happened after a day.

        A retraining that was killed or refused leaves a snapshot with them; they are no
        less new for that.
        """
        return int((self.days > day).sum())

    def first_newer_than(self, day: dt.date) -> dt.date | None:
        """Return the first day after another with labelled incidents, None if there is none."""
        found = self.days.filter(self.days > day).min()
        return found if isinstance(found, dt.date) else None

    def digest(self, params: Params) -> str:
        """Name rows and parameters: the same name means the same challenger.

        It does not matter which of the rows lie in the snapshot and which in the log.
        """
        rows = content_sha256(self.frame().sort("dr_no"))
        known = json.dumps([rows, params.to_dict()], sort_keys=True)
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    def frame(self) -> pl.DataFrame:
        """Return all of it as one canonical frame."""
        old = self.snapshot.frame()
        new = self.labelled.select(old.columns)
        return pl.concat([old, new])


def gather(database: Database, home: Path, params: Params, now: dt.datetime) -> Material:
    """Find the newest snapshot, and the mature labels of predictions that add to it."""
    snapshot = newest_snapshot(home)
    mature = now - dt.timedelta(days=params.monitor.maturity_days)
    logged = read_window(database, until=mature, variant=None, labelled_only=True)
    codes = [
        _CODES[int(place)] if code is None else code
        for place, code in zip(logged.label, logged.label_code, strict=True)
    ]
    frame = logged.frame.with_columns(
        pl.Series("crm_cd", codes, dtype=SCHEMA["crm_cd"]),
        # An incident without the portal's number is known by its prediction's.
        pl.coalesce("dr_no", logged.ids.alias("id")).alias("dr_no"),
        pl.Series("_full", logged.level == int(InformationLevel.REPORT)),
    )
    usable = frame.filter(pl.col("_full"), *(pl.col(name).is_not_null() for name in _REQUIRED))
    # The newest answer to an incident knows most of it.
    newest = usable.unique("dr_no", keep="last", maintain_order=True).drop("_full")
    held = snapshot.scan().select("dr_no").collect()
    added = _in_words_of(snapshot, newest.join(held, on="dr_no", how="anti"))
    missing = [
        pl.lit(None, SCHEMA[name]).alias(name)
        for name in snapshot.columns if name not in added.columns
    ]  # fmt: skip
    left_out = frame.height - usable.height
    return Material(snapshot, added.with_columns(missing), newest["date_occ"], left_out)


def _in_words_of(snapshot: Snapshot, labelled: pl.DataFrame) -> pl.DataFrame:
    """Name category and city as a snapshot of another coding or city does."""
    if "offense" in snapshot.columns and "crm_cd" not in snapshot.columns:
        names = category_places(labelled).cast(pl.Int64)
        named = [f"{CATEGORY}:{CATEGORIES[int(place)]}" for place in names]
        labelled = labelled.with_columns(pl.Series("offense", named, dtype=SCHEMA["offense"]))
    if "city" in snapshot.columns:
        key = city_of(snapshot.scan().select("city").collect()).key
        labelled = labelled.with_columns(city=pl.lit(key))
    return labelled


def newest_snapshot(home: Path) -> Snapshot:
    """Open the snapshot whose incidents reach furthest; of several the one made last."""
    found = []
    for manifest in (home / "snapshots").glob("*/manifest.json"):
        snapshot = Snapshot.load(manifest.parent)
        last = str(snapshot.manifest["last_date_occ"])
        found.append((last, manifest.stat().st_mtime_ns, snapshot.id, snapshot))
    if not found:
        raise DataError(f"There is no snapshot in {home / 'snapshots'}.",
                        why="A retraining builds on what the champion was trained on.",
                        fix="Run `crimeguard train --data ...` first.")  # fmt: skip
    return max(found, key=lambda item: item[:3])[3]


def changed_mix(
    frame: pl.DataFrame, champion: Bundle, until: dt.date, params: Params
) -> Floats | None:
    """Return the mix of categories of the newest days, shape (15,), if it has drifted.

    The newest days are the last `monitor.window_days` up to `until` that the champion was
    not trained on. The older incidents, which are most of what a challenger learns from,
    then speak of another mix.
    """
    window = dt.timedelta(days=max(1, round(params.monitor.window_days)))
    since = max(dt.date.fromisoformat(champion.card["trained"]["last"]), until - window)
    new = targets(frame.filter(pl.col("date_occ").is_between(since, until, closed="right")))
    if len(new) < LEAST_ROWS:
        return None
    if target_component(champion.reference, new).score <= params.monitor.critical:
        return None
    counts = np.bincount(new, minlength=len(CATEGORIES)).astype(np.float64) + _PRIOR
    shares: Floats = counts / float(counts.sum())
    return shares


def train_until(
    frame: pl.DataFrame, champion_until: dt.date, params: Params, served: dt.date | None = None
) -> dt.date:
    """Return the last day to train on: the newest third of the new days is held out.

    New are the days from `served` on, the first of which there are labelled predictions,
    or by default all that the champion was not trained on. The hold-out is of days that
    the champion has not been trained on either, and holds at least `checks.min_test_rows`
    incidents. DataError if there are too few for that.
    """
    days = frame["date_occ"].filter(frame["date_occ"] > champion_until)
    needed = params.checks.min_test_rows
    if len(days) < needed:
        raise DataError(
            f"There are {len(days):,} incidents after {champion_until}, {needed:,} are needed.",
            why="A challenger is judged on days that neither it nor the champion has seen.",
            fix="Wait for more labels.",
        )
    last = days.max()
    assert isinstance(last, dt.date)  # noqa: S101 -- there are rows, and none is null
    known = champion_until if served is None else max(champion_until, served - dt.timedelta(1))
    third = max(1, round((last - known).days / 3))
    counts = days.value_counts().sort("date_occ", descending=True)
    enough = counts.filter(pl.col("count").cum_sum() >= needed)["date_occ"].max()
    assert isinstance(enough, dt.date)  # noqa: S101 -- there are `needed` rows
    return min(last - dt.timedelta(third), enough - dt.timedelta(1))
