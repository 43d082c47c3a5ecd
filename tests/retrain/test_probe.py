from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import UsageError
from crimeguard.pipeline import Trained
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.golden import RECORDS
from crimeguard.retrain.probe import Probe, is_running, probe, require_admitted
from crimeguard.serve.app import create_app
from crimeguard.serve.keys import Scope, make_key
from crimeguard.serve.predictor import Predictor
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.retrain.api import (
    Clock,
    Failing,
    NotNumbers,
    OneTooMany,
    OtherCategory,
    Rounded,
    Scaled,
    Shifted,
    Unlike,
    listening,
    serving,
    watching,
)

LONG, SHORT = 20.0, 0.3
LOOKS = 4


@pytest.fixture(scope="module")
def old(trained: Trained) -> Bundle:
    return trained.bundle


@pytest.fixture(scope="module")
def new(old: Bundle) -> Bundle:
    """Another bundle that answers the same."""
    return replace(old, sha256="f" * 64)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address of this machine that nobody listens at."""
    with socket.socket() as holder:
        # Bound, so that no other test gets it, and not listening.
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


def failed(result: Probe, *words: str) -> None:
    assert not result.passed
    for word in words:
        assert word in result.why
    assert "secret" not in result.why


def test_a_bundle_without_an_api_is_asked_for_its_golden_rows(new: Bundle) -> None:
    result = probe(new, None, SHORT)
    assert result.passed
    assert result.checks == [
        f"{len(RECORDS)} golden rows answered from the bundle", "no API is named: nothing to ask",
    ]  # fmt: skip
    assert json.loads(json.dumps(result.to_dict())) == {
        "passed": True, "checks": result.checks, "why": "",
    }  # fmt: skip


def test_a_bundle_that_answers_otherwise_fails_before_any_api(new: Bundle, nobody: str) -> None:
    golden = json.loads(json.dumps(new.golden))
    golden["probabilities"][2][3] += 0.01
    result = probe(replace(new, golden=golden), nobody, SHORT)
    failed(result, "golden rows")
    assert result.checks == []


def test_a_bundle_whose_golden_answers_are_no_distribution_fails(new: Bundle) -> None:
    class Twice:
        def probabilities(self, columns: Any) -> Any:
            return 2 * new.model.probabilities(columns)

    golden = {**new.golden, "probabilities": (2 * np.array(new.golden["probabilities"])).tolist()}
    result = probe(replace(new, golden=golden, model=Twice()), None, SHORT)  # type: ignore[arg-type]
    failed(result, "from the bundle do not sum to 1")


def test_an_api_that_serves_the_bundle_passes(new: Bundle, tmp_path: Path) -> None:
    with serving(Slot(Predictor(new)), tmp_path) as url:
        assert is_running(url)
        # An address may end in a slash.
        result = probe(new, f"{url}/", LONG)
    assert result.passed, result.why
    assert [text.partition(" after ")[0] for text in result.checks[1:]] == [
        f"{url} serves {new.version}", f"{len(RECORDS)} golden rows answered by {url}",
    ]  # fmt: skip


@pytest.mark.parametrize("before", [True, False])
def test_it_waits_until_the_api_has_changed_over(
    old: Bundle, new: Bundle, tmp_path: Path, before: bool
) -> None:
    slot = Slot(Predictor(old)) if before else Slot()  # or had no model at all

    def asked(paths: list[str]) -> None:
        if paths.count("/health") == LOOKS:
            slot.swap(Predictor(new))

    with watching(slot, tmp_path, asked) as (url, paths):
        result = probe(new, url, LONG)
    assert result.passed, result.why
    assert paths == ["/health"] * LOOKS + ["/predict"] * len(RECORDS)


def test_a_rounding_error_passes(new: Bundle, tmp_path: Path) -> None:
    with serving(Slot(Rounded(new)), tmp_path) as url:
        assert probe(new, url, LONG).passed


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Shifted, "differs by 0.0002 from the bundle's"),
        (Unlike, "from the bundle's"),
        (OtherCategory, "not its most probable category"),
        (Scaled, "do not sum to 1"),
        (NotNumbers, "is no number"),
        (OneTooMany, "not those of the 15 categories"),
        (Failing, "answered /predict with HTTP 500"),
    ],
)
def test_wrong_answers_fail_at_once(
    new: Bundle, tmp_path: Path, wrong: Callable[[Bundle], Predictor], why: str
) -> None:
    with watching(Slot(wrong(new)), tmp_path) as (url, paths):
        result = probe(new, url, LONG)
    failed(result, why, url)
    assert 1 <= paths.count("/predict") <= len(RECORDS)  # nothing is asked again
    assert len(result.checks) == 2


def test_an_api_that_stays_at_the_old_version_fails(
    old: Bundle, new: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("crimeguard.retrain.probe.time", clock)
    with watching(Slot(Predictor(old)), tmp_path) as (url, paths):
        result = probe(new, url, LONG)
    assert clock.slept >= LOOKS
    # Once to see whether anybody is there, then before and after every pause until the end.
    assert paths == ["/health"] * (clock.slept + 2)
    assert LONG <= clock.now < LONG + clock.now / clock.slept
    failed(result, f"still served {old.version} and not {new.version} when the time was up")


def test_an_api_that_never_gets_a_model_fails(new: Bundle, tmp_path: Path) -> None:
    with serving(Slot(), tmp_path) as url:
        failed(probe(new, url, SHORT), f"still served nothing and not {new.version}")


def test_an_api_that_is_not_there_has_nothing_to_be_asked(new: Bundle, nobody: str) -> None:
    assert not is_running(nobody)
    result = probe(new, nobody, LONG)
    assert result.passed
    assert result.checks[1:] == [f"the API at {nobody} is not running: nothing to ask"]


def test_an_api_that_was_there_before_must_still_be(new: Bundle, nobody: str) -> None:
    result = probe(new, nobody, SHORT, was_running=True)
    failed(result, f"{nobody} could not be asked (ConnectError) when the time was up")


def test_an_api_that_was_there_before_and_is_now_passes(new: Bundle, tmp_path: Path) -> None:
    with serving(Slot(Predictor(new)), tmp_path) as url:
        assert probe(new, url, LONG, was_running=True).passed


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("127.0.0.1:5000", "http:// or https://"),
        ("http://127.0.0.1:port", "not a URL"),
        ("http://nowhere.invalid:5000", "could not be asked"),
        ("http://me:secret@nowhere.invalid", "could not be asked"),
    ],
)
def test_an_address_that_leads_nowhere_fails(new: Bundle, url: str, why: str) -> None:
    assert not is_running(url)
    failed(probe(new, url, SHORT), why)


def app(health: Callable[[], Response], predict: Callable[[], Response]) -> Starlette:
    async def get(_: Request) -> Response:
        return health()

    async def post(_: Request) -> Response:
        return predict()

    return Starlette(routes=[Route("/health", get), Route("/predict", post, methods=["POST"])])


def text(status: int = 200) -> Callable[[], Response]:
    return lambda: PlainTextResponse("secret words", status_code=status)


def named(bundle: Bundle) -> Callable[[], Response]:
    return lambda: JSONResponse({"model_info": {"sha256": bundle.sha256}})


@pytest.mark.parametrize(
    ("health", "why"),
    [
        (text(500), "answered /health with HTTP 500"),
        (text(301), "answered /health with HTTP 301"),
        (text(), "does not speak like CrimeGuard"),
        (lambda: JSONResponse([1]), "does not speak like CrimeGuard"),
        (lambda: JSONResponse({"model_info": "x"}), "still served nothing"),
    ],
)
def test_something_else_at_the_address_fails(
    new: Bundle, health: Callable[[], Response], why: str
) -> None:
    with listening(app(health, text())) as url:
        assert is_running(url)
        failed(probe(new, url, SHORT), why, "when the time was up")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "answered /predict with HTTP 401."),
        (422, "answered /predict with HTTP 422."),
        (503, "answered /predict with HTTP 503 when the time was up"),
        (429, "answered /predict with HTTP 429 when the time was up"),
    ],
)
def test_refusals_fail_those_that_pass_after_a_while(new: Bundle, status: int, why: str) -> None:
    with listening(app(named(new), text(status))) as url:
        failed(probe(new, url, SHORT), why)


def test_answers_of_another_version_behind_the_same_address_fail(old: Bundle, new: Bundle) -> None:
    with listening(app(named(new), named(old))) as url:
        failed(probe(new, url, SHORT), f"still served {old.version} and not {new.version}")


def test_an_api_that_is_busy_for_a_moment_passes(new: Bundle) -> None:
    refusals = iter(range(3))
    golden = iter(new.golden["probabilities"])

    def predict() -> Response:
        if next(refusals, None) is not None:
            return text(503)()
        row = next(golden)
        best = CATEGORIES[int(np.argmax(row))]
        table = dict(zip(CATEGORIES, row, strict=True))
        info = {"sha256": new.sha256}
        return JSONResponse({"model_info": info, "prediction": best, "probabilities": table})

    with listening(app(named(new), predict)) as url:
        result = probe(new, url, LONG)
    assert result.passed, result.why


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_probability_that_is_not_finite_fails(new: Bundle, value: float) -> None:
    said = {
        "model_info": {"sha256": new.sha256}, "prediction": CATEGORIES[0],
        "probabilities": {**dict.fromkeys(CATEGORIES, 0.0), CATEGORIES[0]: value},
    }  # fmt: skip
    page = json.dumps(said)  # as JavaScript would never write it
    with listening(app(named(new), lambda: Response(page, media_type="application/json"))) as url:
        failed(probe(new, url, LONG), "is not finite")


def test_an_api_that_does_not_answer_in_time_fails(
    new: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crimeguard.retrain.probe._ONE_REQUEST", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert is_running(url)
        failed(probe(new, url, SHORT), "could not be asked (ReadTimeout)")


def test_a_probe_shows_its_key(trained: Trained, tmp_path: Path) -> None:
    secret, key = make_key("retrain", [Scope.PREDICT])
    settings = Settings(home=tmp_path, api_keys=key.entry())
    with listening(create_app(settings, Slot(Predictor(trained.bundle)))) as url:
        assert probe(trained.bundle, url, LONG, headers={"X-API-Key": secret}).passed
        failed(probe(trained.bundle, url, SHORT), "HTTP 401")
        assert is_running(url)


@pytest.mark.parametrize("scope", [None, Scope.LABEL])
def test_without_a_key_that_fits_nothing_is_begun(scope: Scope | None, tmp_path: Path) -> None:
    made = {item: make_key(item.value, [item]) for item in Scope}
    settings = Settings(home=tmp_path, api_keys=",".join(key.entry() for _, key in made.values()))
    headers = None if scope is None else {"X-API-Key": made[scope][0]}
    with listening(create_app(settings, Slot())) as url:
        with pytest.raises(UsageError, match="does not let the probe ask"):
            require_admitted(url, headers)
        # No model yet is no matter of keys.
        require_admitted(url, {"X-API-Key": made[Scope.PREDICT][0]})


def test_an_api_that_does_not_answer_asks_for_no_key(nobody: str) -> None:
    for url in (nobody, "nonsense", "http://[::1"):
        require_admitted(url, None)
