"""What callers meet while bundles are swapped: no failure, and one bundle's own answers.

    python -m benchmarks.swaps BUNDLE [swaps]

Three bundles are made of one, which lean to the first category by different weights. Five
callers ask without a pause (four for one incident, one for a batch) while the alias of a
registry of folders moves from one to the next as soon as its answers have reached them. The
program fails if a request fails, or an answer is not that of the bundle that it names.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.faults.swapping import swap_under_load

from crimeguard.registry.bundle import Bundle, write_bundle
from crimeguard.registry.golden import golden_answers


def main() -> None:
    old = Bundle.load(Path(sys.argv[1]))
    swaps = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    day = dt.datetime.now(dt.UTC).date()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, {day}"
    )
    with tempfile.TemporaryDirectory() as work:
        bundles = [leaning(old, Path(work) / "bundles", lean) for lean in (0.0, 1.0, -1.0)]
        met = swap_under_load(Path(work) / "home", bundles, swaps)
    print(
        f"{swaps} swaps of {len(bundles)} bundles: {sum(met.answers.values()):,} answers, "
        f"{len(met.failed)} failed requests, {len(met.wrong)} answers of no bundle; at most "
        f"{met.most_live} bundles in memory; {met.slowest:.2f} s from the alias to the callers "
        "at most"
    )
    if met.failed or met.wrong:
        raise SystemExit(1)


def leaning(old: Bundle, folder: Path, lean: float) -> Path:
    """Write a bundle to which the first category is exp(lean) times as likely."""
    offsets = old.model.pool.offsets.copy()
    offsets[0] += lean
    model = replace(old.model, pool=replace(old.model.pool, offsets=offsets))
    return write_bundle(
        model, folder, card={**old.card, "note": f"leans by {lean}"},
        golden=golden_answers(model), reference=old.reference,
    ).path  # fmt: skip


if __name__ == "__main__":
    main()
