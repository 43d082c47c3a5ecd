"""Answer strange incidents with a library under watch: BUNDLE LIBRARY ANSWERS [damage].

Run by test_kernel.py in a process that has the sanitizers; `damage` leads one table astray
behind the back of the checks.
"""

import sys
from pathlib import Path

import numpy as np

from crimeguard.native.library import Library, load
from crimeguard.registry.bundle import Bundle
from crimeguard.train import kernel as module
from tests.train.incidents import strange

SIZES = (0, 1, 3, 8, 33, 300)


def main(bundle: str, library: str, answers: str, damage: str = "") -> None:
    found: Library = load(Path(library))
    assert found.answer is not None, found.why
    module.library = lambda: found  # type: ignore[assignment, attr-defined]
    kernel = Bundle.load(Path(bundle)).model.kernel
    assert kernel is not None
    if damage:
        table = kernel.held[damage]
        assert isinstance(table, np.ndarray)
        table[...] = 2**30
    told = [kernel.probabilities(strange(size, seed=size)) for size in SIZES]
    assert all(mine is not None for mine in told)
    np.save(answers, np.concatenate([mine for mine in told if mine is not None]))


if __name__ == "__main__":
    main(*sys.argv[1:])
