"""What our manifests must hold to beyond their schemas: the rules on pods.

Each rule is a pure function of the rendered objects and of what is known of the program;
it yields one sentence for each thing that is wrong. `policy_wiring` has the rules on what
ties objects together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.delivery.manifests import Object, title

API: Final = "crimeguard-backend"
CONSOLE: Final = "crimeguard-frontend"
# What answers, and by that may be asked whether the process lives or is ready.
LIVE: Final[Mapping[str, frozenset[str]]] = {
    API: frozenset({"/livez", "/v2/health/live"}),
    CONSOLE: frozenset({"/_stcore/health"}),
}
READY: Final[Mapping[str, frozenset[str]]] = {
    API: frozenset({"/readyz", "/v2/health/ready"}),
    CONSOLE: frozenset({"/_stcore/health"}),
}
_PROBES: Final = {"startupProbe": READY, "readinessProbe": READY, "livenessProbe": LIVE}
_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")
_LEAST_USER: Final = 10_000  # below lie the users of nodes
_SECRET_NAME: Final = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEYS?$|CREDENTIAL|PRIVATE_KEY")
_SECRET_VALUE: Final = re.compile(
    r"cg_[A-Za-z0-9_-]{43}|\b[0-9a-f]{64}\b|://[^/@\s:]*:[^/@\s]+@|BEGIN [A-Z ]*PRIVATE KEY"
)


@dataclass(frozen=True)
class World:
    """What is known of the program and of the secret's template.

    `ports` are those that an image listens on; `serves` tells whether an image
    answers a path without a key; `grace` is how many seconds the API takes to end;
    `check_settings` returns what is wrong with an environment, or nothing; `job` is what
    the rules of Prometheus call the API.
    """

    ports: Mapping[str, int]
    serves: Callable[[str, str], bool]
    grace: float
    variables: frozenset[str]
    check_settings: Callable[[Mapping[str, str]], str]
    secrets: Mapping[str, frozenset[str]]
    job: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and the rule that says so."""

    rule: str
    what: str


