from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crimeguard.domain.errors import RegistryError
from crimeguard.registry.nested import Nested, NestedRuns
from crimeguard.registry.store import Registry, Run, open_registry
from crimeguard.settings import Settings

PARENT = Run({"xgboost": {"rounds": 100}}, {}, {"snapshot": "abc"})
TRIAL = Nested(3, {"xgboost.rounds": 80}, [1.5, 1.25], {"state": "complete"}, 1_795_492_746.358)


@pytest.fixture
def registry(empty_home: Path, use_home: Callable[[Path], Settings]) -> Registry:
    return open_registry(use_home(empty_home))


def opened(registry: Registry, key: str = "tune-1") -> NestedRuns:
    return registry.nested("searches", key, PARENT)


def runs(registry: Registry) -> list[Any]:
    client = registry._client
    place = client.get_experiment_by_name("searches").experiment_id
    found: list[Any] = client.search_runs([place], order_by=["start_time"])
    return found


def test_a_parent_with_one_child_a_trial(registry: Registry, tmp_path: Path) -> None:
    diff = tmp_path / "params.diff"
    diff.write_text("-a\n+b\n")
    nested = opened(registry)
    nested.note(TRIAL)
    nested.note(replace(TRIAL, number=4, losses=[2.0], tags={"state": "pruned"}))
    nested.end("FINISHED", {"finished": 2.0}, [diff])
    parent, first, second = sorted(runs(registry), key=lambda run: str(run.info.run_name))
    parent, first, second = second, parent, first
    assert (parent.info.run_name, parent.info.status) == ("tune-1", "FINISHED")
    assert parent.data.params == {"xgboost.rounds": "100"}
    assert parent.data.metrics == {"finished": 2.0}
    assert parent.data.tags["snapshot"] == "abc"
    files = registry._client.list_artifacts(parent.info.run_id)
    assert [item.path for item in files] == ["params.diff"]
    assert {run.data.tags["mlflow.parentRunId"] for run in (first, second)} == {parent.info.run_id}
    assert [run.data.tags["state"] for run in (first, second)] == ["complete", "pruned"]
    assert first.data.params == {"xgboost.rounds": "80"}
    assert first.info.status == "FINISHED"
    history = registry._client.get_metric_history(first.info.run_id, "log_loss")
    assert [(item.step, item.value) for item in history] == [(0, 1.5), (1, 1.25)]


def test_what_is_there_is_not_written_again(registry: Registry) -> None:
    for _ in range(2):
        nested = opened(registry)
        nested.note(TRIAL)
        nested.note(TRIAL)
        nested.end("KILLED", {}, [])
    assert sorted(run.info.run_name for run in runs(registry)) == ["trial 3", "tune-1"]


@pytest.mark.parametrize("cut_off", ["log_batch", "set_terminated"])
def test_what_was_cut_off_half_way_is_finished(
    cut_off: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutOffError(Exception):
        pass

    def cut(*_: object, **__: object) -> None:
        raise CutOffError

    nested = opened(registry)
    with monkeypatch.context() as patch:
        patch.setattr(registry._client, cut_off, cut)
        with pytest.raises(CutOffError):
            nested.note(TRIAL)
    opened(registry).note(TRIAL)
    (child,) = [run for run in runs(registry) if run.info.run_name == "trial 3"]
    assert child.info.status == "FINISHED"
    assert child.data.params == {"xgboost.rounds": "80"}
    history = registry._client.get_metric_history(child.info.run_id, "log_loss")
    assert [(item.step, item.value) for item in history] == [(0, 1.5), (1, 1.25)]


def test_another_key_is_another_parent(registry: Registry) -> None:
    one, two = opened(registry), opened(registry, "tune-2")
    assert one.id != two.id
    assert opened(registry).id == one.id
    one.note(TRIAL)
    two.note(TRIAL)
    assert len(runs(registry)) == 4


def test_a_registry_that_does_not_answer_is_a_clear_error(registry: Registry) -> None:
    from mlflow.exceptions import MlflowException

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("no")

    nested = opened(registry)
    registry._client.create_run = refuse
    with pytest.raises(RegistryError, match="could not be written"):
        nested.note(TRIAL)
