"""What the fuzz tests share: how long they run, what is sent, and what no refusal may show.

HYPOTHESIS_PROFILE=nightly tries a hundred times as much, and something else each time;
without it the same examples are tried on every machine.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import crimeguard
from crimeguard.domain.errors import CrimeGuardError
from crimeguard.domain.field import BY_NAME, CANONICAL_NAMES
from crimeguard.serve.incident import LEVEL_FIELD
from crimeguard.serve.problem import Problem

NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
_OURS: Final = str(Path(crimeguard.__file__).parent)
_SHORTEST: Final = 6  # letters of a message that could be told from chance


def fuzz(examples: int) -> settings:
    """Return how often a property is tried; use it as a decorator."""
    return settings(
        max_examples=examples * (100 if NIGHTLY else 1), derandomize=not NIGHTLY, deadline=None,
        database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


def refused(act: Callable[[], Any]) -> Problem | None:
    """Do something; return the Problem that it raised, None if it came to its end.

    Any other exception passes. A Problem that repeats the words of a library's exception is
    an AssertionError.
    """
    try:
        act()
    except Problem as problem:
        require_own_words(problem, [problem.detail, *(flaw.detail for flaw in problem.flaws)])
        return problem
    return None


def require_own_words(error: BaseException, said: list[str]) -> None:
    """AssertionError if `said` holds the text of an exception that is not ours."""
    behind = error.__context__
    while behind is not None:
        text = str(behind)
        if not _is_ours(behind) and len(text) >= _SHORTEST:
            assert not any(text in part for part in said), text
        behind = behind.__context__


def _is_ours(error: BaseException) -> bool:
    if isinstance(error, CrimeGuardError | Problem):
        return True
    # A ValueError with a reason of our own is raised in our own code.
    return _raised_in(error.__traceback__).startswith(_OURS) and type(error) is ValueError


def _raised_in(traceback: TracebackType | None) -> str:
    where = ""
    while traceback is not None:
        where, traceback = traceback.tb_frame.f_code.co_filename, traceback.tb_next
    return where


SCALARS: Final = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
DOCUMENTS: Final = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def _padded(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}{}{}".format, st.sampled_from(["", " "]), texts, st.sampled_from(["", " "]))


_DAYS: Final = st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31))
_DATES: Final = _padded(
    _DAYS.map(dt.date.isoformat)
    | _DAYS.map(lambda day: day.strftime("%m/%d/%Y"))
    | _DAYS.map(lambda day: day.strftime("%m/%d/%Y 12:00:00 AM"))
    | _DAYS.map(lambda day: f"{day.month}/{day.day}/{day.year}")
)
_BLANK: Final = st.sampled_from([None, "", " ", "-", "nan", "NULL"])
_CODE: Final = st.integers(0, 999_999)
_CODES: Final = _CODE | _padded(_CODE.map(str)) | _CODE.map(lambda code: f"{code}.0")
_TIME: Final = st.builds(
    lambda hour, minute: hour * 100 + minute, st.integers(0, 23), st.integers(0, 59)
)
_MO: Final = st.integers(0, 9999)
_TEXT: Final = st.text(max_size=30)


def _degrees(low: float, high: float) -> st.SearchStrategy[Any]:
    inside = st.floats(low + 0.01, high - 0.01).map(lambda value: round(value, 4))
    return inside | inside.map(str) | st.just(0)


# Values that are understood, by the canonical name of the field.
GOOD: Final[dict[str, st.SearchStrategy[Any]]] = {
    "date_occ": _DATES,
    "date_rptd": _DATES | _BLANK,
    "time_occ": _TIME | _TIME.map("{:04d}".format) | _BLANK,
    **dict.fromkeys(("area", "rpt_dist_no", "premis_cd", "weapon_used_cd"), _CODES | _BLANK),
    "location": _TEXT | _BLANK,
    "cross_street": _TEXT | _BLANK,
    "lat": _degrees(33.3, 34.9) | _BLANK,
    "lon": _degrees(-119.3, -117.6) | _BLANK,
    "vict_age": st.integers(-9, 120) | st.integers(-9, 120).map(str) | _BLANK,
    "vict_sex": st.sampled_from("FMXHNfm") | _BLANK,
    "vict_descent": st.sampled_from("ABCDFGHIJKLOPSUVWXZb") | _BLANK,
    "mocodes": st.lists(_MO | _MO.map("{:04d}".format), max_size=5) | _BLANK
    | st.lists(_MO.map("{:04d}".format), max_size=5).map(" ".join),
}  # fmt: skip


@st.composite
def incidents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an incident that is understood: each field in one of its two spellings, or not."""
    names = draw(st.sets(st.sampled_from([name for name in GOOD if name != "date_occ"])))
    record = {name: draw(GOOD[name]) for name in ("date_occ", *sorted(names))}
    record["area"] = draw(_CODE)
    spelt = {
        BY_NAME[name].column if draw(st.booleans()) else name: value
        for name, value in record.items()
    }
    if draw(st.booleans()):
        spelt["DR_NO"] = draw(st.integers(0, 10**9).map(str))
    return dict(draw(st.permutations(list(spelt.items()))))


_NAMES: Final = st.sampled_from([*CANONICAL_NAMES, LEVEL_FIELD])
# Fields as they should be and as they should not, in any mixture.
RECORDS: Final = st.dictionaries(
    _NAMES | st.text(max_size=10), SCALARS | DOCUMENTS | st.one_of(*GOOD.values()), max_size=8
) | st.builds(
    lambda good, bad: good | bad,
    incidents(),
    st.dictionaries(_NAMES, DOCUMENTS | st.one_of(*GOOD.values()), max_size=2),
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Draw bytes that were right, with a few pieces of them changed, lost or doubled."""
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(content)))
        end = min(len(content), place + draw(st.integers(0, 6)))
        content[place:end] = draw(st.binary(max_size=6) | st.sampled_from(
            [b"", bytes(content[place:end]) * 2, b"\x00", b'"', b",", b"\xff", b"\n", b"[", b"{"]
        ))  # fmt: skip
    return bytes(content)
