from __future__ import annotations

import datetime as dt

from crimeguard.ingest.frame import canonical
from crimeguard.ingest.kept import as_text
from crimeguard.ingest.los_angeles import LA_2010, LA_2020
from tests.ingest import portal_rows


def test_rows_mean_what_the_same_rows_in_a_file_mean() -> None:
    rows = portal_rows.los_angeles(300)
    read = LA_2020.read(as_text(rows, tuple(LA_2020.columns))).reading
    file = canonical(portal_rows.export(300))
    assert not read.bad
    assert read.frame.equals(file.frame.select(read.frame.columns))


def test_the_portals_own_form_is_read() -> None:
    row = {
        "dr_no": "200100501", "date_rptd": "2020-01-02T00:00:00.000",
        "date_occ": "2020-01-01T00:00:00.000", "time_occ": "0330", "area": "01",
        "rpt_dist_no": "0163", "crm_cd": "624", "mocodes": "0416 0334", "vict_age": "0",
        "vict_sex": "M", "vict_descent": "H", "premis_cd": "102", "lat": "34.0459",
        "lon": "-118.2545", "location": "700 S  HILL                         ST",
    }  # fmt: skip
    read = LA_2020.read(as_text([row], tuple(LA_2020.columns))).reading
    known = read.frame.row(0, named=True)
    assert (known["date_occ"], known["time_occ"]) == (dt.date(2020, 1, 1), 330)
    assert (known["area"], known["rpt_dist_no"], known["vict_age"]) == (1, 163, None)
    assert known["location"] == "700 S HILL ST"
    assert known["mocodes"] == [334, 416]


def test_the_older_sets_name_of_the_area_is_known() -> None:
    there = {name: "text" for name in LA_2010.columns if name != "area"} | {"area_": "text"}
    query = LA_2010.query(there)
    assert "area_" in query.columns
    assert "area" not in query.columns
    row = {"dr_no": "1", "date_occ": "2010-02-20T00:00:00.000", "area_": "13"}
    read = LA_2010.read(as_text([row], query.columns)).reading
    assert read.frame["area"].to_list() == [13]
