from __future__ import annotations

import datetime as dt
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.evaluate.metrics import score
from crimeguard.features.columns import Columns
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.train import cluster as module
from crimeguard.train.cluster import Cluster, cluster
from crimeguard.train.fit import fit_model, targets
from crimeguard.train.neural import fit_neural
from crimeguard.train.params import Params
from tests.cli.world import crimeguard, refused
from tests.train.dask_cluster import dask_cluster

UNTIL = dt.date(2023, 2, 14)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as address:
        yield address


@pytest.fixture(scope="module")
def workers(address: str) -> Iterator[Cluster]:
    with cluster(address, patience=60) as connected:
        connected.client.wait_for_workers(2, timeout=60)
        yield Cluster(connected.client)


@pytest.mark.slow
@pytest.mark.xdist_group("dask")
def test_two_workers_train_what_one_machine_does(workers: Cluster, tiny_params: Params) -> None:
    raw = simulate(9_000, seed=5, start=dt.date(2023, 1, 1), end=dt.date(2023, 2, 28))
    frame = canonical(pl.concat(raw)).require_clean("the simulated rows")
    train = frame.filter(pl.col("date_occ") <= UNTIL)
    test = frame.filter(pl.col("date_occ") > UNTIL)
    params = replace(tiny_params, xgboost=replace(tiny_params.xgboost, rounds=8, max_depth=4),
                     neural=replace(tiny_params.neural, seeds=2))  # fmt: skip
    told: list[tuple[int, int]] = []
    here = fit_model(train, UNTIL, params)
    there = fit_model(
        train, UNTIL, params, lambda _, done, total: told.append((done, total)), crew=workers
    )
    assert told[-1][0] == told[-1][1] == len(told)
    # What is fitted whole is the same to the last bit; XGBoost's rows lay on two workers.
    assert np.array_equal(here.members.linear.weights, there.members.linear.weights)
    assert here.members.boosters.lightgbm.native == there.members.boosters.lightgbm.native
    assert np.array_equal(here.members.neural.hidden, there.members.neural.hidden)
    assert here.members.boosters.xgboost.native != there.members.boosters.xgboost.native
    columns, truth = Columns.from_frame(test), targets(test)
    one, two = (score(model.probabilities(columns), truth) for model in (here, there))
    for name in ("accuracy", "weighted_f1", "macro_roc_auc", "top3", "ece"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), abs=0.003), name
    assert two.log_loss == pytest.approx(one.log_loss, abs=0.01)


@pytest.mark.slow
@pytest.mark.xdist_group("dask")
def test_workers_answer_as_this_machine_does(
    workers: Cluster, tiny_bundle: Path, incidents: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crimeguard.registry.golden import load_checked

    monkeypatch.setattr(module, "ROWS", 300)
    model, columns = load_checked(tiny_bundle).model, Columns.from_frame(incidents)
    told: list[int] = []
    answers = workers.probabilities(model, columns, told.append)
    assert answers.tobytes() == model.probabilities(columns).tobytes()
    assert sum(told) == len(columns)
    assert len(told) == -(-len(columns) // 300)
    assert workers.probabilities(model, columns.rows(0, 0)).shape == (0, 15)


@pytest.mark.slow
@pytest.mark.xdist_group("dask")
def test_a_file_is_scored_by_workers_as_by_this_machine(
    address: str, tiny_bundle: Path, exported: pl.DataFrame, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    exported.head(400).write_csv(rows)
    for name, how in {"here": (), "there": ("--dask", address)}.items():
        out = tmp_path / f"{name}.csv"
        done = crimeguard("predict", rows, "--out", out, "--bundle", tiny_bundle, *how)
        assert done.code == 0, done.err
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.xdist_group("dask")
def test_an_error_of_a_worker_comes_back_as_it_is(workers: Cluster) -> None:
    with pytest.raises(TypeError, match="NoneType"):
        workers.call(fit_neural, None, *[None] * 3, seed=1, on_step=lambda: None)


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "http://127.0.0.1:8786", "tcp", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="no address of a Dask scheduler"), cluster(address):
        pass


def test_no_scheduler_is_told_in_time() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with (
            pytest.raises(CrimeGuardError, match=f"No Dask scheduler answers at tcp://.*{port}"),
            cluster(f"tcp://127.0.0.1:{port}", patience=0.5),
        ):
            pass


def test_a_scheduler_without_workers_is_told(tmp_path: Path) -> None:
    with dask_cluster(tmp_path, workers=0) as address:
        connecting = cluster(address, patience=3)
        with pytest.raises(CrimeGuardError, match="has no worker") as refused, connecting:
            pass
    assert f"dask worker {address}" in refused.value.fix


def test_where_dask_is_missing_its_group_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(CrimeGuardError, match="Dask is not installed here") as refused,
        cluster("tcp://127.0.0.1:1"),
    ):
        pass
    assert "requirements/scale.txt" in refused.value.fix


@pytest.mark.parametrize("verb", ["train", "predict"])
def test_a_verb_without_its_cluster_leaves_nothing(
    verb: str, exported: pl.DataFrame, tiny_bundle: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CRIMEGUARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cluster.__wrapped__, "__kwdefaults__", {"patience": 0.5})  # type: ignore[attr-defined]
    rows = tmp_path / "rows.csv"
    exported.head(50).write_csv(rows)
    words: dict[str, tuple[object, ...]] = {
        "train": ("--data", rows),
        "predict": (rows, "--out", tmp_path / "out.csv", "--bundle", tiny_bundle),
    }
    done = crimeguard(verb, *words[verb], "--dask", "tcp://127.0.0.1:9")
    refused(done, 1, "No Dask scheduler answers at tcp://127.0.0.1:9")
    refused(crimeguard(verb, *words[verb], "--dask", "localhost:8786"), 2, "no address")
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "home" / "snapshots").exists()
