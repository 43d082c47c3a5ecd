"""Pods of the stand-in cluster that really run: the image by digest, in a container engine.

The first container of a pod is run as its manifest says: user, read-only root, dropped
capabilities, memory, empty volumes, environment, arguments. Its startup and readiness
probes are asked over HTTP. All pods share the host's network, so each is given a port of
its own by the environment, and the probe of the port in the manifest goes there.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Final

import httpx

from tests.delivery.cluster import Planned
from tests.delivery.engine import Engine
from tests.delivery.environment import CannotStart
from tests.delivery.store import Object

# Which variable moves which port.
_MOVABLE: Final = {5000: "CRIMEGUARD_PORT", 8501: "CRIMEGUARD_UI_PORT"}


class EnginePods:
    """Starts pods in an engine.

    Parameters
    ----------
    more
        Further options of `docker run`, by the container's name: what the cluster would
        have beside it, such as a registry of models.
    """

    def __init__(self, engine: Engine, more: Mapping[str, Sequence[str]] | None = None) -> None:
        self._engine = engine
        self._more = more or {}

    def __call__(self, planned: Planned) -> EnginePod:
        """Pull the image if need be, and run it."""
        image = planned.container["image"]
        if not self._engine.has(image):
            pulled = self._engine.docker("pull", image, check=False)
            if pulled.returncode != 0:
                raise CannotStart("ErrImagePull", pulled.stderr.strip())
        ports = {port: free_port() for port in _ports(planned.container)}
        environ = planned.environ | {
            _MOVABLE[port]: str(other) for port, other in ports.items() if port in _MOVABLE
        }
        name = f"cg-{planned.name}-{secrets.token_hex(2)}"
        # Values pass through the environment: no process list shows them.
        self._engine.docker(
            "run", "--detach", "--name", name, "--network=host", *_options(planned.spec),
            *(f"--env={variable}" for variable in environ),
            *self._more.get(planned.container["name"], ()), image,
            *planned.container.get("args", []), env=environ,
        )  # fmt: skip
        return EnginePod(self._engine, name, planned.container, ports)


class EnginePod:
    """A running container."""

    def __init__(
        self, engine: Engine, name: str, container: Object, ports: Mapping[int, int]
    ) -> None:
        self._engine = engine
        self._name = name
        self._ports = ports
        found = (container.get(f"{kind}Probe", {}).get("httpGet") for kind in _PROBES)
        self._probes = [_probe(container, probe) for probe in found if probe]

    def unready(self) -> str:
        """Ask the probes; CannotStart if the container has ended."""
        state = self._engine.docker(
            "inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", self._name
        ).stdout.split()
        if state[0] != "true":
            logs = self._engine.docker("logs", "--tail=5", self._name)
            words = " ".join((logs.stdout + logs.stderr).split())
            raise CannotStart("CrashLoopBackOff", f"ended with exit code {state[1]}: {words}")
        return next((why for port, path in self._probes if (why := self._asked(port, path))), "")

    def stop(self) -> None:
        """End it and remove it with what it wrote."""
        self._engine.docker("rm", "--force", "--volumes", self._name)

    def _asked(self, port: int, path: str) -> str:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self._ports.get(port, port)}{path}", timeout=3)
        except httpx.TransportError as error:
            return f"Readiness probe failed: {type(error).__name__}"
        if answer.is_success:
            return ""
        return f"Readiness probe failed: HTTP probe failed with statuscode: {answer.status_code}"


_PROBES: Final = ("startup", "readiness")


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ports(container: Object) -> list[int]:
    return [port["containerPort"] for port in container.get("ports", [])]


def _probe(container: Object, probe: Object) -> tuple[int, str]:
    """Return port and path of a probe; the port may be a name."""
    named = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
    port = probe["port"]
    return int(named.get(port) or port), str(probe.get("path", "/"))


def _options(spec: Object) -> list[str]:
    """Return the options of `docker run` that a pod's security and volumes come to."""
    container = spec["containers"][0]
    security = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
    user = security.get("runAsUser", 0)
    options = [f"--user={user}:{security.get('runAsGroup', 0)}"]
    if security.get("readOnlyRootFilesystem"):
        options.append("--read-only")
    if not security.get("allowPrivilegeEscalation", True):
        options.append("--security-opt=no-new-privileges")
    dropped = security.get("capabilities", {}).get("drop", [])
    options += [f"--cap-drop={capability}" for capability in dropped]
    memory = container.get("resources", {}).get("limits", {}).get("memory")
    if memory:
        options.append(f"--memory={memory.removesuffix('i').lower()}")
    empty = {volume["name"] for volume in spec.get("volumes", []) if "emptyDir" in volume}
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in empty:
            raise CannotStart("FailedMount", f"no volume {mount['name']} in this stand-in")
        group = security.get("fsGroup", 0)
        options.append(f"--tmpfs={mount['mountPath']}:uid={user},gid={group},mode=0770")
    return options
