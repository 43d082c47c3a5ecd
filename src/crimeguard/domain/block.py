"""Places no finer than the portal publishes them: the hundred block, and degrees on its grid.

All 67,874 real rows at hand have coordinates of at most four decimals (about ten metres).
Of the 58,205 addresses that begin with a number, all but two name a hundred block; the two
are a freeway and a berth without their word ('110', '202').
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

_PER_DEGREE: Final = 10_000
# Digits that belong to the name of a street: '6TH', 'AVENUE 26', '405 FREEWAY', and a zero
# that was typed for the letter.
_NUMBERED: Final = r"(?:AVENUE|AVE|TERRACE)\s+[0-9]{1,2}|BERTH\s+[0-9]{1,3}"
_NAME: Final = (
    r"(?:[0-9]{1,3}(?:ST|ND|RD|TH)"
    rf"|{_NUMBERED}"
    r"|[0-9]{1,3}\s*(?:FWY|FREEWAY)"
    r"|[A-Z]+(?:0[A-Z]+)?)"
)
_UNITS: Final = frozenset({
    "APT", "APARTMENT", "UNIT", "STE", "SUITE", "RM", "ROOM", "BLDG", "BUILDING", "FL", "FLOOR",
    "SPC", "PENTHOUSE",
})  # fmt: skip
_published = re.compile(rf"\s*(?:(?:[0-9]{{0,3}}00\s+)?{_NAME}(?:\s+{_NAME})*)?\s*", re.IGNORECASE)
_unit = re.compile(rf"\b(?:{'|'.join(sorted(_UNITS))})\b|#", re.IGNORECASE)
_kept = re.compile(r"[0-9]{1,3}(?:ST|ND|RD|TH|FWY)|[A-Z]+0[A-Z]+", re.IGNORECASE)
_numbered = re.compile(_NUMBERED, re.IGNORECASE)
_freeway = re.compile("FWY|FREEWAY", re.IGNORECASE)
_short = re.compile("[0-9]{1,3}")
_digits = re.compile("[0-9]+")
_gap = re.compile(r"[\s,;/]+")
_on_grid = re.compile(r"\s*[+-]?[0-9]+(?:\.[0-9]{0,4})?\s*")

# Both spellings of the fields of a place, as a record may have them.
_ADDRESSES: Final = ("LOCATION", "location", "Cross Street", "cross_street")
_DEGREES: Final = ("LAT", "lat", "LON", "lon")


def round_degrees(value: float) -> float:
    """Put degrees on the portal's grid of four decimals; what lies on it stays the same number.

    Halves go up.
    """
    scaled = value * _PER_DEGREE
    return math.floor(scaled + 0.5) / _PER_DEGREE if math.isfinite(scaled) else value


def to_block(address: str) -> str:
    """Reduce an address to its hundred block: '1432 1/2 N Main St #5' is '1400 N Main St'.

    What has the published form comes back as it is, its padding too, and so does what has
    neither a digit nor a unit. Of anything else the house number is made a hundred block, and
    what stands behind a unit, or behind the street with a number in it, is left out. The
    result has no digits but those of a block and of streets' names. Numbers in words are not
    recognised.
    """
    if _UNITS.isdisjoint(address.upper().split()) and _published.fullmatch(address):
        return address
    if not (any(map(str.isnumeric, address)) or _unit.search(address)):
        return address
    return _reduced([token for token in _gap.split(_plain(address)) if token])


def coarsened(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record, as it was received, with its place no finer than published.

    The very record if nothing in it is finer, else a copy. Never raises: degrees that
    cannot be read are left blank, for they could not be rounded.
    """
    changed: dict[str, Any] = {}
    for name in _ADDRESSES:
        value = record.get(name)
        if value is not None and (block := to_block(text := str(value))) != text:
            changed[name] = block
    for name in _DEGREES:
        value = record.get(name)
        if value is not None and (rounded := _coarse_degrees(value)) != value:
            changed[name] = rounded
    return {**record, **changed} if changed else record


def _coarse_degrees(value: Any) -> Any:
    if isinstance(value, float):
        return round_degrees(value)
    if isinstance(value, int) or _on_grid.fullmatch(text := str(value)):
        return value
    try:
        return repr(round_degrees(float(text)))
    except ValueError:
        return ""


def _plain(text: str) -> str:
    """Write every number in ASCII digits; numerals that have no such form are left out."""
    letters = (
        str(unicodedata.decimal(letter)) if letter.isdecimal() else letter
        for letter in unicodedata.normalize("NFKC", text)
    )  # fmt: skip
    return "".join(letter for letter in letters if letter.isascii() or not letter.isnumeric())


def _reduced(tokens: list[str]) -> str:
    number = ""
    street: list[str] = []
    for token, before, after in _neighbours(tokens):
        is_unit = _unit.match(token) is not None
        has_digits = any(map(str.isdigit, token)) and not _is_name(token, before, after)
        if not (is_unit or has_digits):
            street.append(token)
        elif street:
            break
        elif not (number or is_unit or _unit.match(before)):
            number = _hundred(token)
    return " ".join([number, *street] if number else street)


def _neighbours(tokens: list[str]) -> Iterator[tuple[str, str, str]]:
    return zip(tokens, ["", *tokens], [*tokens[1:], ""], strict=False)


def _is_name(token: str, before: str, after: str) -> bool:
    """Tell whether the digits of a token belong to a street's name."""
    if _kept.fullmatch(token):
        return True
    if _numbered.fullmatch(f"{before} {token}"):
        return True
    return bool(_freeway.fullmatch(after) and _short.fullmatch(token))


def _hundred(token: str) -> str:
    found = _digits.search(token)
    return found[0][:-2] + "00" if found else ""
