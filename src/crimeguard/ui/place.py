"""Maps without tiles: places among the middles of the 21 police areas."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pydeck as pdk
import streamlit as st

from crimeguard.domain.codes import area_centroids, area_names
from crimeguard.ui.wording import category_name, count

_GROUND: Final = [138, 151, 165]
_MARK: Final = [61, 127, 184]
_BRIGHT: Final = 150
HEIGHT: Final = 420
# The whole city, in HEIGHT pixels; nearer for one place.
_CITY: Final = pdk.ViewState(latitude=34.02, longitude=-118.41, zoom=8.5)
_NEAR: Final = 9.9
# Where names would lie on one another they stand aside: pixels from the dot.
_ASIDE: Final = {2: (6, -13), 7: (-14, -13), 20: (-10, 14)}
_BELOW: Final = (0, 14)
_BELOW_MARK: Final = (0, 26)
# The names that fit beside one another when the whole city is seen.
_SPARSE: Final = frozenset({1, 5, 6, 8, 9, 14, 16, 17, 18, 21})
# A thousandth of a degree is about one hundred-block; sex offences are told by the
# kilometre only, so that nobody's home is pointed at.
_BLOCK_DIGITS: Final = 3
_COARSE_DIGITS: Final = 2
_COARSE: Final = frozenset({"sex_offense"})
MOST_POINTS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Spot:
    """How many incidents of a category were put at one (rounded) place."""

    latitude: float
    longitude: float
    category: str
    incidents: int


def rounded(latitude: float, longitude: float, category: str) -> tuple[float, float]:
    """Round a place to a hundred-block, or to a kilometre where the category asks for it."""
    digits = _COARSE_DIGITS if category in _COARSE else _BLOCK_DIGITS
    return round(latitude, digits), round(longitude, digits)


def spots(counts: Counter[tuple[float, float, str]], category: str | None = None) -> list[Spot]:
    """Return the busiest places, at most MOST_POINTS, of one category or of all."""
    chosen = Counter(
        {place: many for place, many in counts.items() if category in (None, place[2])}
    )
    return [Spot(*place, many) for place, many in chosen.most_common(MOST_POINTS)]


def place_map(area: int | None, point: tuple[float, float] | None, ink: str) -> Any:
    """Draw one incident: a point, or the middle of its area where no point was given."""
    where = point or (area_centroids().get(area) if area is not None else None)
    if where is None:
        return _deck(_city(ink, _areas(_SPARSE)), _CITY)
    layers = _city(ink, _areas(area_names(), marked=None if point else area))
    mark = {
        "at": [where[1], where[0]],
        "text": "Place of the incident" if point else f"Area {area_names().get(area or 0, '')}",
    }
    layers.insert(
        0,
        pdk.Layer(
            "ScatterplotLayer", data=[mark], get_position="at", get_fill_color=[*_MARK, 230],
            get_line_color=[255, 255, 255], stroked=True, line_width_min_pixels=2,
            get_radius=1, radius_min_pixels=8 if point else 14, pickable=True,
        ),
    )  # fmt: skip
    return _deck(layers, pdk.ViewState(latitude=where[0], longitude=where[1], zoom=_NEAR))


def batch_map(found: Sequence[Spot], ink: str) -> Any:
    """Draw many incidents: one dot a place, larger where there are more."""
    dots = [
        {
            "at": [spot.longitude, spot.latitude],
            "text": f"{category_name(spot.category)}: {count(spot.incidents, 'incident')}",
            "radius": 60 * math.sqrt(spot.incidents),
        }
        for spot in found
    ]
    layers = _city(ink, _areas(_SPARSE))
    layers.insert(
        0,
        pdk.Layer(
            "ScatterplotLayer", data=dots, get_position="at", get_fill_color=[*_MARK, 90],
            get_radius="radius", radius_min_pixels=2, radius_max_pixels=18, pickable=True,
        ),
    )  # fmt: skip
    return _deck(layers, _CITY)


def show(deck: Any, key: str, alt: str) -> None:
    """Put a map on the page, as wide as its column; `alt` says it to those who cannot see."""
    with st.container(border=True):
        st.pydeck_chart(deck, height=HEIGHT, key=key, alt=alt)


def _city(ink: str, rows: list[dict[str, Any]]) -> list[Any]:
    """Return the layers of the ground: a dot for each area, and names in the colour `ink`."""
    colour = [int(ink[at : at + 2], 16) for at in (1, 3, 5)]
    # What lies behind a name is dimmed, so that it reads above a crowd of dots.
    paper = [18, 24, 31, 170] if min(colour) > _BRIGHT else [255, 255, 255, 170]
    return [
        pdk.Layer(
            "ScatterplotLayer", data=rows, get_position="at", get_fill_color=[*_GROUND, 200],
            get_radius=1, radius_min_pixels=3, pickable=True,
        ),
        pdk.Layer(
            "TextLayer", data=rows, get_position="at", get_text="name", get_size=12,
            get_color=colour, get_pixel_offset="offset",
            background=True, get_background_color=paper,
            font_family=pdk.types.String('"Source Sans", sans-serif'),
        ),
    ]  # fmt: skip


def _areas(named: Container[int], marked: int | None = None) -> list[dict[str, Any]]:
    """Return a row for each area; those `named` carry their name, clear of the marked one."""
    rows = []
    for area, (latitude, longitude) in area_centroids().items():
        name = area_names()[area]
        offset = _BELOW_MARK if area == marked else _ASIDE.get(area, _BELOW)
        rows.append({
            "at": [longitude, latitude], "text": f"Area {name}", "offset": list(offset),
            "name": name if area in named else "",
        })  # fmt: skip
    return rows


def _deck(layers: list[Any], view: Any) -> Any:
    # Without a provider no map tile is asked for; `map_style=None` beside it would make
    # Streamlit put a style of its own there, and fetch its tiles.
    return pdk.Deck(
        layers=layers, initial_view_state=view, map_provider=None, tooltip={"text": "{text}"}
    )
