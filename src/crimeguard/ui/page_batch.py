"""The Batch page: a file of incidents in, a file of predictions out."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import streamlit as st

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.ui import chart, place
from crimeguard.ui.batch import BatchResult, answer_file
from crimeguard.ui.shell import client, heading, ink, show_error, table
from crimeguard.ui.wording import category_name, count, percent

EVERY = "All categories"


def page() -> None:
    """Draw the page."""
    heading(
        "Predict a file",
        "One incident a row, in the columns of the city's open-data export. Every column but "
        "the date and the place may be missing. Crime codes, if there are any, are not used.",
    )
    upload = st.file_uploader("CSV, CSV.gz or Parquet, up to 200 MB", type=["csv", "gz", "parquet"],
                              key="upload")  # fmt: skip
    if upload is None:
        st.session_state.pop("batch", None)
        return
    if st.button("Predict categories", type="primary", key="start"):
        _answer(upload)
    done: tuple[str, BatchResult] | None = st.session_state.get("batch")
    if done is not None and done[0] == upload.file_id:
        _show(done[1], upload.name)


def _answer(upload: Any) -> None:
    st.session_state.pop("batch", None)
    bar = st.progress(0.0, text="Sending the first rows")

    def moved(share: float, rows: int) -> None:
        bar.progress(share, text=f"{count(rows, 'row')} answered")

    try:
        result = answer_file(client(), upload.name, upload, moved)
    except CrimeGuardError as error:
        show_error(error)
    else:
        st.session_state["batch"] = (upload.file_id, result)
    finally:
        bar.empty()


def _show(result: BatchResult, name: str) -> None:
    _summary(result)
    st.download_button(
        "Download predictions as CSV", result.download, _download_name(name), "text/csv",
        key="download", on_click="ignore", width="content",
    )  # fmt: skip
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Incidents by predicted category", anchor=False)
        chart.show(chart.count_bars(result.counts, ink()), "mix")
    with right:
        _map(result)
    st.subheader("First rows", anchor=False)
    st.dataframe(result.preview, hide_index=True, height=360, key="rows")
    if result.rows > len(result.preview):
        st.caption(f"The first {len(result.preview)} of {count(result.rows, 'row')}; the download "
                   "holds all, with every category's probability.")  # fmt: skip


def _summary(result: BatchResult) -> None:
    levels = ", ".join(f"{level} ({percent(many / result.rows)})"
                       for level, many in result.levels.most_common())  # fmt: skip
    common, many = result.counts.most_common(1)[0]
    rows = {
        "Rows answered": f"{result.rows:,}",
        "Most common category": f"{category_name(common)} ({percent(many / result.rows)})",
        "Mean probability of the answer": percent(result.confident / result.rows),
        "Information level": levels,
        "Rows with a place": f"{result.placed:,}",
        "Model": "" if result.model is None else result.model.title,
    }
    st.subheader("Summary", anchor=False)
    table(rows)


def _map(result: BatchResult) -> None:
    st.subheader("Places", anchor=False)
    if not result.placed:
        st.caption("No row of this file has a latitude and a longitude.")
        return
    ranked = [category for category, _ in result.counts.most_common()]
    chosen = st.selectbox(
        "Shown on the map", [None, *ranked], key="shown",
        format_func=lambda name: category_name(name) if name else EVERY,
    )  # fmt: skip
    found = place.spots(result.places, chosen)
    place.show(place.batch_map(found, ink()), "places", _alt(found))
    full = len(found) == place.MOST_POINTS
    cut = f" The busiest {len(found):,} places are drawn." if full else ""
    st.caption(f"Rounded to hundred-blocks, sex offenses to a kilometer.{cut}")


def _alt(found: list[place.Spot]) -> str:
    incidents = sum(spot.incidents for spot in found)
    return f"Map of {count(incidents, 'incident')} at {count(len(found), 'place')}."


def _download_name(name: str) -> str:
    stem = PurePath(name).name.split(".")[0] or "incidents"
    return f"{stem}-predictions.csv"
