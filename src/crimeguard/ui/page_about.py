"""The About page: the model card in readable form, and what the product is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from crimeguard.ui.card import PROSE, Section, sections
from crimeguard.ui.client import ApiError
from crimeguard.ui.shell import card, heading, plain, show_error, table

_TITLES: Final = {"intended_use": "Intended use", "not_for": "Not to be used for",
                  "limits": "Limits"}  # fmt: skip


def page() -> None:
    """Draw the page."""
    answers = heading(
        "About",
        "CrimeGuard predicts the category of one reported incident, with a calibrated "
        "probability for each of 15 categories. **It never ranks places or people**, and has no "
        "function that could. A prediction is a probability: not a finding, and no evidence.",
    )
    try:
        shown = card()
    except ApiError as error:
        # A service that is down has been spoken of at the top of the page.
        if answers:
            show_error(error)
        return
    _prose(shown.card)
    st.header("Model card", anchor=False)
    st.markdown(f"{plain(shown.model.title)}. Every figure was measured on incidents later than "
                "those that it was trained on.")  # fmt: skip
    found = sections(shown.card)
    for section in found:
        if not section.detail:
            _draw(section)
    details = [section for section in found if section.detail]
    if details:
        with st.expander("Parameters of the training"):
            for section in details:
                _draw(section)


def _prose(text: Mapping[str, Any]) -> None:
    stated = [name for name in PROSE if name in text]
    for column, name in zip(st.columns(len(stated), gap="large") if stated else [], stated,
                            strict=True):  # fmt: skip
        with column:
            st.subheader(_TITLES[name], anchor=False)
            st.markdown(plain(str(text[name])))


def _draw(section: Section) -> None:
    st.subheader(section.title, anchor=False)
    if not section.columns:
        table({name: value for name, value, *_ in section.rows})
        return
    head, *rows = ([plain(text) for text in line] for line in (section.columns, *section.rows))
    st.table([dict(zip(head, row, strict=True)) for row in rows], border="horizontal",
             width="content", hide_index=True)  # fmt: skip
