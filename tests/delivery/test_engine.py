"""The engine that other tests stand on is held to what it promises."""

import os

import pytest

from tests.delivery.conftest import Registry
from tests.delivery.engine import BASE, Engine, UnavailableError, open_engine

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]


def test_the_base_image_runs_python(engine: Engine, base_image: str) -> None:
    said = engine.docker("run", "--rm", "--network", "host", base_image, "python", "-c",
                         "import sys; print(sys.version_info[:2])")  # fmt: skip
    assert said.stdout.strip() == "(3, 11)"


def test_an_image_goes_from_one_engine_to_another(
    engine: Engine, network_engine: Engine, base_image: str
) -> None:
    engine.give(base_image, network_engine)
    assert network_engine.identity(BASE) == engine.identity(BASE)


def test_the_registry_wants_its_password(
    engine: Engine, base_image: str, registry: Registry
) -> None:
    target = f"{registry.address}/base:one"
    engine.docker("tag", base_image, target)
    refused = engine.docker("push", target, check=False)
    assert refused.returncode != 0
    engine.docker("login", registry.address, "--username", registry.user, "--password-stdin",
                  text=registry.password)  # fmt: skip
    engine.docker("push", target)
    engine.docker("logout", registry.address)


def test_an_engine_that_does_not_answer_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRIMEGUARD_TEST_ENGINE", "tcp://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="does not answer"), open_engine(network=False):
        pass


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="only with several workers")
def test_one_worker_runs_all_that_needs_an_engine(request: pytest.FixtureRequest) -> None:
    """Otherwise each would start engines and build images of its own."""
    assert request.node.nodeid.endswith("@engine")
