"""A model's tables as the compiled kernel reads them, and the call.

What is checked here is checked once a model; the kernel then trusts every place in the
tables. What differs from call to call, it checks itself, and what it does not take on goes
to NumPy: the two answer alike (tests/train/test_kernel.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crimeguard.domain.level import InformationLevel
from crimeguard.features import cross, dense
from crimeguard.features.columns import DESCENTS, NO_DELAY, Columns, Floats
from crimeguard.features.featurizer import Featurizer
from crimeguard.native.library import Answer, library
from crimeguard.train.forest import DEEPEST, Forest
from crimeguard.train.linear import CLASSES, LinearMember
from crimeguard.train.neural import NeuralMember
from crimeguard.train.pool import Pool
from crimeguard.train.trees import Boosters

Tables = dict[str, int | NDArray[Any]]

WIDE: Final = 16
MEMBERS: Final = 3
# What kernel.c calculates by name. With others NumPy answers, and a test fails.
ATOMS: Final = (
    "hour", "shift", "part_of_day", "minute", "placeholder", "weekday", "weekend",
    "first_of_month", "area", "district", "premise", "crossed", "sex", "descent", "no_victim",
    "delay", "age", "weapon", "mo_count", "weapon_kind", "premise_kind",
)  # fmt: skip
CODED: Final = ("area", "rpt_dist_no", "premis_cd", "weapon_used_cd")
FIELDS: Final = (
    "hour", "minute", "weekday", "day_of_month", "crossed", "lat", "lon", *CODED,
    "vict_age", "vict_sex", "vict_descent", "delay", "mo_count", "level",
)  # fmt: skip
_MOST_CODES: Final = 8
_NODE: Final = np.dtype([("threshold", np.float32), ("look", np.int32)])
# In the order of kernel.c.
TABLES: Final = (
    "template_count", "templates", "block", "no_person", "no_delay", "time_count", "times",
    "clock", "age_count", "ages", "delay_count", "delays", "most_codes",
    "keys", "factor", "bucket_shift", "slot_shift", "slot_mask", "moves", "places",
    "code_count", "codes", "code_apart", "code_starts", "code_sizes", "mo_count", "mo_codes",
    "columns", "weights", "vector_trees", "value_trees", "trees", "nodes", "ends", "vectors",
    "values", "units", "plain", "hidden", "bias", "output", "output_bias", "pool", "offsets",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kernel:
    """The compiled way from columns to probabilities; safe to call from several threads.

    `held` keeps alive what the addresses in `packed` lead to.
    """

    answer: Answer = field(repr=False)
    packed: NDArray[np.int64] = field(repr=False)
    held: Tables = field(repr=False)
    tables: int

    @classmethod
    def of(
        cls,
        featurizer: Featurizer,
        linear: LinearMember,
        boosters: Boosters,
        neural: NeuralMember,
        pool: Pool,
    ) -> Kernel | None:
        """Lay out a model's tables; None where no kernel was compiled for such models.

        Raises ValueError if the parts do not fit, or one leads out of another.
        """
        answer = library().answer
        if answer is None or (cross.ATOMS, dense.FIELDS, dense.CODED) != (ATOMS, FIELDS, CODED):
            return None
        held: Tables = {
            **_definitions(),
            **_lookup(featurizer),
            **_codes(featurizer.table, boosters.forest.columns),
            "weights": _wide(linear.weights, np.float32, len(featurizer.vocabulary)),
            **_forest(boosters),
            **_neural(neural, len(featurizer.vocabulary)),
            "pool": _shaped(pool.weights, np.float64, (len(InformationLevel), MEMBERS)),
            "offsets": _shaped(pool.offsets, np.float64, (CLASSES,)),
        }
        packed = np.array([_word(held[name]) for name in TABLES], np.uint64).view(np.int64)
        return cls(answer, packed, held, packed.ctypes.data)

    def probabilities(self, columns: Columns) -> Floats | None:
        """Return probabilities (n, 15); None for what is left to NumPy."""
        shares = np.empty((len(columns.level), CLASSES))
        return shares if self._call(columns, shares, None) else None

    def scores(self, columns: Columns) -> Floats | None:
        """Return the members' log-odds (n, 3, 15); None for what is left to NumPy."""
        count = len(columns.level)
        told = np.empty((count, MEMBERS, CLASSES))
        return told if self._call(columns, np.empty((count, CLASSES)), told) else None

    def _call(self, columns: Columns, shares: Floats, told: Floats | None) -> bool:
        c = columns
        count, codes = len(c.level), len(c.mo_values)
        whole = (
            c.level, c.day, c.time_occ, c.area, c.rpt_dist_no, c.premis_cd, c.crossed,
            c.vict_age, c.vict_sex, c.vict_descent, c.delay, c.weapon_used_cd,
        )  # fmt: skip
        # One array of them all: it stands in one piece, and its kind is the kind of all.
        numbers = np.concatenate((*whole, c.mo_offsets, c.mo_values))
        places = np.concatenate((c.lat, c.lon))
        if (
            numbers.dtype != np.int64
            or places.dtype != np.float64
            or numbers.shape != (len(whole) * count + count + 1 + codes,)
            or places.shape != (2 * count,)
            or {*map(len, whole), len(c.lat)} != {count}
            or len(c.mo_offsets) != count + 1
        ):
            return False
        return not self.answer(
            self.tables, count, codes, _address(numbers), _address(places), _address(shares),
            0 if told is None else _address(told),
        )  # fmt: skip


