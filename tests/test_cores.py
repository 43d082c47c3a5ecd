import os
from pathlib import Path

import pytest

from crimeguard.cores import cores


@pytest.mark.parametrize(
    ("text", "most"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000\n", 1), ("1 100000", 1)],
)
def test_a_containers_limit_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, most: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(text)
    assert cores(tmp_path / "cpu.max") == most


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense"])
def test_without_a_limit_affinity_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    (tmp_path / "cpu.max").write_text(text)
    assert cores(tmp_path / "cpu.max") == 3
    assert cores(tmp_path / "none") == 3


def test_it_is_never_less_than_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores(tmp_path / "none") == 1
