from __future__ import annotations

import time

import pytest

from crimeguard.serve.problem import NO_MODEL, Problem
from crimeguard.serve.slot import Slot, model_info
from tests.serve.fakes import FakeBundle, FakePredictor


def test_an_empty_slot_refuses_and_says_when_to_ask_again() -> None:
    with pytest.raises(Problem) as caught:
        Slot().require()
    assert caught.value.kind is NO_MODEL
    assert int(caught.value.headers["Retry-After"]) > 0


def test_a_swap_leaves_alone_what_was_taken_before() -> None:
    slot = Slot(FakePredictor("1"))
    taken = slot.require()
    slot.swap(FakePredictor("2"))
    assert taken.bundle.version == "1"
    assert slot.require().bundle.version == "2"


def test_it_tells_since_when() -> None:
    assert Slot().since is None
    before = time.time()
    slot = Slot(FakePredictor("1"))
    first = slot.since
    slot.swap(FakePredictor("2"))
    second = slot.since
    assert first is not None
    assert second is not None
    assert before <= first <= second <= time.time()


def test_model_info_names_the_bundle() -> None:
    info = model_info(FakeBundle("7"))
    assert info == {"name": "crimeguard", "version": "7", "sha256": "7".zfill(64)}
