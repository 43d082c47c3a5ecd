from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from crimeguard.domain.errors import BundleError
from crimeguard.domain.incident import Incident
from crimeguard.domain.prediction import Prediction
from crimeguard.features.columns import Columns, Floats
from crimeguard.serve.warm import ready, warm
from tests.serve.fakes import FakePredictor


class Lopsided(FakePredictor):
    def predict_columns(self, columns: Columns) -> Floats:
        return super().predict_columns(columns) * 0.9


class NotANumber(FakePredictor):
    def predict_columns(self, columns: Columns) -> Floats:
        return super().predict_columns(columns) * float("nan")


class Narrow(FakePredictor):
    def predict_columns(self, columns: Columns) -> Floats:
        return super().predict_columns(columns)[:, :14]


class TwoFaced(FakePredictor):
    def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
        return super().predict(incidents[::-1])


def test_a_sound_predictor_passes() -> None:
    warm(FakePredictor())


@pytest.mark.parametrize("kind", [Lopsided, NotANumber, TwoFaced])
def test_senseless_answers_are_refused(kind: type[FakePredictor]) -> None:
    with pytest.raises(BundleError):
        warm(kind())


def test_another_number_of_categories_is_refused() -> None:
    class Both(Narrow):
        def predict(self, incidents: Sequence[Incident]) -> list[Prediction]:
            return FakePredictor().predict(incidents)

    with pytest.raises(BundleError):
        warm(Both())


def test_what_was_loaded_has_answered(tmp_path: Path) -> None:
    predictor = FakePredictor()
    assert ready(tmp_path, lambda _: predictor) is predictor


def test_whatever_goes_wrong_on_the_way_is_a_refusal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(folder: Path) -> FakePredictor:
        raise KeyError(folder)

    with pytest.raises(BundleError, match="cannot be loaded") as refused:
        ready(tmp_path, breaks)
    assert refused.value.why == "KeyError."
    assert str(tmp_path) not in str(refused.value)
    assert "could not be loaded" in caplog.text
    with pytest.raises(BundleError, match="does not answer as it should"):
        ready(tmp_path, lambda _: Lopsided())