def _address(array: NDArray[Any]) -> int:
    # Three times as fast as `array.ctypes.data`.
    address: int = array.__array_interface__["data"][0]
    return address


def _word(value: int | NDArray[Any]) -> int:
    """Return what stands for a value in the kernel's eight bytes."""
    number = _address(value) if isinstance(value, np.ndarray) else value
    return number % (1 << 64)


def _require(holds: bool | np.bool_, what: str) -> None:
    if not holds:
        raise ValueError(f"the kernel's tables do not fit: {what}")


def _shaped(values: NDArray[Any], kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    _require(values.dtype == kind and values.shape == shape, f"{values.dtype} {values.shape}")
    return np.ascontiguousarray(values)


def _wide(values: NDArray[Any], kind: Any, rows: int) -> NDArray[Any]:
    """Put a zero behind each row of 15, so that whole registers can be added."""
    out = np.zeros((rows, WIDE), kind)
    out[:, :CLASSES] = _shaped(values, kind, (rows, CLASSES))
    return out


def _within(values: NDArray[Any], least: int, below: int) -> bool:
    return not len(values) or bool(values.min() >= least and values.max() < below)


def _ascending(values: NDArray[np.int64]) -> bool:
    return bool((values[1:] > values[:-1]).all())


def _definitions() -> Tables:
    """Return what the templates and their atoms are made of."""
    told = cross.definitions()
    templates, times, clock = told["templates"], told["times"], dense.CLOCK
    _require(_within(templates[:, 2:5], 0, len(ATOMS) + 1), "atoms")
    _require(times.shape[1] == 5 and clock.shape == (len(times), 2), "times")
    return {
        "template_count": len(templates),
        "templates": np.ascontiguousarray(templates, np.int64),
        "block": cross.BLOCK,
        "no_person": DESCENTS.index("X"),
        "no_delay": NO_DELAY,
        "time_count": len(times),
        "times": np.ascontiguousarray(times, np.int64),
        "clock": np.ascontiguousarray(clock, np.float32),
        "age_count": len(told["ages"]),
        "ages": np.ascontiguousarray(told["ages"], np.int64),
        "delay_count": len(told["delays"]),
        "delays": np.ascontiguousarray(told["delays"], np.int64),
        "most_codes": _MOST_CODES,
    }


def _lookup(featurizer: Featurizer) -> Tables:
    lookup = featurizer.lookup
    bits = len(lookup.moves).bit_length() - 1
    low = bits + 2
    slots = 1 << low
    _require(0 < bits < 28 and len(lookup.moves) == 1 << bits, "moves")
    _require(len(lookup.places) == slots and _within(lookup.moves, 0, slots), "slots")
    _require(_within(lookup.places, 0, len(lookup.keys)), "places")
    _require(np.array_equal(lookup.keys, featurizer.vocabulary), "keys")
    return {
        "keys": _shaped(lookup.keys, np.int64, lookup.keys.shape),
        "factor": int(lookup.factor),
        "bucket_shift": 64 - bits,
        "slot_shift": 64 - bits - low,
        "slot_mask": slots - 1,
        "moves": np.ascontiguousarray(lookup.moves, np.int32),
        "places": np.ascontiguousarray(lookup.places, np.int32),
    }


def _codes(table: dense.DenseTable, columns: int) -> Tables:
    known = table.codes[:-1]
    _require(_ascending(known) and _ascending(table.mo_codes), "codes ascend")
    _require(len(table.names) + CLASSES == columns, "columns")
    return {
        "code_count": len(known),
        "codes": np.ascontiguousarray(table.codes, np.int64),
        "code_apart": dense.APART,
        "code_starts": np.ascontiguousarray(table.starts.ravel(), np.int64),
        "code_sizes": np.ascontiguousarray(table.sizes.ravel(), np.int64),
        "mo_count": len(table.mo_codes),
        "mo_codes": np.ascontiguousarray(table.mo_codes, np.int64),
        "columns": columns,
    }


def _forest(boosters: Boosters) -> Tables:
    """Lay out each tree by itself, as a heap, with the leaves that its ends are."""
    forest, vector = boosters.forest, len(boosters.xgboost.trees)
    values = len(forest.roots) - vector
    _require(vector >= 0 and values >= 0 and values % CLASSES == 0, "trees")
    trees, nodes, ends = _heaps(forest)
    _require(_within(nodes["look"], 0, 2 * forest.columns), "columns of trees")
    cut = int(trees[vector, 1]) if values else len(ends)
    leaves, first = np.unique(ends[:cut], return_inverse=True)
    added = boosters.xgboost.added
    _require(_within(leaves, 0, len(added)), "leaves of XGBoost")
    last = ends[cut:] - len(added)
    _require(_within(last, 0, len(boosters.lightgbm.added)), "leaves of LightGBM")
    return {
        "columns": forest.columns,
        "vector_trees": vector,
        "value_trees": values,
        "trees": trees,
        "nodes": nodes,
        "ends": np.concatenate([first, last]).astype(np.int32),
        "vectors": _wide(added[leaves], np.float32, len(leaves)),
        "values": _shaped(boosters.lightgbm.added, np.float64, (len(boosters.lightgbm.added),)),
    }


def _heaps(forest: Forest) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
    """Return depth and beginning of each tree, their nodes, and the ends below these."""
    count = len(forest.roots)
    depths = np.zeros(count, np.int64)
    for step in forest.steps:
        depths[: step.trees] += 1
    _require(_within(depths, 0, DEEPEST + 1), "depth of trees")
    sizes = 1 << depths
    begins = np.cumsum(sizes) - sizes
    nodes, ends = np.zeros(sizes.sum(), _NODE), np.zeros(sizes.sum(), np.int64)
    # Trees of one depth stand together, so that a level of them is one rectangle.
    last = np.concatenate([forest.ends, *(step.ends for step in forest.steps[::-1])])
    _require(last.shape == ends.shape and bool((np.diff(depths) <= 0).all()), "ends of trees")
    ends[:] = last
    for level, step in enumerate(forest.steps):
        wanted = (step.trees << level,)
        _require(step.features.shape == wanted == step.thresholds.shape, "nodes of trees")
        width = 1 << level
        at = (begins[: step.trees, None] + np.arange(width, 2 * width)).ravel()
        nodes["look"][at] = step.features
        nodes["threshold"][at] = step.thresholds
    return np.stack([depths, begins], axis=1), nodes, ends


def _neural(net: NeuralMember, size: int) -> Tables:
    plain, units = net.hidden.shape
    _require(bool((net.rows < plain).all()), "rows of the network")
    more = -units % WIDE
    hidden = _shaped(net.hidden, np.float32, (plain, units))
    return {
        "units": units + more,
        "plain": np.ascontiguousarray(_shaped(net.rows, np.int32, (size,))),
        "hidden": np.pad(hidden, ((0, 0), (0, more))) if more else hidden,
        "bias": np.pad(_shaped(net.bias, np.float32, (units,)), (0, more)),
        "output": np.pad(_wide(net.output, np.float32, units), ((0, more), (0, 0))),
        "output_bias": _wide(net.output_bias[None], np.float32, 1)[0],
    }
