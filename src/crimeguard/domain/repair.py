"""One repair function a field: from what police exports hold to a canonical value.

Every path into CrimeGuard (file, API, form) goes through these functions, so a value
means the same wherever it came from. Each returns the canonical value, or None where
the source says "unknown"; a value that cannot be understood raises ValueError with a
reason that reads on from the value ("'25:61' is not a time of day").

The damage handled here is that of the Los Angeles exports and of the tools people put
between: lost leading zeros, floats where codes belong, padded text, 0 for unknown age
and place, blank, `-` and `X` for unknown victims.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Final

from crimeguard.domain.block import round_degrees, to_block
from crimeguard.domain.city import CITIES, Range
from crimeguard.domain.codes import BLANKS

_CODE = re.compile(r"(\d{1,6})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::[0-5]\d)?", re.ASCII)
_DATE = re.compile(
    r"(?:(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"
    r"|(?P<iso_year>\d{4})-(?P<iso_month>\d{1,2})-(?P<iso_day>\d{1,2}))"
    r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[AP]M)?(?:Z| ?UTC|[+-]\d{2}:?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_DATE_PARTS: Final = ("year", "month", "day")
EARLIEST: Final = dt.date(2000, 1, 1)
# Around the cities that are known, generously: a coordinate outside all is a wrong one.
# Whether it lies in its own city is for the data contract, which knows the city.
_LATITUDES: Final = {city.name: city.region[0] for city in CITIES.values()}
_LONGITUDES: Final = {city.name: city.region[1] for city in CITIES.values()}


def is_blank(text: str) -> bool:
    """Tell whether a source wrote "nothing here" in one of its ways."""
    return text.strip().lower() in BLANKS


def repair_text(text: str) -> str | None:
    """Collapse padding; blank is None."""
    squeezed = " ".join(text.split())
    return None if is_blank(squeezed) else squeezed


def repair_address(text: str) -> str | None:
    """Collapse padding, and reduce a house number to its hundred block; blank is None."""
    squeezed = repair_text(text)
    return repair_text(to_block(squeezed)) if squeezed else None


def repair_number(text: str) -> str | None:
    """Read a report's number; `230104011.0`, as a tool that took it for a float wrote it."""
    squeezed = repair_text(text)
    as_float = re.fullmatch(r"([0-9]+)\.0+", squeezed or "")
    return as_float[1] if as_float else squeezed


def repair_date(text: str) -> dt.date | None:
    """Read `MM/DD/YYYY`, ISO dates, and either with a time of day behind it."""
    if is_blank(text):
        return None
    match = _DATE.fullmatch(text.strip())
    if not match:
        raise ValueError("is not a date (MM/DD/YYYY or YYYY-MM-DD)")
    year, month, day = (int(match[part] or match[f"iso_{part}"]) for part in _DATE_PARTS)
    try:
        date = dt.date(year, month, day)
    except ValueError:
        raise ValueError("is not a day of the calendar (MM/DD/YYYY or YYYY-MM-DD)") from None
    if date < EARLIEST:
        raise ValueError(f"is before {EARLIEST}, when the records begin")
    return date


def repair_time(text: str) -> int | None:
    """Read a time of day as HHMM, 0 to 2359; `30` is 00:30, `01:45` and `45.0` are read too."""
    if is_blank(text):
        return None
    compact = text.strip()
    clock = _CLOCK.fullmatch(compact)
    if clock:
        compact = clock[1] + clock[2]
    match = _CODE.fullmatch(compact)
    if match:
        hours, minutes = divmod(int(match[1]), 100)
        # 2400 is how some clerks write midnight.
        if (hours, minutes) == (24, 0):
            return 0
        if hours < 24 and minutes < 60:
            return hours * 100 + minutes
    raise ValueError("is not a time of day (HHMM, 0000 to 2359)")


def repair_code(text: str) -> int | None:
    """Read a numeric code; `501.0` is 501, `08` is 8, blank is None."""
    if is_blank(text):
        return None
    match = _CODE.fullmatch(text.strip())
    if match:
        return int(match[1])
    raise ValueError("is not a code (a whole number of at most 6 digits)")


def repair_age(text: str) -> int | None:
    """Read an age in years; 0 and negative ages mean unknown, above 120 is an error."""
    if is_blank(text):
        return None
    years = _number(text)
    if years is None or not years.is_integer() or years > 120:
        raise ValueError("is not an age in years (at most 120)")
    return int(years) if years > 0 else None


def repair_sex(text: str) -> str | None:
    """Read F, M or X (recorded as unknown); `H` and other stray letters mean not recorded."""
    return _letter(text, "FMX", stray="HN")


def repair_descent(text: str) -> str | None:
    """Read one of the letters of the descent table; X is "recorded as unknown"."""
    return _letter(text, "ABCDFGHIJKLOPSUVWXZ", stray="")


def repair_status(text: str) -> str | None:
    """Read a two-letter case status; never a feature, kept for the simulator's profile."""
    squeezed = repair_text(text)
    return squeezed.upper() if squeezed else None


def repair_mocodes(text: str) -> tuple[int, ...]:
    """Read MO codes as a sorted set; separated by blanks or commas, `0344` is 344."""
    if is_blank(text):
        return ()
    codes = set()
    for token in text.replace(",", " ").split():
        match = _CODE.fullmatch(token)
        if not match or int(match[1]) > 9999:
            raise ValueError(f"holds {token!r}, which is not an MO code (four digits)")
        codes.add(int(match[1]))
    return tuple(sorted(codes - {0}))


def repair_latitude(text: str) -> float | None:
    """Read degrees north, to four decimals; 0 means unknown, outside every region is an error."""
    return _degrees(text, _LATITUDES, "latitude")


def repair_longitude(text: str) -> float | None:
    """Read degrees east, to four decimals; 0 means unknown, outside every region is an error."""
    return _degrees(text, _LONGITUDES, "longitude")


def _number(text: str) -> float | None:
    """Read a finite decimal number; float() would also take `3_4` and `infinity`."""
    match = _NUMBER.fullmatch(text.strip())
    value = float(match[0]) if match else math.inf
    return value if math.isfinite(value) else None


def _letter(text: str, known: str, stray: str) -> str | None:
    if is_blank(text):
        return None
    letter = text.strip().upper() if text.isascii() else ""
    if len(letter) == 1 and letter in stray:
        return None
    if len(letter) == 1 and letter in known:
        return letter
    raise ValueError(f"is none of {', '.join(known)}")


def _degrees(text: str, regions: dict[str, Range], name: str) -> float | None:
    if is_blank(text):
        return None
    degrees = _number(text)
    if degrees is None:
        raise ValueError(f"is not a {name} in degrees")
    if degrees == 0:
        return None
    if not any(low <= degrees <= high for low, high in regions.values()):
        known = ", ".join(f"{city} {low} to {high}" for city, (low, high) in regions.items())
        raise ValueError(f"is no {name} of a known city's region ({known})")
    return round_degrees(degrees)
