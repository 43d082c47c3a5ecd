from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crimeguard.features import cross, dense
from crimeguard.features.columns import Columns, Floats, concatenate
from crimeguard.native.library import FLAGS, LAYOUT, SOURCE, Library, load
from crimeguard.registry.bundle import Bundle
from crimeguard.train import kernel as module
from crimeguard.train.forest import DEEPEST
from crimeguard.train.kernel import ATOMS, FIELDS, MEMBERS, TABLES, WIDE, Kernel
from crimeguard.train.linear import CLASSES
from crimeguard.train.model import Model
from tests.train import under_watch
from tests.train.incidents import strange

ROOT = Path(__file__).parents[2]
SIZES = (0, 1, 3, 8, 64, 300, 5000)


@pytest.fixture(scope="module")
def model(tiny_bundle: Path, compiled: Path) -> Model:
    """A model with a freshly compiled kernel."""
    found = Bundle.load(tiny_bundle).model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "library", lambda: load(compiled))
        assert found.kernel is not None
    return found


@pytest.fixture(scope="module")
def columns(incidents: pl.DataFrame) -> Columns:
    """Simulated incidents at all levels, and strange ones, mixed."""
    whole = Columns.from_frame(incidents)
    parts = [whole.at_level(level) for level in (0, 1, 2)]  # type: ignore[arg-type]
    mixed = concatenate([*parts, strange(3_000, seed=1)])
    return mixed.take(np.random.default_rng(2).permutation(len(mixed)))


def kernel_of(model: Model) -> Kernel:
    assert model.kernel is not None
    return model.kernel


def answered(found: Floats | None) -> Floats:
    assert found is not None
    return found


def sizes_of_sums(model: Model, columns: Columns) -> Floats:
    """Return the sum of the sizes of what the network adds up, shape (n, 15)."""
    net = model.members.neural
    features = model.featurizer.transform(columns)
    sums = np.zeros((len(columns), net.hidden.shape[1]))
    for row in range(len(columns)):
        places = net.rows[features.indices[features.offsets[row] : features.offsets[row + 1]]]
        sums[row] = np.abs(net.hidden[places[places >= 0]]).sum(axis=0)
    found: Floats = (sums + np.abs(net.bias)) @ np.abs(net.output) + np.abs(net.output_bias)
    return found


