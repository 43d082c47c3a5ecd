from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from crimeguard.cli import app as program
from crimeguard.domain.errors import (
    BadValue,
    BundleError,
    CrimeGuardError,
    DataError,
    GateRefusedError,
    UsageError,
)
from tests.cli.world import crimeguard

# A file of the folder that defines a function, or a group of verbs, of its own name is a verb.
VERBS = sorted(
    path.stem
    for path in Path(program.__file__).parent.glob("*.py")
    if f"\ndef {path.stem}(" in path.read_text()
    or (path.stem != "app" and f"\n{path.stem} = typer.Typer(" in path.read_text())
)


def test_every_verb_is_part_of_the_program() -> None:
    assert len(VERBS) >= 18
    assert set(VERBS) == set(get_command(program.app).commands)  # type: ignore[attr-defined]


def test_help_names_every_verb() -> None:
    told = crimeguard("--help")
    assert told.code == 0
    for verb in VERBS:
        assert f"  {verb} " in told.out


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_begins_with_examples_that_are_kept_line_by_line(verb: str) -> None:
    told = crimeguard(verb, "--help")
    usage, what, examples = told.out.split("\n\n")[:3]
    assert told.code == 0
    assert usage.startswith("Usage: ")
    assert len(what) > 20
    first, *lines = [line.strip() for line in examples.splitlines()]
    assert first == "Examples:"
    assert lines
    assert lines[0].startswith(f"crimeguard {verb}")
    assert all(line.startswith("crimeguard ") for line in lines)
    assert "\b" not in told.out


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    heavy = "{'polars', 'numpy', 'mlflow', 'lightgbm', 'xgboost', 'fastapi', 'streamlit'}"
    code = f"import sys, crimeguard.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_verb_it_helps() -> None:
    told = crimeguard()
    assert told.code == 2
    assert "Usage: " in told.out + told.err
    assert "  train " in told.out + told.err


@pytest.mark.parametrize("words", [["nonsense"], ["train", "--nonsense"], ["predict"]])
def test_a_wrong_call_is_a_usage_error(words: list[str]) -> None:
    told = crimeguard(*words)
    assert told.code == 2
    assert "Error" in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [(CrimeGuardError, 1), (BundleError, 1), (DataError, 1), (UsageError, 2),
     (GateRefusedError, 3)],
)  # fmt: skip
def test_our_errors_say_what_why_and_fix(
    error: type[CrimeGuardError], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error("It broke [red].", why="A bolt.", fix="Turn it.")

    monkeypatch.setattr(program, "app", fail)
    told = crimeguard("x")
    assert told.code == code
    assert told.err == "error: It broke [red].\n  why: A bolt.\n  fix: Turn it.\n"
    assert told.out == ""


def test_bad_values_are_listed_up_to_five(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tuple(BadValue(row, "AREA", f"[x{row}]", "is no code") for row in range(1, 9))

    def fail() -> None:
        raise DataError("Eight are bad.", why="not shown", bad=bad)

    monkeypatch.setattr(program, "app", fail)
    told = crimeguard("x").err
    assert "row 5, column 'AREA': '[x5]' is no code" in told
    assert "row 6" not in told
    assert "and 3 more" in told
    assert "not shown" not in told


def test_a_bug_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(program, "app", fail)
    with pytest.raises(ZeroDivisionError):
        crimeguard("x")
