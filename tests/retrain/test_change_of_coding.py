"""The change of 2024 from end to end: verdicts on NIBRS rows, the ledger, the policy.

The same simulated incidents are put before a champion of the old coding twice, and only the
coding tells them apart. `benchmarks/nibrs.py` prints the figures of a larger model.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from crimeguard.ingest.drift import Drift
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.nibrs import LA_NIBRS, as_nibrs
from crimeguard.ingest.simulator import simulate
from crimeguard.monitor.verdict import Verdict, judge_window
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.registry.bundle import Bundle
from crimeguard.retrain.policy import Decision, decide
from crimeguard.retrain.signals import collect
from crimeguard.settings import Settings
from crimeguard.train.params import Params, RetrainParams
from tests.monitor import windows

WEEKS = 3
DAYS = dt.timedelta(14)


@pytest.fixture(scope="module")
def champion(tiny_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    history = windows.simulated(windows.HISTORY, 1, windows.FIRST, windows.TEST_UNTIL)
    return windows.make_champion(history, tiny_params, tmp_path_factory.mktemp("champion"))


def export(seed: int, *drifts: Drift) -> pl.DataFrame:
    """Return two weeks in the 28-column form."""
    made = simulate(windows.ROWS, seed=seed, start=windows.START, end=windows.END, drifts=drifts)
    return pl.concat(made)


def old_coding(seed: int) -> pl.DataFrame:
    return canonical(export(seed)).require_clean("the rows")


def new_coding(seed: int, *drifts: Drift) -> pl.DataFrame:
    return LA_NIBRS.read(as_nibrs(export(seed, *drifts))).reading.require_clean("the rows")


def judged(champion: Bundle, frame: pl.DataFrame) -> Verdict:
    return judge_window(champion.reference, windows.observe(champion, frame), windows.PARAMS)


def decided(champion: Bundle, verdicts: list[Verdict], home: Path) -> Decision:
    """Write verdicts into a ledger as the monitor does, and ask the policy."""
    database = open_database(Settings(home=home))
    try:
        ledger = Ledger(database)
        for verdict in verdicts:
            known = {"status": verdict.status, "model_status": verdict.model_status}
            ledger.append("verdict", subject=champion.sha256, who="monitor",
                          why=verdict.status, evidence=known)  # fmt: skip
        params = RetrainParams()
        return decide(
            collect(ledger, params, champion=champion.sha256, reference=True, data="new",
                    new_labelled=WEEKS * windows.ROWS),
            params,
        )  # fmt: skip
    finally:
        database.close()


def test_the_change_of_coding_is_an_alarm_and_a_reason_to_train(
    champion: Bundle, tmp_path: Path
) -> None:
    verdicts = [judged(champion, new_coding(seed)) for seed in range(20, 20 + WEEKS)]
    assert [verdict.status for verdict in verdicts] == ["critical"] * WEEKS
    named = {item.name for item in verdicts[0].drifted}
    assert {"mocodes", "vict_sex", "vict_descent"} <= named
    decision = decided(champion, verdicts, tmp_path)
    assert decision.action == "train"
    assert decision.reasons[0].startswith("drift: 3 of the last 3 verdicts are critical")


def test_the_same_incidents_in_the_old_coding_raise_no_alarm(
    champion: Bundle, tmp_path: Path
) -> None:
    verdicts = [judged(champion, old_coding(seed)) for seed in range(20, 20 + WEEKS)]
    assert "critical" not in {verdict.status for verdict in verdicts}
    decision = decided(champion, verdicts, tmp_path)
    assert decision.action == "skip"
    assert decision.reasons[0].startswith("persistence:")


def test_the_simulators_own_change_with_another_mix_is_an_alarm_too(champion: Bundle) -> None:
    frame = new_coding(20, Drift("nibrs_2024", start=windows.START))
    assert judged(champion, frame).status == "critical"