def assert_same(model: Model, columns: Columns) -> None:
    """Hold the kernel to NumPy: the trees to the last bit, the network to a part in a million."""
    kernel = kernel_of(model)
    scores = answered(kernel.scores(columns))
    first, second, third = model.members.scores(model.featurizer.transform(columns))
    assert scores[:, 0].tobytes() == np.ascontiguousarray(first).tobytes()
    assert scores[:, 1].tobytes() == np.ascontiguousarray(second).tobytes()
    # BLAS adds in an order of its own, another on each kind of processor.
    assert (np.abs(scores[:, 2] - third) <= 1e-6 * sizes_of_sums(model, columns)).all()
    members = [scores[:, member] for member in range(MEMBERS)]
    shares = answered(kernel.probabilities(columns))
    pooled = model.pool.probabilities(members, columns.level)
    assert np.abs(shares - pooled).max(initial=0) <= 1e-12
    assert np.abs(shares - model.reference(columns)).max(initial=0) <= 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_the_members_say_what_numpy_says(model: Model, columns: Columns, size: int) -> None:
    assert_same(model, columns.rows(0, size))
    assert_same(model, columns.rows(len(columns) - size, len(columns)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_strange_incidents_are_answered_alike(model: Model, seed: int, count: int) -> None:
    assert_same(model, strange(count, seed))


def test_an_incident_has_one_answer_however_many_are_asked_for_together(
    model: Model, columns: Columns
) -> None:
    kernel = kernel_of(model)
    whole = answered(kernel.probabilities(columns))
    for size in (1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 64, 1000):
        for start in range(0, min(len(columns) - size, 40 * size), size):
            mine = answered(kernel.probabilities(columns.rows(start, start + size)))
            assert mine.tobytes() == whole[start : start + size].tobytes(), (size, start)


def test_threads_do_not_meet(model: Model, columns: Columns) -> None:
    kernel = kernel_of(model)
    whole = answered(kernel.probabilities(columns))
    with ThreadPoolExecutor(4) as pool:
        for mine in pool.map(lambda _: answered(kernel.probabilities(columns)), range(12)):
            assert mine.tobytes() == whole.tobytes()


def test_a_model_answers_with_its_kernel(model: Model, columns: Columns) -> None:
    part = columns.rows(0, 500)
    mine = answered(kernel_of(model).probabilities(part))
    assert model.probabilities(part).tobytes() == mine.tobytes()


def test_without_a_library_numpy_answers(
    tiny_bundle: Path, model: Model, columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "library", lambda: Library(None, (), "it was not compiled"))
    other = Bundle.load(tiny_bundle).model
    part = columns.rows(0, 500)
    assert other.kernel is None
    assert other.probabilities(part).tobytes() == other.reference(part).tobytes()
    assert np.abs(other.probabilities(part) - model.probabilities(part)).max() <= 1e-5


@pytest.mark.parametrize("place", ["ATOMS", "FIELDS", "CODED"])
def test_of_other_definitions_than_its_own_it_keeps_off(
    model: Model, compiled: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(module, "library", lambda: load(compiled))
    monkeypatch.setattr(cross if place == "ATOMS" else dense, place, ("another",))
    parts = model.members
    assert (
        Kernel.of(model.featurizer, parts.linear, parts.boosters, parts.neural, model.pool) is None
    )


def test_the_definitions_are_those_of_the_features() -> None:
    assert (ATOMS, FIELDS, module.CODED) == (cross.ATOMS, dense.FIELDS, dense.CODED)


def test_python_and_c_lay_out_the_same_tables() -> None:
    text = re.search(r"struct tables \{(.*?)\n\};", SOURCE.read_text(), re.DOTALL)
    assert text is not None
    plain = re.sub(r"/\*.*?\*/", "", text[1], flags=re.DOTALL)
    fields = [name.strip() for line in plain.split(";") if line.strip() for name in line.split(",")]
    assert tuple(re.findall(r"\w+$", name)[0] for name in fields) == TABLES
    sizes = (8 * len(TABLES), 8 * 10, module._NODE.itemsize, CLASSES, WIDE, 12, len(FIELDS))
    assert (*sizes, len(ATOMS) + 1) == LAYOUT
    assert DEEPEST < 31  # places in a tree are counted in 32 bits


REFUSED: dict[str, Callable[[Columns], dict[str, Any]]] = {
    "a day beyond reach": lambda c: {"day": c.day + 2 * 10**9},
    "half a code": lambda c: {"area": c.area + 0.5},
    "places of 32 bits": lambda c: {"lat": c.lat.astype("f4"), "lon": c.lon.astype("f4")},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_does_not_take_on_goes_to_numpy(
    model: Model, incidents: pl.DataFrame, what: str
) -> None:
    whole = Columns.from_frame(incidents.head(40))
    asked = replace(whole, **REFUSED[what](whole))
    assert kernel_of(model).probabilities(asked) is None
    assert model.probabilities(asked).tobytes() == model.reference(asked).tobytes()


WRONG: dict[str, Callable[[Columns], dict[str, Any]]] = {
    "no such level": lambda c: {"level": np.full(len(c), 3)},
    "a level below all": lambda c: {"level": np.full(len(c), -4)},
    "a column too short": lambda c: {"area": c.area[1:]},
    "one column longer, one shorter": lambda c: {"area": c.area[1:], "day": np.append(c.day, 1)},
    "offsets too short": lambda c: {"mo_offsets": c.mo_offsets[:-1]},
    "offsets beyond the codes": lambda c: {"mo_offsets": c.mo_offsets + 1},
    "offsets that go back": lambda c: {"mo_offsets": c.mo_offsets[[0, -1, *range(2, len(c) + 1)]]},
    "codes that nobody has": lambda c: {"mo_values": np.append(c.mo_values, 1)},
    "numbers of 32 bits": lambda c: {
        name: getattr(c, name).astype(np.int32)
        for name in Columns.__slots__ if name not in ("lat", "lon")
    },
    "codes below the level of reports": lambda c: {"level": np.zeros(len(c), np.int64)},
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_columns_that_do_not_fit_are_not_answered(
    model: Model, incidents: pl.DataFrame, what: str
) -> None:
    whole = Columns.from_frame(incidents.filter(pl.col("mocodes").list.len() > 0).head(40))
    assert kernel_of(model).probabilities(replace(whole, **WRONG[what](whole))) is None


def test_columns_need_not_stand_in_one_piece(model: Model, incidents: pl.DataFrame) -> None:
    whole = Columns.from_frame(incidents.head(40))
    apart = {name: np.repeat(getattr(whole, name), 2)[::2] for name in ("area", "lat", "mo_values")}
    kernel = kernel_of(model)
    expected = answered(kernel.probabilities(whole)).tobytes()
    assert answered(kernel.probabilities(replace(whole, **apart))).tobytes() == expected


def lookup(**other: Any) -> Callable[[Model], dict[str, Any]]:
    def damaged(model: Model) -> dict[str, Any]:
        featurizer = replace(model.featurizer)
        object.__setattr__(featurizer, "lookup", replace(featurizer.lookup, **other))
        return {"featurizer": featurizer}

    return damaged


def boosters(model: Model, **other: Any) -> dict[str, Any]:
    return {"boosters": replace(model.members.boosters, **other)}


def forest(**other: Any) -> Callable[[Model], dict[str, Any]]:
    return lambda m: boosters(m, forest=replace(m.members.boosters.forest, **other))


def step(**other: Callable[[Any], Any]) -> Callable[[Model], dict[str, Any]]:
    def damaged(model: Model) -> dict[str, Any]:
        first, *rest = model.members.boosters.forest.steps
        values = {name: change(getattr(first, name)) for name, change in other.items()}
        return forest(steps=(replace(first, **values), *rest))(model)

    return damaged


DAMAGES: dict[str, Callable[[Model], dict[str, Any]]] = {
    "moves out of the slots": lambda m: lookup(moves=m.featurizer.lookup.moves + 2**24)(m),
    "places out of the keys": lambda m: lookup(places=m.featurizer.lookup.places + 2**24)(m),
    "negative places": lambda m: lookup(places=m.featurizer.lookup.places - 1)(m),
    "too few places": lambda m: lookup(places=m.featurizer.lookup.places[:-1])(m),
    "too few moves": lambda m: lookup(moves=m.featurizer.lookup.moves[:-1])(m),
    "other keys": lambda m: lookup(keys=m.featurizer.lookup.keys + 1)(m),
    "too few weights": lambda m: {
        "linear": replace(m.members.linear, weights=m.members.linear.weights[1:])},
    "weights of double precision": lambda m: {
        "linear": replace(m.members.linear, weights=m.members.linear.weights.astype("f8"))},
    "a node that looks beside the table": step(features=lambda old: old + 10**6),
    "too few thresholds": step(thresholds=lambda old: old[1:]),
    "ends behind all leaves": lambda m: forest(ends=m.members.boosters.forest.ends + 10**6)(m),
    "ends before all leaves": lambda m: forest(ends=m.members.boosters.forest.ends - 10**6)(m),
    "too few ends": lambda m: forest(ends=m.members.boosters.forest.ends[1:])(m),
    "other columns": forest(columns=7),
    "too deep": lambda m: forest(steps=m.members.boosters.forest.steps * 4)(m),
    "too few leaves": lambda m: boosters(m, xgboost=replace(
        m.members.boosters.xgboost, added=m.members.boosters.xgboost.added[:5])),
    "rows of the network": lambda m: {"neural": replace(
        m.members.neural, rows=m.members.neural.rows + np.int32(10**6))},
    "too few rows of the network": lambda m: {
        "neural": replace(m.members.neural, rows=m.members.neural.rows[1:])},
    "units of the network": lambda m: {
        "neural": replace(m.members.neural, output=m.members.neural.output[1:])},
    "bias of the network": lambda m: {
        "neural": replace(m.members.neural, bias=m.members.neural.bias[1:])},
    "members of the pool": lambda m: {"pool": replace(m.pool, weights=m.pool.weights[:, 1:])},
    "offsets of the pool": lambda m: {"pool": replace(m.pool, offsets=m.pool.offsets[1:])},
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_tables_that_lead_astray_are_refused(
    model: Model, compiled: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(module, "library", lambda: load(compiled))
    parts: dict[str, Any] = {
        "featurizer": model.featurizer, "linear": model.members.linear,
        "boosters": model.members.boosters, "neural": model.members.neural, "pool": model.pool,
    }  # fmt: skip
    assert Kernel.of(**parts) is not None
    with pytest.raises(ValueError, match="tables do not fit"):
        Kernel.of(**parts | DAMAGES[damage](model))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A library under AddressSanitizer and UBSan, and the environment that it needs."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("there is no gcc")
    found = subprocess.run([gcc, "-print-file-name=libasan.so"], capture_output=True, text=True,
                           check=True).stdout.strip()  # fmt: skip
    if not Path(found).is_absolute():
        pytest.skip("gcc has no libasan")
    made = tmp_path_factory.mktemp("watched") / "kernel.so"
    subprocess.run([gcc, *FLAGS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
                    SOURCE, "-o", made, "-lm"], check=True)  # fmt: skip
    options = {"LD_PRELOAD": str(Path(found).resolve()), "ASAN_OPTIONS": "detect_leaks=0",
               "PYTHONPATH": str(ROOT)}  # fmt: skip
    return made, {**os.environ, **options}


def run(
    bundle: Path, watched: tuple[Path, dict[str, str]], answers: Path, *damage: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.train.under_watch", bundle, watched[0], answers, *damage],
        env=watched[1], cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_no_memory_but_its_own_is_touched(
    model: Model, tiny_bundle: Path, watched: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    answers = tmp_path / "answers.npy"
    done = run(tiny_bundle, watched, answers)
    assert done.returncode == 0, done.stderr
    expected = [answered(kernel_of(model).probabilities(strange(size, seed=size)))
                for size in under_watch.SIZES]  # fmt: skip
    assert np.load(answers).tobytes() == np.concatenate(expected).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["ends", "plain"])
def test_the_watch_would_bark(
    tiny_bundle: Path, watched: tuple[Path, dict[str, str]], tmp_path: Path, damage: str
) -> None:
    done = run(tiny_bundle, watched, tmp_path / "answers.npy", damage)
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr
