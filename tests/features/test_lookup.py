from __future__ import annotations

import numpy as np
import pytest

from crimeguard.features.columns import Ints
from crimeguard.features.lookup import Lookup


def random_keys(count: int, *, most: int = 2**53, seed: int = 0) -> Ints:
    return np.unique(np.random.default_rng(seed).integers(0, most, count))


@pytest.mark.parametrize("count", [1, 2, 3, 100, 20_000])
def test_every_key_is_found_where_it_stands(count: int) -> None:
    keys = random_keys(count)
    place, known = Lookup.of(keys).find(keys)
    assert known.all()
    assert place.tolist() == list(range(len(keys)))


def test_what_is_not_in_the_vocabulary_is_not_known() -> None:
    keys = random_keys(5_000, most=20_000)
    asked = np.arange(-5, 25_000)
    place, known = Lookup.of(keys).find(asked)
    assert np.array_equal(known, np.isin(asked, keys))
    assert np.array_equal(keys[place[known]], asked[known])


def test_keys_that_stand_in_rows_are_told_apart() -> None:
    blocks = np.arange(40)[:, None] << 46
    keys = (blocks + np.arange(500)).ravel()
    place, known = Lookup.of(keys).find(keys[::-1])
    assert known.all()
    assert np.array_equal(place, np.arange(len(keys))[::-1])
    assert not Lookup.of(keys).find(keys + 500)[1][-1]


def test_nothing_asked_is_nothing_found() -> None:
    place, known = Lookup.of(random_keys(10)).find(np.zeros(0, np.int64))
    assert len(place) == len(known) == 0


@pytest.mark.parametrize("keys", [[], [3, 3], [5, 4], [1, 2, 2, 3]])
def test_keys_that_do_not_ascend_are_refused(keys: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        Lookup.of(np.array(keys, np.int64))
