from __future__ import annotations

from collections.abc import Sequence

import pytest

from crimeguard.domain.errors import BundleError
from crimeguard.domain.incident import Incident
from crimeguard.domain.prediction import Prediction
from crimeguard.features.columns import Columns, Floats
from crimeguard.serve.warm import warm
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
