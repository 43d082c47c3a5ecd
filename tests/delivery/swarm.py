"""A service of two replicas behind a load balancer, updated while it is asked.

A one-node Swarm stands in for the nodes of Kubernetes: it starts a new task, waits until
its health check passes, ends an old one with SIGTERM, and goes back by itself if the new
ones do not come. HAProxy stands for the ingress and sends requests to whoever says ready.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crimeguard.registry.bundle import Bundle, write_bundle
from crimeguard.registry.golden import golden_answers
from crimeguard.serve.keys import Scope, make_key
from tests.delivery.engine import Engine

BALANCER: Final = "crimeguard-tested-balancer"
_HAPROXY: Final = Path(__file__).parent / "haproxy"
_LOAD: Final = Path(__file__).parent / "load.py"
_PORT: Final = 18080


@dataclass(frozen=True, slots=True)
class Rolling:
    """A running service; `key` is what its callers send."""

    engine: Engine
    service: str
    key: str

    def update(self, *options: str) -> str:
        """Change the service; return the state that this ended in."""
        self.engine.docker("service", "update", "--quiet", "--detach=true",
                           "--no-resolve-image", *options, self.service)  # fmt: skip
        until = time.monotonic() + 120
        while time.monotonic() < until:
            state = self.state()
            if state in ("completed", "rollback_completed", "paused", "rollback_paused"):
                return state
            time.sleep(0.2)
        raise AssertionError(f"the update is {self.state()} after two minutes\n{self.said()}")

    def state(self) -> str:
        """Return what Swarm says of the last update."""
        told = self.engine.docker("service", "inspect", self.service, "--format",
                                  "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}")  # fmt: skip
        return told.stdout.strip()

    def tasks(self) -> str:
        """Return the tasks and what became of them."""
        return self.engine.docker("service", "ps", "--no-trunc", self.service).stdout

    def said(self) -> str:
        """Return the tasks and the last words of their containers."""
        logs = self.engine.docker("service", "logs", "--tail=20", self.service, check=False)
        return f"{self.tasks()}\n{logs.stdout}\n{logs.stderr}"

    @contextmanager
    def load(self, threads: int = 4) -> Iterator[dict[str, Any]]:
        """Ask for predictions meanwhile; the dictionary is filled with the report at the end."""
        report: dict[str, Any] = {}
        process = subprocess.Popen(
            [*self.engine.enter, sys.executable, str(_LOAD), f"http://127.0.0.1:{_PORT}",
             str(threads)],
            env={"CRIMEGUARD_API_KEY": self.key}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            time.sleep(2)
            yield report
            time.sleep(2)
        finally:
            told, _ = process.communicate("", timeout=60)
            report.update(json.loads(told))

    def ready(self) -> bool:
        """Whether a prediction is answered."""
        asked = self.engine.inside(
            "curl", "--silent", "--fail", "--max-time", "5",
            f"http://127.0.0.1:{_PORT}/readyz", check=False,
        )  # fmt: skip
        return asked.returncode == 0


def write_bundles(bundle: Bundle, folder: Path) -> dict[str, str]:
    """Write the bundles `v1`, `v2` (with another card) and `damaged`; return two digests."""
    golden = golden_answers(bundle.model)
    other = write_bundle(bundle.model, folder / "made", card={**bundle.card, "note": "v2"},
                         golden=golden, reference=bundle.reference)  # fmt: skip
    for name, source in (("v1", bundle), ("v2", other), ("damaged", other)):
        shutil.copytree(source.path, folder / name)
    (folder / "damaged" / "manifest.json").write_text("{}")
    # The service runs as a user of its own.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return {"v1": bundle.sha256, "v2": other.sha256}


def give_images(engine: Engine, network_engine: Engine, image: str) -> None:
    """Make the balancer's image, and hand it and the service's over to the other engine."""
    engine.docker("build", "--network=host", "--tag", BALANCER, str(_HAPROXY))
    for each in (image, BALANCER):
        engine.give(each, network_engine)


@contextmanager
def rolling(engine: Engine, image: str, bundles: Path, *, drain: float = 2.0) -> Iterator[Rolling]:
    """Run `image` on the bundle `v1` of the folder `bundles`.

    Parameters
    ----------
    drain
        How long a replica answers on once it is told to end, s.
    """
    secret, key = make_key("load", [Scope.PREDICT])
    name = f"crimeguard-rolling-{secrets.token_hex(4)}"
    docker = engine.docker
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        docker("network", "create", "--driver=overlay", "--attachable", name)
        # One name for all replicas' addresses: this kernel may have no IPVS.
        docker(
            "service", "create", "--quiet", "--detach=true", "--name", name, "--network", name,
            "--endpoint-mode=dnsrr", "--no-resolve-image", "--replicas=2", "--read-only",
            "--user=10001:10001", "--cap-drop=ALL",
            # A tmpfs of Swarm's has no owner; only a folder inside can be the service's own.
            "--mount=type=tmpfs,target=/tmp,tmpfs-mode=1777", "--env=CRIMEGUARD_HOME=/tmp/home",
            f"--mount=type=bind,source={bundles},target=/bundles,readonly",
            "--env=CRIMEGUARD_BUNDLE=/bundles/v1", f"--env=CRIMEGUARD_API_KEYS={key.entry()}",
            *([f"--env=CRIMEGUARD_DRAIN_SECONDS={drain:g}"] if drain else []),
            "--health-interval=1s", "--health-retries=3", "--health-start-period=30s",
            "--update-order=start-first", "--update-parallelism=1", "--update-monitor=2s",
            "--update-failure-action=rollback", "--rollback-order=start-first",
            "--rollback-parallelism=1", "--rollback-monitor=1s", "--stop-grace-period=30s",
            "--restart-condition=none", image,
        )  # fmt: skip
        docker("run", "--detach", "--name", name, "--network", name, "--env", f"SERVICE={name}",
               "--publish", f"127.0.0.1:{_PORT}:8080", BALANCER)  # fmt: skip
        service = Rolling(engine, name, secret)
        until = time.monotonic() + 90
        while not service.ready():
            assert time.monotonic() < until, service.said()
            assert "Failed" not in service.tasks(), service.said()
            time.sleep(0.3)
        yield service
    finally:
        docker("rm", "--force", name, check=False)
        docker("service", "rm", name, check=False)
        docker("swarm", "leave", "--force", check=False)
