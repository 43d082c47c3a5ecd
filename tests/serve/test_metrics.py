from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from crimeguard.serve.app import create_app
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor


def samples(client: Client) -> dict[tuple[str, ...], float]:
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
    assert found["crimeguard_predictions_total", "theft", "call"] == 5
    assert found["crimeguard_batch_rows_sum",] == 4


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
    assert ("crimeguard_http_requests_total", "POST", "/predict", "200") not in found
