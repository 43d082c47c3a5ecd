from pathlib import Path

import numpy as np
import pytest

from crimeguard.features.columns import Ints
from crimeguard.features.cross import TEMPLATES
from crimeguard.features.featurizer import Features
from crimeguard.train.fit import take
from crimeguard.train.linear import CLASSES
from crimeguard.train.neural import NeuralMember, fit_neural, plain_rows
from crimeguard.train.params import NeuralParams
from crimeguard.train.pool import log_softmax

PARAMS = NeuralParams(units=16, epochs=8, batch=32, learning_rate=0.01, seeds=2)
SINGLE = next(i for i, (_, names) in enumerate(TEMPLATES) if len(names) == 1)
CROSS = next(i for i, (_, names) in enumerate(TEMPLATES) if len(names) == 2)
BLOCK = (1 << 46) * 3


def vocabulary(plain: int, crossed: int) -> Ints:
    keys = [SINGLE * BLOCK + n for n in range(plain)] + [CROSS * BLOCK + n for n in range(crossed)]
    return np.array(keys, np.int64)


def one_hots(places: Ints) -> Features:
    """One active key an incident."""
    rows = len(places)
    return Features(np.zeros((rows, 1), np.float32), np.arange(rows + 1), places)


def told_by_keys(rows: int = 600) -> tuple[Features, Ints]:
    places = np.random.default_rng(0).integers(0, 6, rows)
    return one_hots(places), places % 3


def test_only_plain_keys_have_rows() -> None:
    rows = plain_rows(vocabulary(4, 3))
    assert rows.tolist() == [0, 1, 2, 3, -1, -1, -1]


def test_it_learns_what_a_plain_key_says() -> None:
    features, target = told_by_keys()
    member = fit_neural(features, vocabulary(6, 2), target, PARAMS, seed=1)
    probabilities = np.exp(log_softmax(member.scores(features)))
    assert (probabilities.argmax(axis=1) == target).all()
    assert probabilities[np.arange(len(target)), target].mean() > 0.9


def test_crosses_say_nothing_to_it() -> None:
    features, target = told_by_keys()
    member = fit_neural(features, vocabulary(6, 2), target, PARAMS, seed=1)
    scores = member.scores(one_hots(np.array([6, 7])))
    assert np.array_equal(scores[0], scores[1])


def test_categories_that_did_not_occur_never_win() -> None:
    features, target = told_by_keys()
    member = fit_neural(features, vocabulary(6, 0), target + 5, PARAMS, seed=1)
    scores = member.scores(features)
    assert scores.shape == (len(target), CLASSES)
    assert set(scores.argmax(axis=1)) == {5, 6, 7}


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    features, target = told_by_keys(200)
    one, same, other = (
        fit_neural(features, vocabulary(6, 0), target, PARAMS, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.hidden, same.hidden)
    assert not np.array_equal(one.hidden, other.hidden)


def test_seeds_are_averaged() -> None:
    features, target = told_by_keys(200)
    both = fit_neural(features, vocabulary(6, 0), target, PARAMS, seed=1)
    alone = [
        fit_neural(
            features, vocabulary(6, 0), target,
            NeuralParams(units=16, epochs=8, batch=32, learning_rate=0.01, seeds=1), seed=seed,
        ).scores(features)
        for seed in (1, 2)
    ]  # fmt: skip
    assert np.allclose(both.scores(features), (alone[0] + alone[1]) / 2, atol=1e-4)


def test_alone_and_in_a_batch_the_answer_is_the_same_to_the_last_bit() -> None:
    features, target = told_by_keys()
    member = fit_neural(features, vocabulary(6, 0), target, PARAMS, seed=1)
    batch = member.scores(features)
    for size in (1, 2, 3, 7, 8, 64):
        for start in range(0, min(600 - size, 40 * size), size):
            part = member.scores(take(features, np.arange(start, start + size)))
            assert part.tobytes() == batch[start : start + size].tobytes()


def test_it_is_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    features, target = told_by_keys(200)
    member = fit_neural(features, vocabulary(6, 0), target, PARAMS, seed=1)
    member.save(tmp_path / "neural.npz")
    loaded = NeuralMember.load(tmp_path / "neural.npz")
    assert np.array_equal(loaded.scores(features), member.scores(features))


def test_arrays_of_objects_are_not_loaded(tmp_path: Path) -> None:
    arrays = dict.fromkeys(NeuralMember.__slots__, np.array([{}], object))
    np.savez(tmp_path / "neural.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="allow_pickle"):
        NeuralMember.load(tmp_path / "neural.npz")
