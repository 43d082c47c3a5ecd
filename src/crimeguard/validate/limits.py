"""Every threshold of the data contract, and where it comes from."""

from __future__ import annotations

from typing import Final, NamedTuple

OLDEST_AGE: Final = 120

# A district's number begins with its area's. That holds in each of the 67,874 real rows
# at hand, so that about 44 exceptions in a million are still possible (95 % bound).
DISTRICT_ERROR_ABOVE: Final = 0.001

# Incidents reported more than a year late: none of the first quarter of 2023 as
# published within days, 0.8 % of West LA 2020-2021 as published years later.
LATE_DAYS: Final = 365
LATE_SHARE: Final = 0.02

# Times (see `domain.city`) and days that stand for "not known exactly". On the real rows of
# Los Angeles 4.4 to 6.5 % of times are 12:00 or 00:01, and 4.6 to 6.1 % of days the 1st of a
# month (3.3 % by chance).
PLACEHOLDER_SHARE: Final = 0.10

# Shares and volumes of fewer rows or months say nothing.
MIN_ROWS: Final = 200
MIN_MONTHS: Final = 3

# Rows a day of a month against the median of the other months. Real months of Los
# Angeles differ by less than 20 %.
VOLUME_LOW: Final = 0.6
VOLUME_HIGH: Final = 2.0


class Completeness(NamedTuple):
    """The share of rows that usually hold a field, and the least that raises no warning."""

    usual: float
    least: float


# Usual shares: those of the whole data set ("Crime Data from 2020 to Present",
# 2nrs-mtv8, about 1.0 M rows). Ages are there in 76 % of rows, since 0 means unknown.
# The least leaves room for one area or one quarter: the weapon is given in 22 % of the
# incidents of West LA.
COMPLETENESS: Final[dict[str, Completeness]] = {
    "date_rptd": Completeness(0.999, 0.98),
    "time_occ": Completeness(0.999, 0.98),
    "area": Completeness(0.999, 0.98),
    "rpt_dist_no": Completeness(0.999, 0.98),
    "mocodes": Completeness(0.87, 0.80),
    "vict_age": Completeness(0.76, 0.65),
    "vict_sex": Completeness(0.88, 0.80),
    "vict_descent": Completeness(0.88, 0.80),
    "premis_cd": Completeness(0.999, 0.98),
    "weapon_used_cd": Completeness(0.29, 0.20),
    "location": Completeness(0.999, 0.98),
    "cross_street": Completeness(0.14, 0.10),
    "lat": Completeness(0.998, 0.98),
    "lon": Completeness(0.998, 0.98),
}

# Leakage: the share of the category's entropy that one field may explain. On the three
# real files the most telling honest field (MO codes as one text) explains 0.71 to 0.76 of
# it, `Crm Cd 1` 0.997.
CATEGORY_EXPLAINED: Final = 0.9
# The share of a field's own entropy that the crime code may explain: 0.61 to 0.69 for the
# most predictable honest field (the weapon, mostly blank), 1.0 for `Part 1-2`.
FIELD_EXPLAINED: Final = 0.95
# The crime code has 140 values and so explains too much of few rows: of 500 real rows
# it "explained" the weapon in half of all samples, of 1,000 or more in none.
LEAK_LEAST_ROWS: Final = 2_000
# More rows than these are thinned out evenly: the shares are the same, sooner.
LEAK_ROWS: Final = 200_000
# A value seen in fewer rows says nothing of what it determines.
LEAK_SUPPORT: Final = 20
LEAK_COVERAGE: Final = 0.05
# Numbers with more distinct values are compared by their quantiles.
LEAK_BINS: Final = 256

# The share of a file's rows that may go into quarantine. Of the 67,874 real rows at hand
# none has to; more than one in twenty is no damage but another kind of file, and what is
# left of it speaks of another city.
QUARANTINE_MOST: Final = 0.05

# Rows of a month that say in every field but the number what another says. On the real rows
# 0.0 to 1.4 % of any month of `MIN_ROWS` or more.
ALIKE_SHARE: Final = 0.03
