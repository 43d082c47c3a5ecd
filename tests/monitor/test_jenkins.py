"""The channel that starts the pipeline, against a fake Jenkins: there is no real one here."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.monitor.alerts import Alert, Alerter, ChannelError
from crimeguard.monitor.channels import channels_of
from crimeguard.monitor.jenkins import Jenkins
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.settings import Settings

JOB = "/job/city/job/crimeguard"
USER, TOKEN = "robot", "11a0-t0ken"
NOON = dt.datetime(2023, 3, 20, 12, tzinfo=dt.UTC)
CRITICAL = Alert("drift", "critical", "premis_cd has drifted (0.71).", {"score": 0.71}, NOON)


@dataclass
class FakeJenkins:
    """What a Jenkins of one job answers, as its API is documented, and what it was asked."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    builds: list[str] = field(default_factory=list)
    crumbs: bool = True
    parameters: bool = True
    waits: int = 1  # how often an item of the queue is asked for before it has a number
    cancelled: bool = False
    result: str | None = None
    # As behind a proxy: the address that Jenkins knows itself by is another.
    location: str = "http://jenkins.invalid/ci/queue/item/41/"
    status: int = 0  # of the start, instead of what would be right
    crumb: str = "crumb-of-one-session"

    @property
    def starts(self) -> int:
        return len(self.builds)


class FakeServer(ThreadingHTTPServer):
    """Speaks for one fake."""

    def __init__(self, state: FakeJenkins) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state


