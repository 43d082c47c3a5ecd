"""The console's entry: `streamlit run` starts this file."""

from __future__ import annotations

import streamlit as st

from crimeguard.ui import page_about, page_batch, page_predict
from crimeguard.ui.launch import ASSETS


def main() -> None:
    """Frame the chosen page."""
    st.set_page_config(page_title="CrimeGuard", page_icon=str(ASSETS / "mark.svg"), layout="wide")
    st.logo(str(ASSETS / "logo.svg"), size="large")
    chosen = st.navigation(
        [
            st.Page(page_predict.page, title="Predict", default=True),
            st.Page(page_batch.page, title="Batch", url_path="batch"),
            st.Page(page_about.page, title="About", url_path="about"),
        ],
        position="top",
    )
    chosen.run()


main()
