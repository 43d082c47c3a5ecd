"""Our own image, updated while it is asked, and a model that does not come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crimeguard.registry.bundle import Bundle
from tests.delivery.engine import Engine
from tests.delivery.swarm import Rolling, give_images, rolling, write_bundles

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("engine")]


@pytest.fixture(scope="module")
def bundles(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write_bundles(Bundle.load(tiny_bundle), folder)
    return folder


@pytest.fixture(scope="module")
def service(
    engine: Engine, network_engine: Engine, images: dict[str, str], bundles: Path
) -> Iterator[Rolling]:
    give_images(engine, network_engine, images["backend"])
    with rolling(network_engine, images["backend"], bundles) as running:
        yield running


def test_an_update_loses_no_request(service: Rolling, bundles: Path) -> None:
    with service.load() as report:
        assert service.update("--env-add=CRIMEGUARD_BUNDLE=/bundles/v2") == "completed"
    assert report["failures"] == {}, service.said()
    served = {Bundle.load(bundles / version).sha256 for version in ("v1", "v2")}
    assert set(report["models"]) == served
    assert report["requests"] > 200


def test_a_model_that_does_not_load_goes_back_by_itself(service: Rolling, bundles: Path) -> None:
    with service.load() as report:
        state = service.update("--env-add=CRIMEGUARD_BUNDLE=/bundles/damaged")
    assert state == "rollback_completed"
    assert report["failures"] == {}, service.said()
    # It served v2 before this test, or v1 if the first one was left out.
    assert len(report["models"]) == 1
    assert "damaged" in service.said()
