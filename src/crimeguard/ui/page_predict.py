"""The Predict page: one incident in, one answered prediction out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from crimeguard.domain.city import CITIES, LOS_ANGELES
from crimeguard.domain.codes import (
    area_names,
    descent_names,
    mo_names,
    premise_names,
    sex_names,
    weapon_names,
)
from crimeguard.domain.errors import CrimeGuardError
from crimeguard.domain.repair import EARLIEST
from crimeguard.ui import chart, place
from crimeguard.ui.answer import Answer
from crimeguard.ui.client import ApiError
from crimeguard.ui.incident_form import NONE_RECORDED, Filled, record_of
from crimeguard.ui.shell import client, coverage, heading, ink, plain, show_error
from crimeguard.ui.wording import (
    LEVEL_MEANINGS,
    LEVEL_NAMES,
    category_name,
    coverage_sentence,
    percent,
    set_sentence,
)

UNKNOWN: Final = "Not known"
_LATITUDES, _LONGITUDES = CITIES[LOS_ANGELES].region


@dataclass(frozen=True, slots=True)
class Shown:
    """The last answer, and the place that was asked about."""

    answer: Answer
    area: int | None
    point: tuple[float, float] | None


def page() -> None:
    """Draw the page."""
    heading(
        "Predict one incident",
        "Fill in what is known. What stays *Not known* is not sent, and the answer takes "
        "that into account.",
    )
    left, right = st.columns([5, 7], gap="large")
    with left:
        filled = _form()
    with right:
        if filled is not None:
            _ask(filled)
        _result()


def _form() -> Filled | None:
    with st.form("incident", enter_to_submit=False):
        st.subheader("When and where", anchor=False)
        one, two = st.columns(2)
        date = one.date_input("Date", value="today", min_value=EARLIEST, max_value="today",
                              format="YYYY-MM-DD", key="date")  # fmt: skip
        time = two.time_input("Time", value=None, step=300, key="time")
        area = _choice("Police area", area_names(), "area")
        premise = _choice("Premise", premise_names(), "premise")
        with st.expander("A more exact place"):
            one, two = st.columns(2)
            latitude = one.number_input("Latitude", *_LATITUDES, value=None, step=0.001,
                                        format="%.4f", placeholder=UNKNOWN, key="lat")  # fmt: skip
            longitude = two.number_input("Longitude", *_LONGITUDES, value=None, step=0.001,
                                         format="%.4f", placeholder=UNKNOWN, key="lon")  # fmt: skip
            district = st.number_input("Reporting district", 1, 9999, value=None, step=1,
                                       placeholder=UNKNOWN, key="district")  # fmt: skip
        st.subheader("Victim", anchor=False)
        one, two = st.columns(2)
        age = one.number_input("Age", 1, 120, value=None, step=1, placeholder=UNKNOWN, key="age")
        sex = _choice("Sex", {**sex_names(), **NONE_RECORDED}, "sex", two)
        descent = _choice("Descent", {**descent_names(), **NONE_RECORDED}, "descent")
        reported = st.date_input(
            "Date reported", value=None, min_value=EARLIEST, max_value="today",
            format="YYYY-MM-DD", key="reported",
        )  # fmt: skip
        st.subheader("Report", anchor=False)
        weapon = _choice("Weapon", {**NONE_RECORDED, **weapon_names()}, "weapon")
        methods = st.multiselect(
            "MO codes (how it was done)", [*NONE_RECORDED, *mo_names()], key="mo",
            format_func=_mo_label, placeholder=UNKNOWN,
        )  # fmt: skip
        if not st.form_submit_button("Predict category", type="primary", width="stretch"):
            return None
    return Filled(
        date=date, time=time, area=area, premise=premise, latitude=latitude, longitude=longitude,
        district=district, age=age, sex=sex, descent=descent, reported=reported, weapon=weapon,
        methods=tuple(methods),
    )  # fmt: skip


def _choice(label: str, names: Any, key: str, where: Any = st) -> Any:
    return where.selectbox(label, list(names), index=None, key=key, placeholder=UNKNOWN,
                           format_func=names.__getitem__)  # fmt: skip


def _mo_label(code: Any) -> str:
    return NONE_RECORDED[code] if code in NONE_RECORDED else mo_names()[code]


def _ask(filled: Filled) -> None:
    st.session_state.pop("answered", None)
    try:
        record = record_of(filled)
        with st.spinner("Asking the model"):
            answer = client().predict(record)
    except (ApiError, CrimeGuardError) as error:
        show_error(error)
    else:
        point = (record["lat"], record["lon"]) if "lat" in record else None
        st.session_state["answered"] = Shown(answer, filled.area, point)


def _result() -> None:
    shown: Shown | None = st.session_state.get("answered")
    if shown is None:
        st.subheader("Answer", anchor=False)
        st.caption("The predicted category and its probability appear here.")
        place.show(place.place_map(None, None, ink()), "city", "Map of the police areas.")
        return
    answer = shown.answer
    with st.container(border=True):
        one, two = st.columns([3, 2])
        one.metric("Most likely category", category_name(answer.category))
        two.metric("Calibrated probability", percent(answer.confidence))
        promised = coverage_sentence(coverage(answer.level))
        st.markdown(f"**{set_sentence(answer.prediction_set)}** {promised}")
        st.markdown(f"**Information level: {LEVEL_NAMES[answer.level]}.** "
                    f"{LEVEL_MEANINGS[answer.level]}")  # fmt: skip
        if answer.model is not None:
            st.caption(f"Answered by {plain(answer.model.title)}.")
    st.subheader("Probability of each category", anchor=False)
    bars = chart.probability_bars(answer.probabilities, answer.prediction_set, ink())
    chart.show(bars, "bars")
    st.caption("Blue: in the set above.")
    st.subheader("Place", anchor=False)
    place.show(place.place_map(shown.area, shown.point, ink()), "place", "Map of the place.")
    st.caption("Among the middles of the 21 police areas; no map tiles are loaded.")
