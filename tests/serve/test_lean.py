from __future__ import annotations

import subprocess
import sys


def test_the_boosters_come_without_what_they_do_not_need_here() -> None:
    program = """
import sys
from crimeguard.serve.lean import import_boosters
import_boosters()
import lightgbm, xgboost
print(sorted({"sklearn", "pandas", "pyarrow", "matplotlib"} & sys.modules.keys()))
import pandas, sklearn
from crimeguard.serve.lean import import_boosters
import_boosters()
assert sys.modules["pandas"] is pandas
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
