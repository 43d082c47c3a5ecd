import json
from collections import Counter
from typing import Any

import pytest

from crimeguard.domain.codes import area_centroids
from crimeguard.ui import place

INK = "#3a4755"


def drawn(deck: Any) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(deck.to_json())
    return whole


@pytest.mark.parametrize(
    ("category", "rounded"),
    [("theft", (34.052, -118.244)), ("sex_offense", (34.05, -118.24))],
)
def test_a_place_is_told_no_finer_than_it_may_be(
    category: str, rounded: tuple[float, float]
) -> None:
    assert place.rounded(34.05163, -118.24371, category) == rounded


def test_the_busiest_places_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counter({(34.1, -118.3, "theft"): 5, (34.2, -118.3, "robbery"): 7,
                      (34.3, -118.3, "theft"): 1})  # fmt: skip
    assert [spot.incidents for spot in place.spots(counts)] == [7, 5, 1]
    assert [spot.incidents for spot in place.spots(counts, "theft")] == [5, 1]
    monkeypatch.setattr(place, "MOST_POINTS", 1)
    assert [spot.category for spot in place.spots(counts)] == ["robbery"]


def test_a_point_is_marked_where_it_is() -> None:
    deck = drawn(place.place_map(6, (34.1, -118.32), INK))
    assert deck["layers"][0]["data"][0]["at"] == [-118.32, 34.1]
    assert deck["initialViewState"]["latitude"] == 34.1


def test_an_area_is_marked_at_its_middle() -> None:
    deck = drawn(place.place_map(6, None, INK))
    latitude, longitude = area_centroids()[6]
    assert deck["layers"][0]["data"][0]["at"] == [longitude, latitude]


def test_every_area_is_on_the_ground() -> None:
    ground = drawn(place.place_map(6, None, INK))["layers"][1]["data"]
    assert len(ground) == 21
    assert all(row["name"] for row in ground)


@pytest.mark.parametrize("deck", [place.place_map(None, None, INK), place.batch_map([], INK)])
def test_no_map_asks_for_tiles(deck: Any) -> None:
    whole = drawn(deck)
    assert "mapProvider" not in whole
    # Streamlit puts a style of its own, with tiles, where it finds none at all.
    assert whole["mapStyle"] == "__MAP_STYLE__"
