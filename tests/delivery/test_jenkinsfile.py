"""The whole Jenkinsfile, run: real `sh` steps, container engine, registry, DVC, MLflow, kubectl.

There is no real Jenkins here: the pipeline runs in the harness of tests/delivery/jenkins. The
cluster is a stand-in that the real kubectl talks to, its pods are pretended. The trainer's
image is a stand-in of two lines, since the real one takes minutes to push; test_images.py
builds it. The environment is the one that runs the tests, linked into a clone.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
import yaml

from crimeguard.delivery.stages import FLAG, PARAMETERS, STAGES
from crimeguard.ingest.drift import Drift
from crimeguard.ingest.simulator import simulate
from crimeguard.pipeline import Trained
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.settings import Settings
from tests.cli.test_monitor import answer
from tests.conftest import TINY, copy_home
from tests.delivery.cluster import Cluster, cluster, pretended
from tests.delivery.conftest import Registry
from tests.delivery.engine import Engine
from tests.delivery.harness import Build, compile_harness, missing, run_build
from tests.delivery.store import Key
from tests.delivery.workspace import clone
from tests.ingest.stores import PASSWORD, USER, StandIn, stand_in
from tests.retrain.world import DAY, traffic

pytestmark = [
    pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("engine"),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]  # fmt: skip

MARCH = dt.date(2023, 3, 1)
NAMESPACE: Final = "crimeguard-staging"
IDS = {"docker-hub-credentials", "dagshub-credentials", "kubeconfig-secret"}
TITLES = [stage.title for stage in STAGES]
BRANCHES = {"Backend", "Frontend", "Trainer"}
PARAMS = {
    **TINY,
    "monitor": {"maturity_days": 0.0, "volume": False},
    "retrain": {"persistence": 1, "windows": 1, "min_new_rows": 250},
}
QUICK = "-n 0 -p no:cacheprovider tests/domain/test_level.py"
FAILS = "def test_it_fails() -> None:\n    assert False\n"


@dataclass
class Inbox:
    """A webhook, and what it was told."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)

    def about(self, key: str) -> list[tuple[str, str]]:
        """Return severity and summary of what was told of a key."""
        return [(told["severity"], told["summary"]) for told in self.got if told["key"] == key]


@contextmanager
def listening() -> Iterator[Inbox]:
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    inbox.url = f"http://127.0.0.1:{server.server_port}/h00k-t0ken"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield inbox
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Pods:
    """Which images' pods never become ready."""

    sick: Callable[[str], bool] = lambda _: False


