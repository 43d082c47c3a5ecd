"""The charts: plain horizontal bars that read in light and dark alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

# Streamlit imports pandas in a thread of its own, and Plotly looks at it half imported
# (AttributeError: no attribute 'Series'). This import waits until it is whole.
import pandas  # noqa: F401, ICN001
import plotly.graph_objects as go
import streamlit as st

from crimeguard.ui.wording import category_name, count, percent

# Legible on both backgrounds (contrast above 3:1 on white and on the dark ground).
ACCENT: Final = "#3d7fb8"
QUIET: Final = "#8a97a5"
_BAR_HEIGHT: Final = 27


def probability_bars(probabilities: Mapping[str, float], likely: Collection[str], ink: str) -> Any:
    """Draw all categories, most probable on top; those in `likely` stand out.

    `ink` is the colour of the words.
    """
    ranked = sorted(probabilities.items(), key=lambda item: item[1])
    return _bars(
        [category_name(name) for name, _ in ranked],
        [share * 100 for _, share in ranked],
        [percent(share) for _, share in ranked],
        [ACCENT if name in likely else QUIET for name, _ in ranked],
        "%{y}: %{text}",
        ink,
    )


def count_bars(counts: Mapping[str, int], ink: str) -> Any:
    """Draw how many incidents were put into each category, most on top."""
    ranked = sorted(counts.items(), key=lambda item: item[1])
    total = sum(counts.values())
    return _bars(
        [category_name(name) for name, _ in ranked],
        [float(number) for _, number in ranked],
        [f"{number:,} ({percent(number / total)})" for _, number in ranked],
        [ACCENT] * len(ranked),
        "%{y}: %{text} of " + count(total, "incident"),
        ink,
    )


def show(figure: Any, key: str) -> None:
    """Put a chart on the page, as wide as its column."""
    st.plotly_chart(figure, key=key, config={"displayModeBar": False, "responsive": True})


def _bars(
    names: list[str],
    values: list[float],
    texts: list[str],
    colours: list[str],
    hover: str,
    ink: str,
) -> Any:
    figure = go.Figure(
        go.Bar(
            x=values, y=names, text=texts, orientation="h", marker_color=colours,
            textposition="outside", cliponaxis=False, hovertemplate=hover + "<extra></extra>",
            textfont={"color": ink, "size": 13},
        )
    )  # fmt: skip
    figure.update_layout(
        height=_BAR_HEIGHT * len(names) + 16, margin={"l": 0, "r": 0, "t": 4, "b": 4},
        bargap=0.32, dragmode=False, showlegend=False,
    )  # fmt: skip
    # Room to the right of the longest bar for its figure, on a narrow screen too.
    widest = max(len(text) for text in texts)
    room = min(0.035 * widest, 0.6)
    figure.update_xaxes(visible=False, fixedrange=True, range=[0, max(values) / (1 - room)])
    figure.update_yaxes(automargin=True, fixedrange=True, showgrid=False, ticksuffix="  ",
                        tickfont={"color": ink, "size": 13})  # fmt: skip
    return figure
