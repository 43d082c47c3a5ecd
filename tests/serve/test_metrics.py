from __future__ import annotations

import contextlib
import itertools

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.serve.app import create_app
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import BrokenPredictor, Client, FakePredictor


def samples(client: Client | httpx.Client) -> dict[tuple[str, ...], float]:
    """Read all samples as {(name, sorted label values...): value}."""
    text = client.get("/metrics").text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_method_route_and_status(client: Client) -> None:
    client.post("/predict", json=NAMES_EXAMPLE)
    client.post("/predict", json={})
    client.get("/predict")
    found = samples(client)
    assert found["crimeguard_http_requests_total", "POST", "/predict", "200"] == 1
    assert found["crimeguard_http_requests_total", "POST", "/predict", "422"] == 1
    assert found["crimeguard_http_requests_total", "GET", "/predict", "405"] == 1
    assert found["crimeguard_http_request_seconds_count", "/predict"] == 3


def test_a_stranger_makes_no_new_series(client: Client) -> None:
    for place in range(5):
        client.get(f"/guess/{place}")
        client.request(f"VERB{place}", "/livez")
    found = samples(client)
    assert found["crimeguard_http_requests_total", "GET", "unmatched", "404"] == 5
    assert found["crimeguard_http_requests_total", "other", "/livez", "405"] == 5


def test_predictions_are_counted_by_category_and_level(client: Client) -> None:
    client.post("/predict", json={"date_occ": "2023-01-01", "area": 3})
    client.post("/predict/batch", json=[{"date_occ": "2023-01-01", "area": 3}] * 4)
    found = samples(client)
    assert found["crimeguard_predictions_total", "theft", "call", "champion"] == 5
    assert found["crimeguard_batch_rows_sum",] == 4


def test_answers_and_failures_of_the_main_routes_begin_at_0(client: Client) -> None:
    found = samples(client)
    for route in ("/predict", "/predict/batch", "/labels"):
        for status in ("200", "500", "503"):
            assert found["crimeguard_http_requests_total", "POST", route, status] == 0
        assert found["crimeguard_http_request_seconds_count", route] == 0


def test_every_series_of_predictions_begins_at_0(client: Client) -> None:
    found = {key: n for key, n in samples(client).items() if key[0].startswith("crimeguard_pred")}
    assert len(found) == len(CATEGORIES) * len(InformationLevel)
    assert set(found.values()) == {0.0}


def test_predictions_are_counted_by_variant(client: Client, app: FastAPI) -> None:
    app.state.service.metrics.count_predictions("theft", "call", 2, variant="challenger")
    found = samples(client)
    assert found["crimeguard_predictions_total", "theft", "call", "challenger"] == 2
    assert found["crimeguard_predictions_total", "theft", "call", "champion"] == 0


def test_single_predictions_fall_into_many_buckets(client: Client) -> None:
    client.post("/predict", json=NAMES_EXAMPLE)
    bounds = {float(key[1]) for key in samples(client) if key[0].endswith("request_seconds_bucket")}
    # A quantile is right to the width of a bucket: within 1 to 50 ms no more than a half above.
    inside = sorted(bound for bound in bounds if 0.002 <= bound <= 0.05)
    assert len(inside) >= 8
    assert all(b <= 1.7 * a for a, b in itertools.pairwise(inside))


def test_requests_in_progress_are_counted_until_they_end(settings: Settings) -> None:
    app = create_app(settings, Slot(BrokenPredictor()))
    client = Client(app)
    with contextlib.suppress(RuntimeError):
        client.post("/predict", json=NAMES_EXAMPLE)
    found = samples(client)
    app.state.service.close()
    assert found["crimeguard_http_requests_in_progress",] == 1  # the one that asks
    assert found["crimeguard_http_requests_total", "POST", "/predict", "500"] == 1


def test_the_process_is_measured_and_its_garbage_is_not(client: Client) -> None:
    found = samples(client)
    assert found["process_resident_memory_bytes",] > 1e6
    assert found["process_open_fds",] > 1
    assert {key[0] for key in found if key[0].startswith("python_")} == {"python_info"}


def test_the_bundle_in_service_is_named_and_only_that_one(client: Client, slot: Slot) -> None:
    slot.swap(FakePredictor("2"))
    bundles = [key for key in samples(client) if key[0] == "crimeguard_bundle_info"]
    assert bundles == [("crimeguard_bundle_info", "crimeguard", "2".zfill(64), "2")]


def test_without_a_model_it_is_not_ready(settings: Settings) -> None:
    app = create_app(settings, Slot())
    found = samples(Client(app))
    app.state.service.close()
    assert found["crimeguard_ready",] == 0


def test_apps_count_apart(client: Client, settings: Settings) -> None:
    client.post("/predict", json=NAMES_EXAMPLE)
    other = create_app(settings, Slot(FakePredictor()))
    found = samples(Client(other))
    other.state.service.close()
    assert found["crimeguard_http_requests_total", "POST", "/predict", "200"] == 0
