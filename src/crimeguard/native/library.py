"""The compiled kernel as a function, or why there is none.

Only what was compiled from the kernel.c beside this file, for this Python on this kind of
machine, has the name that is looked for: a stale library is never loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
SOURCE: Final = FOLDER / "kernel.c"
PATTERN: Final = "_kernel-*.so"
# Nothing that reorders or fuses: sums must come out as NumPy's do. Any machine of the kind
# can run it.
FLAGS: Final = ("-std=c99", "-O3", "-ffp-contract=off", "-fno-fast-math", "-fPIC", "-shared",
                "-fvisibility=hidden")  # fmt: skip
VARIABLE: Final = "CRIMEGUARD_NATIVE"

# Tables, count, number of codes, columns, places, probabilities, log-odds: addresses as numbers.
Answer = Callable[[int, int, int, int, int, int, int], int]


@dataclass(frozen=True, slots=True)
class Library:
    """`answer` and the sizes that it was compiled with; neither where `why` says why not."""

    answer: Answer | None
    layout: tuple[int, ...]
    why: str


def target(folder: Path = FOLDER) -> Path:
    """Return the name that the library has, by source, compiler's options and machine."""
    told = SOURCE.read_bytes() + " ".join(FLAGS).encode()
    abi = sysconfig.get_config_var("SOABI") or sysconfig.get_platform()
    return folder / f"_kernel-{abi}-{hashlib.sha256(told).hexdigest()[:16]}.so"


@cache
def library() -> Library:
    """Load the library once, unless the environment says CRIMEGUARD_NATIVE=0."""
    if os.environ.get(VARIABLE, "") == "0":
        return Library(None, (), f"{VARIABLE}=0")
    return load(target())


def load(path: Path) -> Library:
    """Load one library; what cannot be loaded is told and not raised."""
    if not path.is_file():
        return Library(None, (), "it was not compiled")
    try:
        loaded = ctypes.CDLL(str(path))
        layout = tuple((ctypes.c_int64 * len(LAYOUT)).in_dll(loaded, "crimeguard_layout"))
        answer = loaded.crimeguard_answer
    except (OSError, AttributeError, ValueError) as error:
        return Library(None, (), f"it cannot be loaded: {error}")
    if layout != LAYOUT:
        return Library(None, (), f"it was compiled with other sizes: {layout}")
    answer.argtypes = (
        ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, *[ctypes.c_void_p] * 4,
    )  # fmt: skip
    answer.restype = ctypes.c_int
    return Library(answer, layout, "")


# Bytes of the tables, of a template and of a node; categories, numbers in a wide row, columns of
# whole numbers, fields of the matrix, atoms. A test holds train/kernel.py to them.
LAYOUT: Final = (44 * 8, 10 * 8, 8, 15, 16, 12, 17, 22)