class Handler(BaseHTTPRequestHandler):
    server: FakeServer

    @property
    def fake(self) -> FakeJenkins:
        return self.server.state

    def _json(self, content: Any, status: int = 200, **heads: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in heads.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refused(self) -> bool:
        self.fake.asked.append((self.command, self.path.partition("?")[0]))
        expected = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        if self.headers["Authorization"] == f"Basic {expected}":
            return False
        self._json({}, 401)
        return True

    def do_GET(self) -> None:
        if self._refused():
            return
        path = self.path.partition("?")[0].removeprefix("/ci")
        if path == "/crumbIssuer/api/json" and self.fake.crumbs:
            self._json({"crumb": self.fake.crumb, "crumbRequestField": "Jenkins-Crumb"},
                       Set_Cookie="JSESSIONID=one; Path=/ci; HttpOnly")  # fmt: skip
        elif path == f"{JOB}/api/json":
            defined = [{"parameterDefinitions": [{"name": "OVERLAY"}]}, {}]
            known = defined if self.fake.parameters else [{}]
            self._json({"buildable": True, "property": known})
        elif path == "/queue/item/41/api/json":
            self._json(self._item())
        elif path == f"{JOB}/7/api/json":
            self._json({"building": self.fake.result is None, "result": self.fake.result})
        else:
            self._json({}, 404)

    def _item(self) -> dict[str, Any]:
        self.fake.waits -= 1
        if self.fake.cancelled:
            return {"cancelled": True}
        if self.fake.waits >= 0:
            return {"why": "In the quiet period."}
        return {"executable": {"number": 7, "url": "http://elsewhere.invalid/7/"}}

    def do_POST(self) -> None:
        if self._refused():
            return
        session = "JSESSIONID=one" in self.headers.get("Cookie", "")
        wanted = "buildWithParameters" if self.fake.parameters else "build"
        if self.fake.crumbs and not (session and self.headers["Jenkins-Crumb"] == self.fake.crumb):
            self._json({}, 403)
        elif self.path != f"/ci{JOB}/{wanted}":
            self._json({}, 400)
        elif self.fake.status:
            self._json({}, self.fake.status)
        else:
            self.fake.builds.append(self.path)
            self._json({}, 201, Location=self.fake.location)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def fake() -> Iterator[FakeJenkins]:
    state = FakeJenkins()
    server = FakeServer(state)
    state.url = f"http://127.0.0.1:{server.server_port}/ci{JOB}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def channel(fake: FakeJenkins, token: str = TOKEN, **given: float) -> Jenkins:
    return Jenkins(fake.url, USER, token, **{"patience": 2.0, "pause": 0.01, **given})


@pytest.mark.parametrize("parameters", [True, False])
@pytest.mark.parametrize("crumbs", [True, False])
def test_drift_starts_the_job_on_a_fake_jenkins_and_follows_it_to_its_number(
    fake: FakeJenkins, parameters: bool, crumbs: bool
) -> None:
    fake.parameters, fake.crumbs, fake.waits = parameters, crumbs, 3
    assert channel(fake).send(CRITICAL) == "build 7 has begun"
    assert fake.starts == 1
    methods = [method for method, _ in fake.asked]
    assert methods.count("POST") == 1
    assert fake.asked[0] == ("GET", "/ci/crumbIssuer/api/json")
    assert fake.asked.count(("GET", "/ci/queue/item/41/api/json")) == 4


@pytest.mark.parametrize("result", ["SUCCESS", "FAILURE"])
def test_a_build_that_has_ended_is_told_with_its_result(fake: FakeJenkins, result: str) -> None:
    fake.result = result
    assert channel(fake).send(CRITICAL) == f"build 7 ended: {result}"


def test_a_busy_queue_is_no_error(fake: FakeJenkins) -> None:
    fake.waits = 1000
    assert channel(fake, patience=0.1).send(CRITICAL) == "queued as item 41, not begun yet"


@pytest.mark.parametrize(
    ("changes", "token", "words"),
    [
        ({}, "wrong-t0ken", r"^It refused user and token \(401\)\.$"),
        ({"status": 403}, TOKEN, r"^It refused the request \(403\)"),
        ({"status": 409}, TOKEN, "disabled"),
        ({"status": 500}, TOKEN, r"^It answered 500\.$"),
        ({"location": "http://jenkins.invalid/elsewhere"}, TOKEN, "named no place in its queue"),
        ({"cancelled": True}, TOKEN, "Item 41 was taken out of the queue"),
    ],
)
def test_what_goes_wrong_is_said_without_the_token(
    fake: FakeJenkins, changes: dict[str, Any], token: str, words: str
) -> None:
    for name, value in changes.items():
        setattr(fake, name, value)
    with pytest.raises(ChannelError, match=words) as refused:
        channel(fake, token).send(CRITICAL)
    assert "t0ken" not in str(refused.value)
    # A start may have succeeded whatever came back: it is not repeated.
    assert [method for method, _ in fake.asked].count("POST") <= 1


def test_without_its_crumb_the_fake_refuses_the_start(
    fake: FakeJenkins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Jenkins, "_crumb", lambda *_: {})
    with pytest.raises(ChannelError, match=r"\(403\).*crumb"):
        channel(fake).send(CRITICAL)
    assert fake.starts == 0


def test_a_job_that_is_not_there_and_a_jenkins_that_is_not_there(fake: FakeJenkins) -> None:
    job = Jenkins(fake.url.replace("crimeguard", "other"), USER, TOKEN)
    with pytest.raises(ChannelError, match="no such job"):
        job.send(CRITICAL)
    with pytest.raises(ChannelError, match="cannot be reached"):
        Jenkins("http://127.0.0.1:9/job/x", USER, TOKEN).send(CRITICAL)


@pytest.mark.parametrize(
    "alert",
    [
        Alert("drift", "warning", "a little", at=NOON),
        Alert("drift", "resolved", "over", at=NOON),
        Alert("pipeline", "critical", "a build failed", at=NOON),
    ],
)
def test_nothing_else_starts_it(fake: FakeJenkins, alert: Alert) -> None:
    assert channel(fake).send(alert) is None
    assert fake.asked == []


def test_drift_that_holds_starts_it_once_and_again_after_it_was_over(
    fake: FakeJenkins, tmp_path: Path
) -> None:
    database = open_database(Settings(home=tmp_path))

    def tell(severity: Any, hours: float) -> list[str]:
        # Another process each time, as CronJobs are.
        alerter = Alerter(Ledger(database), [channel(fake)], dt.timedelta(hours=24), "tests")
        alert = Alert("drift", severity, "x", at=NOON + dt.timedelta(hours=hours))
        return [outcome.note for outcome in alerter.notify(alert)]

    assert tell("critical", 0) == ["build 7 has begun"]
    for hours in range(1, 24):
        assert tell("critical", hours) == []
    assert fake.starts == 1
    assert tell("critical", 24) == ["build 7 has begun"]
    assert fake.starts == 2
    assert tell("resolved", 25) == [""]
    assert tell("critical", 26) == ["build 7 has begun"]
    assert fake.starts == 3
    last = Ledger(database).entries("alert")[-1]
    assert list(last.evidence["channels"].values()) == ["build 7 has begun"]
    assert TOKEN not in json.dumps(dict(last.evidence))
    database.close()


def test_a_start_that_failed_is_tried_at_the_next_look(fake: FakeJenkins, tmp_path: Path) -> None:
    database = open_database(Settings(home=tmp_path))
    alerter = Alerter(Ledger(database), [channel(fake)], dt.timedelta(hours=24), "tests")
    fake.status = 503
    assert [outcome.error for outcome in alerter.notify(CRITICAL)] == ["It answered 503."]
    fake.status = 0
    assert [outcome.ok for outcome in alerter.notify(CRITICAL)] == [True]
    assert alerter.notify(CRITICAL) == []
    assert fake.starts == 1
    database.close()


def test_the_settings_name_it() -> None:
    url = "https://jenkins.example/job/crimeguard"
    settings = Settings(jenkins_url=url, jenkins_user=USER, jenkins_token=TOKEN)
    assert [found.name for found in channels_of(settings)] == ["jenkins https://jenkins.example"]
    assert TOKEN not in repr(settings)
    with pytest.raises(UsageError, match="CRIMEGUARD_JENKINS_USER and CRIMEGUARD_JENKINS_TOKEN"):
        channels_of(Settings(jenkins_url=url, jenkins_user=USER))
    for wrong in ("jenkins.example/job/x", "https://jenkins.example/", f"{url}?token=t0ken"):
        with pytest.raises(UsageError, match="CRIMEGUARD_JENKINS_URL") as refused:
            channels_of(Settings(jenkins_url=wrong, jenkins_user=USER, jenkins_token=TOKEN))
        assert "t0ken" not in str(refused.value)
