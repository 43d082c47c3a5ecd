from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crimeguard.domain.errors import BundleError, GateRefusedError, RegistryError
from crimeguard.pipeline import Trained
from crimeguard.registry.bundle import write_bundle
from crimeguard.registry.life import promote_version
from crimeguard.registry.store import PRODUCTION, STAGING, Registry, Run
from crimeguard.settings import Settings


@pytest.fixture
def registry(home: Callable[[], Settings]) -> Registry:
    settings = home()
    return Registry(settings.tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")


def register(
    registry: Registry, trained: Trained, folder: Path, change: Callable[[dict[str, Any]], None]
) -> str:
    card = json.loads(json.dumps(trained.bundle.card))
    change(card)
    bundle = write_bundle(trained.bundle.model, folder, card=card, golden=trained.bundle.golden)
    return registry.register(bundle, Run({}, {}, {}))


def test_what_is_in_staging_goes_to_production(
    registry: Registry, trained: Trained, tmp_path: Path
) -> None:
    register(registry, trained, tmp_path / "b", lambda card: card.update(note="second"))
    assert promote_version(registry, tmp_path / "b") == ("2", "1")
    assert registry.version_of(PRODUCTION) == "2"
    assert registry.version_of(STAGING) is None


def test_an_older_version_can_be_named(
    registry: Registry, trained: Trained, tmp_path: Path
) -> None:
    register(registry, trained, tmp_path / "b", lambda card: card.update(note="second"))
    promote_version(registry, tmp_path / "b")
    assert promote_version(registry, tmp_path / "b", "1") == ("1", "2")
    assert registry.version_of(PRODUCTION) == "1"


def set_figure(level: str, name: str, value: float | None) -> Callable[[dict[str, Any]], None]:
    return lambda card: card["levels"][level].update({name: value})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (set_figure("call", "ece", 0.9), "calibration error at call"),
        (set_figure("report", "macro_roc_auc", 0.2), "macro ROC-AUC"),
        (set_figure("report", "macro_roc_auc", None), "macro ROC-AUC"),
        (set_figure("victim", "coverage", 0.1), "conformal coverage at victim"),
        (set_figure("victim", "log_loss", 9.0), "log-loss"),
        (lambda card: card["tested"].update(rows=3), "rows in the hold-out"),
        (lambda card: card["levels"].pop("call"), "levels scored"),
    ],
)
def test_a_version_that_fails_a_check_stays_where_it_is(
    registry: Registry, trained: Trained, tmp_path: Path,
    change: Callable[[dict[str, Any]], None], named: str,
) -> None:  # fmt: skip
    version = register(registry, trained, tmp_path / "b", change)
    with pytest.raises(GateRefusedError) as caught:
        promote_version(registry, tmp_path / "b")
    assert named in caught.value.why
    assert registry.version_of(PRODUCTION) == "1"
    assert registry.version_of(STAGING) == version


def test_a_version_that_does_not_answer_its_golden_rows_stays_where_it_is(
    registry: Registry, trained: Trained, tmp_path: Path
) -> None:
    golden = json.loads(json.dumps(trained.bundle.golden))
    golden["probabilities"][0] = [1 / 15] * 15
    bundle = write_bundle(trained.bundle.model, tmp_path / "b", card=trained.bundle.card,
                          golden=golden)  # fmt: skip
    registry.register(bundle, Run({}, {}, {}))
    with pytest.raises(BundleError, match="golden rows"):
        promote_version(registry, tmp_path / "b")
    assert registry.version_of(PRODUCTION) == "1"


def test_nothing_in_staging(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no version in staging"):
        promote_version(registry, tmp_path)
    with pytest.raises(RegistryError, match="no version 9"):
        promote_version(registry, tmp_path, "9")
    assert registry.version_of(PRODUCTION) == "1"
