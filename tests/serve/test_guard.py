"""Every route of the app with no key, wrong keys, the wrong scope, the right one."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from crimeguard.serve import guard
from crimeguard.serve.app import create_app
from crimeguard.serve.guard import NEEDS
from crimeguard.serve.keys import KeysError, Scope, make_key
from crimeguard.serve.limits import Limits, Rate
from crimeguard.serve.openapi import NAMES_EXAMPLE
from crimeguard.serve.slot import Slot
from crimeguard.settings import Settings
from tests.serve.fakes import Client, FakePredictor

MADE = {scope: make_key(f"only-{scope}", [scope]) for scope in Scope}
SECRETS = {scope: secret for scope, (secret, _) in MADE.items()}
STRANGER, _ = make_key("stranger", list(Scope))


def routes() -> list[tuple[str, str]]:
    """Every method and path that the app has."""
    app = create_app(Settings(), Slot())
    app.state.service.close()
    return sorted(
        (method, str(context.path))
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    )


ROUTES = routes()
OPEN = {
    "/", "/docs", "/docs/docs.css", "/docs/docs.js", "/openapi.json", "/livez", "/readyz",
    "/health", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready",
}  # fmt: skip
CLOSED = [(method, path) for method, path in ROUTES if path not in OPEN]


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    return replace(settings, api_keys=",".join(key.entry() for _, key in MADE.values()))


@pytest.fixture
def locked(keyed: Settings) -> Iterator[FastAPI]:
    app = create_app(keyed, Slot(FakePredictor()))
    yield app
    app.state.service.close()


@pytest.fixture
def api(locked: FastAPI) -> Client:
    return Client(locked)


def ask(api: Client, method: str, path: str, key: str | None = None) -> httpx.Response:
    path = path.replace("{model}", "crimeguard").replace("{version}", "1")
    return api.request(method, path, headers={} if key is None else {"X-API-Key": key})


def problem(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"]
    document = answer.json()
    assert document["status"] == answer.status_code
    return document


def test_the_table_names_the_routes_and_no_others() -> None:
    assert {path for _, path in ROUTES} == NEEDS.keys()
    assert {path for path, scope in NEEDS.items() if scope is None} == OPEN & NEEDS.keys()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_key_only_open_routes_answer(api: Client, method: str, path: str) -> None:
    answer = ask(api, method, path)
    if path in OPEN:
        assert answer.status_code in (200, 307)
        return
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="crimeguard"'
    assert problem(answer)["type"] == "/docs#problem-no-key"


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_a_wrong_key_is_refused(api: Client, method: str, path: str) -> None:
    answer = ask(api, method, path, STRANGER)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    problem(answer)


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_every_other_scope_is_refused(api: Client, method: str, path: str) -> None:
    for scope in set(Scope) - {NEEDS[path]}:
        answer = ask(api, method, path, SECRETS[scope])
        assert answer.status_code == 403
        assert f'scope="{NEEDS[path]}"' in answer.headers["WWW-Authenticate"]
        needed = NEEDS[path]
        assert needed is not None
        assert problem(answer)["detail"] == (
            f"The key 'only-{scope}' does not have the scope '{needed}'."
        )


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_the_right_key_is_let_in(api: Client, method: str, path: str) -> None:
    needed = NEEDS[path]
    assert needed is not None
    assert ask(api, method, path, SECRETS[needed]).status_code not in (401, 403)


@pytest.mark.parametrize("path", sorted(OPEN & NEEDS.keys()))
def test_a_wrong_key_does_no_harm_where_none_is_needed(api: Client, path: str) -> None:
    assert ask(api, "GET", path, STRANGER).status_code in (200, 307)


@pytest.mark.parametrize("path", ["/nothing", "/predict/", "/admin", "/docs/x", "/v2/x"])
def test_a_stranger_does_not_learn_what_there_is(api: Client, path: str) -> None:
    assert ask(api, "GET", path).status_code == 401
    assert ask(api, "GET", path, SECRETS[Scope.LABEL]).status_code == 404


@pytest.mark.parametrize(
    "path", ["/predict%0A", "/%70redict", "/predict?x=/livez", "/livez/../predict"]
)
def test_no_spelling_of_a_path_leads_past(api: Client, path: str) -> None:
    assert api.post(path, json=NAMES_EXAMPLE).status_code == 401
    headers = {"X-API-Key": SECRETS[Scope.LABEL]}
    assert api.post(path, json=NAMES_EXAMPLE, headers=headers).status_code in (403, 404)


def test_a_method_that_a_path_has_not_is_told_to_callers_only(api: Client) -> None:
    assert ask(api, "DELETE", "/predict").status_code == 401
    assert ask(api, "OPTIONS", "/predict").status_code == 401
    assert ask(api, "DELETE", "/predict", SECRETS[Scope.PREDICT]).status_code == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("X-API-Key", SECRETS[Scope.PREDICT])], 200),
        ([("x-api-key", SECRETS[Scope.PREDICT])], 200),
        ([("Authorization", f"Bearer {SECRETS[Scope.PREDICT]}")], 200),
        ([("Authorization", f"bearer  {SECRETS[Scope.PREDICT]}")], 200),
        # A proxy's own login beside our key.
        ([("X-API-Key", SECRETS[Scope.PREDICT]), ("Authorization", "Basic eDp5")], 200),
        ([("X-API-Key", STRANGER), ("Authorization", f"Bearer {SECRETS[Scope.PREDICT]}")], 401),
        ([("X-API-Key", STRANGER), ("X-API-Key", SECRETS[Scope.PREDICT])], 401),
        ([("Authorization", f"Basic {SECRETS[Scope.PREDICT]}")], 401),
        ([("Authorization", SECRETS[Scope.PREDICT])], 401),
        ([("Authorization", "Bearer")], 401),
        ([("X-API-Key", "")], 401),
        ([("X-API-Key", "ä")], 401),
        ([("X-API-Key", MADE[Scope.PREDICT][1].digest)], 401),
        ([("X-API-Key", MADE[Scope.PREDICT][1].entry())], 401),
        ([("Cookie", f"X-API-Key={SECRETS[Scope.PREDICT]}")], 401),
    ],
)
def test_where_a_key_may_stand(api: Client, headers: list[tuple[str, str]], status: int) -> None:
    given = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    assert api.post("/predict", json=NAMES_EXAMPLE, headers=given).status_code == status


def test_a_key_in_the_query_is_none(api: Client) -> None:
    query = {"X-API-Key": SECRETS[Scope.PREDICT], "key": SECRETS[Scope.PREDICT]}
    assert api.post("/predict", json=NAMES_EXAMPLE, params=query).status_code == 401


def test_no_answer_metric_or_line_of_the_log_shows_a_key(
    api: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [
            ask(api, method, path, key)
            for method, path in ROUTES
            for key in (STRANGER, *SECRETS.values())
        ]
    said = caplog.text + "".join(answer.text + str(answer.headers) for answer in answers)
    said += api.get("/metrics").text
    for key in (STRANGER, *SECRETS.values()):
        assert key not in said
        assert key[3:20] not in said


def test_the_name_of_the_key_is_known_behind_the_guard(keyed: Settings) -> None:
    from crimeguard.serve.keys import open_keys

    seen: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope.get("state", {}).get("api_key"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    ring = open_keys(keyed)
    assert ring is not None
    client = Client(guard.Guard(app, guard.KeyDoor(ring, Limits(Rate(0)))))  # type: ignore[arg-type]
    ask(client, "POST", "/predict", SECRETS[Scope.PREDICT])
    ask(client, "GET", "/livez")
    ask(client, "POST", "/predict")
    assert seen == ["only-predict", None]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def limited(keyed: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Client, Clock]]:
    """An API whose keys may ask for three things at once, and two a minute."""
    clock = Clock()
    limits = Limits(Rate(1 / 30, 3), clock=clock)
    monkeypatch.setattr("crimeguard.serve.app.limits_of", lambda _: limits)
    app = create_app(keyed, Slot(FakePredictor()))
    yield Client(app), clock
    app.state.service.close()


def test_a_key_that_asks_too_often_is_told_when_to_ask_again(
    limited: tuple[Client, Clock],
) -> None:
    api, clock = limited
    for _ in range(3):
        assert ask(api, "GET", "/model", SECRETS[Scope.PREDICT]).status_code == 200
    clock.now += 12.5
    answer = ask(api, "GET", "/model", SECRETS[Scope.PREDICT])
    assert answer.status_code == 429
    assert problem(answer)["type"] == "/docs#problem-too-many"
    # 17.5 seconds, and never too early.
    assert answer.headers["Retry-After"] == "18"
    clock.now += 18
    assert ask(api, "GET", "/model", SECRETS[Scope.PREDICT]).status_code == 200
    assert ask(api, "GET", "/model", SECRETS[Scope.PREDICT]).status_code == 429


def test_neither_other_keys_nor_open_routes_nor_strangers_are_held_up(
    limited: tuple[Client, Clock],
) -> None:
    api, _ = limited
    for _ in range(6):
        ask(api, "POST", "/labels", SECRETS[Scope.LABEL])
    assert ask(api, "POST", "/labels", SECRETS[Scope.LABEL]).status_code == 429
    assert ask(api, "GET", "/model", SECRETS[Scope.PREDICT]).status_code == 200
    for path in sorted(OPEN & NEEDS.keys()):
        assert ask(api, "GET", path, SECRETS[Scope.LABEL]).status_code in (200, 307)
    for _ in range(10):
        assert ask(api, "GET", "/model", STRANGER).status_code == 401


def test_what_a_key_may_not_do_uses_up_its_requests_too(limited: tuple[Client, Clock]) -> None:
    api, _ = limited
    tried = [("GET", "/model"), ("GET", "/nothing"), ("DELETE", "/labels"), ("POST", "/labels")]
    statuses = [ask(api, *each, SECRETS[Scope.LABEL]).status_code for each in tried]
    assert statuses == [403, 404, 405, 429]


def test_a_key_with_a_rate_of_its_own_has_that(settings: Settings) -> None:
    secret, key = make_key("partner", [Scope.PREDICT], "0.001/2")
    free, unlimited = make_key("console", [Scope.PREDICT], "0")
    entries = f"{key.entry()},{unlimited.entry()}"
    app = create_app(
        replace(settings, api_keys=entries, rate_per_second=0.001, rate_burst=4),
        Slot(FakePredictor()),
    )
    api = Client(app)
    statuses = [ask(api, "GET", "/model", secret).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert {ask(api, "GET", "/model", free).status_code for _ in range(20)} == {200}
    app.state.service.close()


def test_who_is_refused_is_counted_under_the_route(limited: tuple[Client, Clock]) -> None:
    api, _ = limited
    ask(api, "GET", "/model")
    ask(api, "POST", "/predict", STRANGER)
    for _ in range(5):
        ask(api, "POST", "/labels", SECRETS[Scope.PREDICT])
    ask(api, "GET", "/guess")
    ask(api, "GET", "/v2/models/crimeguard/versions/77/ready")
    text = api.get("/metrics").text
    for route, method, status, number in (
        ("/model", "GET", 401, 1), ("/predict", "POST", 401, 1), ("/labels", "POST", 403, 3),
        ("/labels", "POST", 429, 2), ("unmatched", "GET", 401, 1),
        ("/v2/models/crimeguard/versions/{version}/ready", "GET", 401, 1),
    ):  # fmt: skip
        labels = f'method="{method}",route="{route}",status="{status}"'
        assert f"crimeguard_http_requests_total{{{labels}}} {number}.0" in text
    assert 'crimeguard_requests_held_up_total{key="only-predict"} 2.0' in text


def test_without_keys_everything_answers_and_no_scheme_is_described(client: Client) -> None:
    assert client.post("/predict", json=NAMES_EXAMPLE).status_code == 200
    document = client.get("/openapi.json").json()
    assert "securitySchemes" not in document["components"]
    assert "401" not in document["paths"]["/predict"]["post"]["responses"]
    assert 'id="api-key"' not in client.get("/docs").text


def test_the_document_says_what_needs_a_key(api: Client) -> None:
    document = api.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["ApiKey"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert schemes["Bearer"] == {"type": "http", "scheme": "bearer"}
    for path, item in document["paths"].items():
        scope = NEEDS[path]
        for operation in item.values():
            needed = [] if scope is None else [{"ApiKey": [scope]}, {"Bearer": [scope]}]
            assert operation.get("security", []) == needed
            assert {"401", "403"} <= operation["responses"].keys() or scope is None
    assert "security" not in document


def test_the_page_has_a_field_for_the_key(api: Client) -> None:
    text = api.get("/docs").text
    assert '<input id="api-key" type="password" autocomplete="off"' in text


def test_a_route_that_the_table_forgot_is_no_app() -> None:
    def answer() -> None:
        """Answer nothing."""

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/livez", answer)
    guard.require_complete(app)
    app.add_api_route("/secret", answer)
    with pytest.raises(RuntimeError, match="/secret"):
        guard.require_complete(app)


def test_keys_that_cannot_be_read_are_no_app(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(KeysError):
        create_app(replace(settings, api_keys="nonsense"), Slot())
    with pytest.raises(KeysError):
        create_app(replace(settings, api_keys_file=str(tmp_path / "none")), Slot())


def test_the_page_on_security_says_what_is_open_and_what_scopes_open() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    listed = page.split("Open to everybody:")[1].split("`/metrics` tells")[0]
    assert set(re.findall(r"`(/[^`]*)`", listed)) == OPEN
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (.*) \|$", page, re.MULTILINE))
    assert rows.keys() == {scope.value for scope in Scope}
    for scope, row in rows.items():
        paths = {path for path, needed in NEEDS.items() if needed == scope}
        named = set(re.findall(r"`(/[^`]*)`", row))
        assert named <= paths | {"/v2"}
        assert {path for path in paths if not path.startswith("/v2/")} == named - {"/v2"}