Rule = Callable[[Sequence[Object], World], Iterator[str]]
RULES: Final[dict[str, Rule]] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Enter a function among the rules."""

    def enter(check: Rule) -> Rule:
        RULES[name] = check
        return check

    return enter


@dataclass(frozen=True)
class Pod:
    """A pod as an object would make it."""

    owner: Object
    spec: Mapping[str, Any]
    labels: Mapping[str, str]

    @property
    def where(self) -> str:
        """The owner, for a message."""
        return title(self.owner)

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """All containers, those of the start too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def pods(found: Sequence[Object]) -> Iterator[Pod]:
    """Find every pod that the objects would make."""
    for item in found:
        spec: Any = item.get("spec", {})
        if item["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if item["kind"] == "ServingRuntime":
            yield _of_runtime(item, found)
        elif "template" in spec:
            template = spec["template"]
            yield Pod(item, template["spec"], template["metadata"].get("labels", {}))


def _of_runtime(item: Object, found: Sequence[Object]) -> Pod:
    """Put together the pod that KServe makes of a runtime and the service that names it."""
    for service in found:
        predictor = service["spec"].get("predictor", {}) if "spec" in service else {}
        if predictor.get("model", {}).get("runtime") == item["metadata"]["name"]:
            return Pod(item, {**predictor, **item["spec"]}, predictor.get("labels", {}))
    raise AssertionError(f"{title(item)} belongs to no InferenceService")


def image_name(container: Mapping[str, Any]) -> str:
    """Return an image's name without registry, tag and digest."""
    return re.split(r"[:@]", container["image"].rsplit("/", 1)[-1])[0]


def port_number(container: Mapping[str, Any], port: int | str) -> int | None:
    """Return the number of a container's port, None if it has none such."""
    for known in container.get("ports", []):
        if port in (known["containerPort"], known.get("name")):
            return int(known["containerPort"])
    return None


@rule("probe")
def _probe(found: Sequence[Object], world: World) -> Iterator[str]:
    for pod in pods(found):
        for container in pod.containers:
            image = image_name(container)
            for name, allowed in _PROBES.items():
                if image in allowed:
                    probe = container.get(name, {}).get("httpGet", {})
                    yield from _asks(pod, container, name, probe, allowed[image], world)


def _asks(
    pod: Pod, container: Mapping[str, Any], name: str, probe: Mapping[str, Any],
    allowed: frozenset[str], world: World,
) -> Iterator[str]:  # fmt: skip
    image, path = image_name(container), probe.get("path")
    if path not in allowed:
        yield f"{pod.where}: {name} asks {path}, not one of {', '.join(sorted(allowed))}"
    elif not world.serves(image, path):
        yield f"{pod.where}: {name} asks {path}, which {image} does not answer"
    number = port_number(container, probe.get("port", 0))
    if number != world.ports[image]:
        yield f"{pod.where}: {name} asks port {probe.get('port')}, not {world.ports[image]}"


@rule("limits")
def _limits(found: Sequence[Object], world: World) -> Iterator[str]:
    for pod in pods(found):
        for container in pod.containers:
            resources = container.get("resources", {})
            for name in _RESOURCES:
                request = resources.get("requests", {}).get(name)
                limit = resources.get("limits", {}).get(name)
                if request is None or limit is None:
                    yield f"{pod.where}: {container['name']} has no request or no limit of {name}"
                elif amount(request) > amount(limit):
                    yield f"{pod.where}: {container['name']} asks for more {name} than its limit"


_UNITS: Final = {"m": 1e-3, "": 1.0, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def amount(quantity: str | float) -> float:
    """Read a quantity of Kubernetes: 500m, 2, 1Gi."""
    read = re.fullmatch(r"([0-9.]+)(m|[KMGT]i|)", str(quantity))
    assert read is not None, f"{quantity!r} is no quantity that we use"
    return float(read[1]) * _UNITS[read[2]]


@rule("scratch")
def _scratch(found: Sequence[Object], world: World) -> Iterator[str]:
    for pod in pods(found):
        empty = [item["emptyDir"] for item in pod.spec.get("volumes", []) if "emptyDir" in item]
        if any("sizeLimit" not in item for item in empty):
            yield f"{pod.where}: an emptyDir has no sizeLimit"
            continue
        needed = sum(amount(item["sizeLimit"]) for item in empty)
        limits = [item.get("resources", {}).get("limits", {}) for item in pod.containers]
        given = sum(amount(item.get("ephemeral-storage", 0)) for item in limits)
        if needed > given:
            yield f"{pod.where}: its emptyDirs may grow beyond the limit of ephemeral-storage"
        names = {item["name"] for item in pod.spec.get("volumes", [])}
        for container in pod.containers:
            mounts = {item["mountPath"]: item["name"] for item in container.get("volumeMounts", [])}
            if missing := {"/tmp", "/var/lib/crimeguard"} - mounts.keys():
                yield f"{pod.where}: nothing is mounted at {', '.join(sorted(missing))}"
            if unknown := set(mounts.values()) - names:
                yield f"{pod.where}: there is no volume {', '.join(sorted(unknown))}"


@rule("image")
def _image(found: Sequence[Object], world: World) -> Iterator[str]:
    for pod in pods(found):
        for container in pod.containers:
            image = container["image"]
            name, _, digest = image.partition("@")
            tag = name.rsplit("/", 1)[-1].partition(":")[2]
            fixed = re.fullmatch("sha256:[0-9a-f]{64}", digest) if digest else tag
            if not fixed or fixed == "latest":
                yield f"{pod.where}: {image} has neither a digest nor a tag of its own"


@rule("user")
def _user(found: Sequence[Object], world: World) -> Iterator[str]:
    for pod in pods(found):
        for container in pod.containers:
            context = {
                **pod.spec.get("securityContext", {}),
                **container.get("securityContext", {}),
            }
            if context.get("runAsNonRoot") is not True:
                yield f"{pod.where}: {container['name']} may run as root"
            for name in ("runAsUser", "runAsGroup"):
                if int(context.get(name, 0)) < _LEAST_USER:
                    yield f"{pod.where}: {name} of {container['name']} is {context.get(name)}"


@rule("root filesystem")
def _root(found: Sequence[Object], world: World) -> Iterator[str]:
    for pod in pods(found):
        for container in pod.containers:
            if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
                yield f"{pod.where}: {container['name']} can write to its root"


_HOST: Final = ("hostNetwork", "hostPID", "hostIPC")


@rule("privileges")
def _privileges(found: Sequence[Object], world: World) -> Iterator[str]:
    for pod in pods(found):
        if any(pod.spec.get(name) for name in _HOST):
            yield f"{pod.where}: it shares a namespace of the node"
        if any("hostPath" in item for item in pod.spec.get("volumes", [])):
            yield f"{pod.where}: it mounts a folder of the node"
        for container in pod.containers:
            context = {
                **pod.spec.get("securityContext", {}),
                **container.get("securityContext", {}),
            }
            if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
                yield f"{pod.where}: {container['name']} may gain privileges"
            if context.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{pod.where}: {container['name']} keeps capabilities"
            if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
                yield f"{pod.where}: {container['name']} has no seccomp profile"


@rule("token")
def _token(found: Sequence[Object], world: World) -> Iterator[str]:
    accounts = {
        item["metadata"]["name"]: item for item in found if item["kind"] == "ServiceAccount"
    }
    for name, account in accounts.items():
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {name}: its token is mounted"
    for pod in pods(found):
        if pod.spec.get("serviceAccountName") not in accounts:
            yield f"{pod.where}: it has no ServiceAccount of its own"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.where}: a token is mounted"


@rule("secret")
def _secret(found: Sequence[Object], world: World) -> Iterator[str]:
    for item in found:
        if item["kind"] == "Secret":
            yield f"{title(item)}: no secret is committed"
    for where, name, value in literals(found):
        if _SECRET_NAME.search(name) or name in world.secrets["crimeguard"]:
            yield f"{where}: {name} belongs into the Secret"
        elif _SECRET_VALUE.search(value):
            yield f"{where}: the value of {name} holds a secret"


def literals(found: Sequence[Object]) -> Iterator[tuple[str, str, str]]:
    """Find every value that is written out: where, name and value."""
    for item in found:
        if item["kind"] == "ConfigMap":
            for name, value in item.get("data", {}).items():
                yield title(item), name, value
    for pod in pods(found):
        for container in pod.containers:
            for entry in container.get("env", []):
                if "value" in entry:
                    yield pod.where, entry["name"], entry["value"]