@dataclass(frozen=True)
class Agent:
    """An agent with a workspace, and all that its builds talk to."""

    classes: str
    workspace: Path
    home: Path
    registry: Registry
    cluster: Cluster
    pods: Pods
    store: StandIn
    inbox: Inbox
    env: dict[str, str]

    @property
    def credentials(self) -> dict[str, dict[str, str]]:
        return {
            "docker-hub-credentials": {"user": self.registry.user,
                                       "password": self.registry.password},
            "dagshub-credentials": {"user": USER, "password": PASSWORD},
            "kubeconfig-secret": {"content": self.cluster.kubeconfig.read_text()},
        }  # fmt: skip

    def build(self, **params: str) -> Build:
        given = {"REGISTRY": f"{self.registry.address}/city", "PYTEST_ARGS": QUICK,
                 "MONITOR_ARGS": "--no-evidently", **params}  # fmt: skip
        return run_build(
            self.classes, self.workspace / "Jenkinsfile", self.workspace,
            credentials=self.credentials, params=given, env=self.env,
        )  # fmt: skip

    @property
    def served(self) -> dict[str, str]:
        """The image of each Deployment that has a ready pod of it."""
        return {name: image for name, images in self.cluster.running(NAMESPACE).items()
                for image in images}  # fmt: skip

    def pushed(self, name: str) -> str:
        """Return the reference by digest that the push left."""
        return (self.workspace / "reports/images" / name).read_text().strip()


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_harness(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def agent(
    classes: str, engine: Engine, base_image: str, registry: Registry, promoted_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Agent]:  # fmt: skip
    folder = tmp_path_factory.mktemp("jenkins")
    workspace = clone(folder / "workspace")
    (workspace / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (workspace / "deploy/docker/trainer.Dockerfile").write_text(
        f"FROM {base_image}\nRUN install -D /dev/null /usr/share/crimeguard/sbom.cdx.json\n"
    )
    home, pods = folder / "home", Pods()
    with (
        listening() as inbox,
        stand_in() as store,
        cluster(folder, pretended(lambda image: "503" if pods.sick(image) else ""),
                deadline=2) as there,
    ):  # fmt: skip
        there.store.put(Key("namespaces", "", NAMESPACE), {})
        secret = {name: base64.b64encode(b"x").decode() for name in (
            "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "CRIMEGUARD_RECORDS_URL",
            "CRIMEGUARD_API_KEYS", "CRIMEGUARD_API_KEY")}  # fmt: skip
        there.store.put(Key("secrets", NAMESPACE, "crimeguard"), {"data": secret})
        env = {
            "PATH": engine.env["PATH"], "HOME": str(folder), "LANG": "C.UTF-8",
            "DOCKER_HOST": engine.address, "BUILD_NETWORK": "host",
            "PYTHONPATH": str(workspace / "src"), "OMP_NUM_THREADS": "1",
            "CRIMEGUARD_HOME": str(home), "CRIMEGUARD_DVC_URL": store.url,
            "CRIMEGUARD_ALERT_WEBHOOK": inbox.url, "DEPLOY_ARGS": "--timeout 10s",
            "CRIMEGUARD_API_URL": "http://127.0.0.1:9",
            # An agent has it for monitoring; the cluster's own is in the cluster's Secret.
            "CRIMEGUARD_RECORDS_URL": f"sqlite:///{home}/records.db",
        }  # fmt: skip
        agent = Agent(classes, workspace, home, registry, there, pods, store, inbox, env)
        publish(agent, promoted_home)
        yield agent


def publish(agent: Agent, promoted_home: Path) -> None:
    """Push the snapshot of the model in production to the remote, as its owner did."""
    env = {**os.environ, **agent.env, "CRIMEGUARD_HOME": str(promoted_home),
           "CRIMEGUARD_DVC_USER": USER, "CRIMEGUARD_DVC_PASSWORD": PASSWORD}  # fmt: skip
    subprocess.run([".venv/bin/crimeguard", "data", "push"], cwd=agent.workspace, env=env,
                   check=True)  # fmt: skip
    assert list((agent.workspace / "data/snapshots").glob("*.dvc"))


@pytest.fixture
def logged(agent: Agent, promoted_home: Path, trained: Trained) -> Callable[[pl.DataFrame], None]:
    """Return a function that makes the home one in which these incidents were predicted."""

    def log(rows: pl.DataFrame) -> None:
        subprocess.run(["rm", "-rf", str(agent.home)], check=True)
        copy_home(promoted_home, agent.home)
        # The agent has the registry and the log; the snapshots it has to pull.
        subprocess.run(["rm", "-rf", str(agent.home / "snapshots")], check=True)
        answer(agent.home, trained, rows, dt.datetime.now(dt.UTC) - 2 * DAY)
        agent.inbox.got.clear()
        agent.store.asked.clear()

    return log


@pytest.fixture(scope="module")
def calm() -> pl.DataFrame:
    return traffic(500, start=MARCH, days=7)


@pytest.fixture(scope="module")
def drifted() -> pl.DataFrame:
    drift = Drift.parse(f"class_mix_shift:1.0@{MARCH}")
    rows = pl.concat(simulate(500, seed=9, start=MARCH, end=MARCH + 6 * DAY, drifts=[drift]))
    return rows.with_columns(pl.concat_str(pl.lit("8"), "DR_NO").alias("DR_NO"))


def nothing_is_left(agent: Agent, build: Build) -> None:
    """Check what holds however a build ended: post ran, no secret was told, none is kept."""
    ended = [event["condition"] for event in build.of("post", stage="")]
    notice = "success" if build.result == "SUCCESS" else "unsuccessful"
    assert ended == ["always", notice, "cleanup"]
    assert not (agent.workspace / FLAG).exists()
    assert not list(agent.workspace.with_name("workspace@tmp").iterdir())
    token = json.loads(agent.cluster.kubeconfig.read_text())["users"][0]["user"]["token"]
    events = json.dumps(build.events)
    for secret in (agent.registry.password, PASSWORD, token, "h00k-t0ken"):
        assert secret not in build.log
        assert secret not in events
        assert secret not in build.said
        assert base64.b64encode(secret.encode()).decode() not in build.log
    # The tests of the remotes hold the one of their own.
    held = subprocess.run(
        ["grep", "-rlF", "--exclude-dir=.git", "--exclude-dir=.venv", "--exclude-dir=tests",
         "-e", agent.registry.password, "-e", PASSWORD, "-e", token, "."], cwd=agent.workspace,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (held.returncode, held.stdout) == (1, "")


def test_drift_leads_to_a_retraining_and_a_rollout_by_digest_on_a_stand_in_cluster(
    agent: Agent, logged: Callable[[pl.DataFrame], None], drifted: pl.DataFrame, engine: Engine
) -> None:
    logged(drifted)
    build = agent.build()
    assert build.result == "SUCCESS", build.log + build.said
    assert [title for title in build.ran if title not in BRANCHES] == TITLES
    assert build.skipped == {}
    assert {event["id"] for event in build.of("credentials")} == IDS
    nothing_is_left(agent, build)

    # What ran is what the list of stages says, with the same limits.
    for stage in STAGES:
        for branch, commands in stage.work.items():
            ran = [event["script"] for event in build.of("sh", stage=branch or stage.title)]
            assert ran == list(commands)
    assert build.of("begin")[0]["parameters"].keys() == PARAMETERS.keys()

    # Data came through the remote's password; the model in production is a new one.
    assert agent.store.count("GET") > 0
    assert len(list((agent.home / "snapshots").glob("[!.]*/manifest.json"))) == 2
    database = open_database(Settings(home=agent.home))
    lines = [entry.kind for entry in Ledger(database).entries()]
    database.close()
    assert lines[-5:] == ["decision", "training", "gates", "promotion", "probe"]
    assert ("critical", "drift") in [(told["severity"], told["key"]) for told in agent.inbox.got]

    # The images were built beside each other, and run by what the registry calls them.
    spans = {name: build.span(name) for name in BRANCHES}
    assert max(begin for begin, _ in spans.values()) < min(end for _, end in spans.values())
    assert agent.served == {name: agent.pushed(name) for name in ("backend", "frontend")}
    for name in ("backend", "frontend", "trainer"):
        assert agent.pushed(name).startswith(f"{agent.registry.address}/city/crimeguard-{name}@")

    # Stage 3 was a real run of pytest; its report and the images' names are kept.
    assert build.of("junit")[0]["tests"] > 0
    assert build.of("junit")[0]["failed"] == 0
    kept = build.of("archived")[0]["files"]
    assert {"monitoring/drift.json", "reports/junit.xml", "reports/images/backend"} <= set(kept)
    assert FLAG not in kept
    assert agent.inbox.about("pipeline") == [
        ("resolved", "crimeguard 1 succeeded: http://jenkins.invalid/job/crimeguard/1/")
    ]


def test_without_drift_there_is_no_retraining(
    agent: Agent, logged: Callable[[pl.DataFrame], None], calm: pl.DataFrame
) -> None:
    logged(calm)
    build = agent.build()
    assert build.result == "SUCCESS", build.log + build.said
    assert build.skipped == {"Conditional retraining": "when"}
    expected = [title for title in TITLES if title != "Conditional retraining"]
    assert [title for title in build.ran if title not in BRANCHES] == expected
    assert {event["id"] for event in build.of("credentials")} == IDS
    nothing_is_left(agent, build)
    database = open_database(Settings(home=agent.home))
    assert Ledger(database).entries("training") == []
    assert len(Ledger(database).entries("verdict")) == 1
    database.close()
    assert agent.inbox.about("drift") == []
    assert len(agent.inbox.about("pipeline")) == 1


def test_a_failing_test_stops_everything_behind_it(
    agent: Agent, logged: Callable[[pl.DataFrame], None], drifted: pl.DataFrame
) -> None:
    logged(drifted)
    served = agent.served
    failing = agent.workspace / "tests/domain/test_failing.py"
    failing.write_text(FAILS)
    try:
        build = agent.build(PYTEST_ARGS=f"{QUICK} {failing.relative_to(agent.workspace)}")
    finally:
        failing.unlink()
    assert build.result == "FAILURE", build.log + build.said
    assert build.ran == TITLES[:3]
    assert build.skipped == dict.fromkeys(TITLES[3:], "an earlier stage failed")
    assert build.of("junit")[0]["failed"] == 1
    assert "kubeconfig-secret" not in {event["id"] for event in build.of("credentials")}
    nothing_is_left(agent, build)
    assert agent.served == served
    assert not (agent.workspace / "reports/images").exists()
    assert agent.inbox.got == [agent.inbox.got[0]]
    assert agent.inbox.about("pipeline") == [
        ("critical", "crimeguard 1 failed: http://jenkins.invalid/job/crimeguard/1/")
    ]


def test_a_failing_rollout_on_a_stand_in_cluster_is_taken_back(
    agent: Agent, logged: Callable[[pl.DataFrame], None], calm: pl.DataFrame
) -> None:
    logged(calm)
    if not agent.served:
        assert agent.build().result == "SUCCESS"
        agent.inbox.got.clear()
    before = agent.cluster.deployments(NAMESPACE)
    assert set(before) == {"backend", "frontend"}
    # Another version of the console, which never becomes ready.
    dockerfile = agent.workspace / "deploy/docker/frontend.Dockerfile"
    old = dockerfile.read_text()
    dockerfile.write_text(f"{old}\nLABEL broken=yes\n")

    console = before["frontend"]
    agent.pods.sick = lambda image: "crimeguard-frontend" in image and image != console
    try:
        build = agent.build()
    finally:
        dockerfile.write_text(old)
        agent.pods.sick = lambda _: False
    assert build.result == "FAILURE", build.log + build.said
    assert build.ran[-1] == "Kubernetes deploy"
    assert "Rolled back: frontend" in build.log
    assert agent.pushed("frontend") != before["frontend"]
    assert agent.cluster.deployments(NAMESPACE) == before
    assert agent.served == before
    nothing_is_left(agent, build)
    assert agent.inbox.about("pipeline")[0][0] == "critical"
