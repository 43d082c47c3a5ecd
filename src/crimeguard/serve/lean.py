"""Importing the boosters without what they only need for data frames and estimators.

Where scikit-learn and pandas are installed, LightGBM and XGBoost import them to accept their
kinds of data. A server gives them arrays of numbers only: it would wait 1.5 seconds for
those packages at every start, and carry them in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Final, cast

_BOOSTERS: Final = ("lightgbm", "xgboost")
_NOT_NEEDED: Final = ("sklearn", "pandas", "pyarrow", "matplotlib", "dask", "distributed")


def import_boosters() -> None:
    """Import the boosters; what they would import beside is left for others to import."""
    with _hidden(_NOT_NEEDED):
        for name in _BOOSTERS:
            import_module(name)


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Let the import of packages fail that are not imported yet, as if they were not there."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = cast("ModuleType", None)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
