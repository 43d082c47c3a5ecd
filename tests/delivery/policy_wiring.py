"""What our manifests must hold to beyond their schemas: the rules on what ties them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from tests.delivery.manifests import Object, title
from tests.delivery.policy import (
    API,
    RULES,
    Finding,
    Pod,
    World,
    image_name,
    pods,
    port_number,
    rule,
)


def judge(found: Sequence[Object], world: World) -> list[Finding]:
    """Hold objects against every rule, those on pods too."""
    return [Finding(name, what) for name, check in RULES.items() for what in check(found, world)]


def of_kind(found: Sequence[Object], kind: str) -> list[Object]:
    """Return the objects of a kind."""
    return [item for item in found if item["kind"] == kind]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector takes what has these labels."""
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    assert all(item["operator"] == "In" for item in among), "only In is known here"
    return all(labels.get(key) == value for key, value in wanted) and all(
        labels.get(item["key"]) in item["values"] for item in among
    )


def environment(pod: Pod, found: Sequence[Object]) -> dict[str, str]:
    """Return what a pod's first container finds in its environment, but for secrets."""
    container = pod.spec["containers"][0]
    maps = {item["metadata"]["name"]: item["data"] for item in of_kind(found, "ConfigMap")}
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        values |= maps.get(source.get("configMapRef", {}).get("name"), {})
    return values | {
        item["name"]: item["value"] for item in container.get("env", []) if "value" in item
    }


@rule("setting")
def _setting(found: Sequence[Object], world: World) -> Iterator[str]:
    maps = {item["metadata"]["name"] for item in of_kind(found, "ConfigMap")}
    for pod in pods(found):
        values = environment(pod, found)
        secret = {item["name"] for container in pod.containers for item in container.get("env", [])}
        for name in sorted((values.keys() | secret) - world.variables):
            yield f"{pod.where}: {name} is no setting of crimeguard"
        if wrong := world.check_settings(values):
            yield f"{pod.where}: {wrong}"
        if values.get("CRIMEGUARD_HOME") != "/var/lib/crimeguard":
            yield f"{pod.where}: CRIMEGUARD_HOME is not where the volume is"
        for container in pod.containers:
            for source in container.get("envFrom", []):
                if source.get("configMapRef", {}).get("name") not in maps:
                    yield f"{pod.where}: it reads a ConfigMap that is not there"


@rule("secret key")
def _secret_key(found: Sequence[Object], world: World) -> Iterator[str]:
    for pod in pods(found):
        for container in pod.containers:
            for entry in container.get("env", []):
                source = entry.get("valueFrom", {}).get("secretKeyRef")
                if source is None:
                    continue
                if source["key"] not in world.secrets.get(source["name"], ()):
                    yield f"{pod.where}: the template has no {source['key']} in {source['name']}"
                if source["key"] != entry["name"] or source.get("optional"):
                    yield f"{pod.where}: {entry['name']} is not the key of its name"


@rule("service")
def _service(found: Sequence[Object], world: World) -> Iterator[str]:
    running = [pod for pod in pods(found) if pod.owner["kind"] == "Deployment"]
    for service in of_kind(found, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        chosen = [pod for pod in pods(found) if selects(selector, pod.labels)]
        if len(chosen) != 1 or chosen[0] not in running:
            yield f"{title(service)}: it selects {len(chosen)} workloads, not one Deployment"
            continue
        container = chosen[0].spec["containers"][0]
        for port in service["spec"]["ports"]:
            number = port_number(container, port.get("targetPort", port["port"]))
            if number != world.ports[image_name(container)]:
                yield f"{title(service)}: port {port['port']} leads to no port that is listened on"


@rule("network")
def _network(found: Sequence[Object], world: World) -> Iterator[str]:
    policies = of_kind(found, "NetworkPolicy")
    if not any(_denies_all(item["spec"]) for item in policies):
        yield "there is no NetworkPolicy that denies everything else"
    for policy in policies:
        chosen = [pod for pod in pods(found) if selects(policy["spec"]["podSelector"], pod.labels)]
        if not chosen:
            yield f"{title(policy)}: it selects no pod"
        for entry in policy["spec"].get("ingress", []):
            yield from _listened(policy, entry, chosen, world)
        for entry in policy["spec"].get("egress", []):
            yield from _way_out(policy, entry, found, world)


def _way_out(
    policy: Object, entry: Mapping[str, Any], found: Sequence[Object], world: World
) -> Iterator[str]:
    if not entry.get("to") or not entry.get("ports"):
        yield f"{title(policy)}: a way out names no peer or no port"
    for peer in entry.get("to", []):
        if "namespaceSelector" not in peer and "podSelector" in peer:
            near = [pod for pod in pods(found) if selects(peer["podSelector"], pod.labels)]
            yield from _listened(policy, entry, near, world)


def _denies_all(spec: Mapping[str, Any]) -> bool:
    both = sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    return spec["podSelector"] == {} and both and not spec.get("ingress") and not spec.get("egress")


def _listened(
    policy: Object, entry: Mapping[str, Any], chosen: Sequence[Pod], world: World
) -> Iterator[str]:
    numbers = {world.ports.get(image_name(pod.spec["containers"][0])) for pod in chosen}
    opened = {item["port"] for item in entry.get("ports", [])}
    if not chosen or opened != numbers:
        yield f"{title(policy)}: it opens {sorted(opened)}, and {numbers} is listened on"


@rule("reach")
def _reach(found: Sequence[Object], world: World) -> Iterator[str]:
    """Whom the settings name, the policies must let a pod ask."""
    for pod in pods(found):
        values = environment(pod, found)
        for name in _asked_by(pod):
            if name in values and not _reaches(pod, values[name], found):
                yield f"{pod.where}: no NetworkPolicy lets it reach {name} ({values[name]})"


def _asked_by(pod: Pod) -> list[str]:
    """Name the addresses that a workload asks; the API's is of no use to the API."""
    command = " ".join(pod.spec["containers"][0].get("args", []))
    image = image_name(pod.spec["containers"][0])
    asked = {
        "crimeguard-backend": ["MLFLOW_TRACKING_URI"],
        "crimeguard-frontend": ["CRIMEGUARD_API_URL"],
    }
    if image in asked:
        return asked[image]
    more = "CRIMEGUARD_API_URL" if "retrain" in command else "CRIMEGUARD_ALERTMANAGER_URL"
    return ["MLFLOW_TRACKING_URI", more]


def _reaches(pod: Pod, url: str, found: Sequence[Object]) -> bool:
    address = urlsplit(url)
    port = address.port or {"http": 80, "https": 443}[address.scheme]
    _, _, namespace = str(address.hostname).partition(".")
    entries = [
        (peer, {item["port"] for item in entry.get("ports", [])})
        for policy in of_kind(found, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], pod.labels)
        for entry in policy["spec"].get("egress", [])
        for peer in entry["to"]
    ]
    return any(port in ports and _is_there(peer, namespace) for peer, ports in entries)


def _is_there(peer: Mapping[str, Any], namespace: str) -> bool:
    if "ipBlock" in peer:
        return True
    wanted = peer.get("namespaceSelector", {}).get("matchLabels", {})
    return bool(wanted.get("kubernetes.io/metadata.name", "") == namespace)


@rule("autoscaler")
def _autoscaler(found: Sequence[Object], world: World) -> Iterator[str]:
    for scaler in of_kind(found, "HorizontalPodAutoscaler"):
        spec = scaler["spec"]
        target = spec["scaleTargetRef"]
        matching = [
            item for item in of_kind(found, target["kind"])
            if item["metadata"]["name"] == target["name"]
        ]  # fmt: skip
        if not matching:
            yield f"{title(scaler)}: there is no {target['kind']} {target['name']}"
        elif "replicas" in matching[0]["spec"]:
            yield f"{title(scaler)}: an apply would set back the replicas of {target['name']}"
        if not 1 < spec["minReplicas"] <= spec["maxReplicas"]:
            yield f"{title(scaler)}: {spec['minReplicas']} to {spec['maxReplicas']} replicas"


@rule("disruption")
def _disruption(found: Sequence[Object], world: World) -> Iterator[str]:
    for budget in of_kind(found, "PodDisruptionBudget"):
        spec = budget["spec"]
        chosen = [pod for pod in pods(found) if selects(spec["selector"], pod.labels)]
        if len(chosen) != 1:
            yield f"{title(budget)}: it selects {len(chosen)} workloads"
            continue
        least = _replicas(chosen[0].owner, found)
        blocked = spec.get("maxUnavailable") == 0 or spec.get("minAvailable", 0) >= least
        if isinstance(spec.get("minAvailable", 0), str) or blocked:
            yield f"{title(budget)}: no node could be drained"


def _replicas(owner: Object, found: Sequence[Object]) -> int:
    for scaler in of_kind(found, "HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] == owner["metadata"]["name"]:
            return int(scaler["spec"]["minReplicas"])
    return int(owner["spec"].get("replicas", 1))


@rule("rollout")
def _rollout(found: Sequence[Object], world: World) -> Iterator[str]:
    for item in of_kind(found, "Deployment"):
        spec = item["spec"]
        (pod,) = pods([item])
        rolling = spec.get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") != 0 or rolling.get("maxSurge") != 1:
            yield f"{title(item)}: a rollout may take away a pod before there is another"
        for constraint in pod.spec.get("topologySpreadConstraints", [{}]):
            if not selects(constraint.get("labelSelector", {"matchLabels": {"": ""}}), pod.labels):
                yield f"{title(item)}: nothing spreads its pods"
        if not selects(spec["selector"], pod.labels):
            yield f"{title(item)}: it does not select its own pods"
        if not spec.get("revisionHistoryLimit"):
            yield f"{title(item)}: nothing is kept that a rollback could go back to"
        yield from _times(item, pod, _ending(pod, found, world))


def _ending(pod: Pod, found: Sequence[Object], world: World) -> float:
    """Return how long a process takes to end once it has been asked to, s."""
    if image_name(pod.spec["containers"][0]) != API:
        return 0
    return world.grace + float(environment(pod, found).get("CRIMEGUARD_DRAIN_SECONDS", 0))


def _times(item: Object, pod: Pod, ending: float) -> Iterator[str]:
    container = pod.spec["containers"][0]
    startup = container.get("startupProbe", {})
    longest = startup.get("periodSeconds", 10) * startup.get("failureThreshold", 3)
    if item["spec"].get("progressDeadlineSeconds", 0) <= longest:
        yield f"{title(item)}: a rollout is given up before a pod may have started"
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if not pause:
        yield f"{title(item)}: it ends while requests are still sent to it"
    if pod.spec.get("terminationGracePeriodSeconds", 30) <= pause + ending:
        yield f"{title(item)}: it is killed before it has answered what is in flight"


@rule("schedule")
def _schedule(found: Sequence[Object], world: World) -> Iterator[str]:
    for item in of_kind(found, "CronJob"):
        spec, job = item["spec"], item["spec"]["jobTemplate"]["spec"]
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{title(item)}: two may run at once"
        wanted = ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
        missing = [name for name in wanted if name not in spec]
        missing += [name for name in ("activeDeadlineSeconds", "backoffLimit") if name not in job]
        if missing:
            yield f"{title(item)}: it lacks {', '.join(missing)}"
        if job["template"]["spec"].get("restartPolicy") != "Never":
            yield f"{title(item)}: a failure is restarted in place, and not told"


@rule("ingress")
def _ingress(found: Sequence[Object], world: World) -> Iterator[str]:
    ports = {
        (service["metadata"]["name"], port["name"])
        for service in of_kind(found, "Service") for port in service["spec"]["ports"]
    }  # fmt: skip
    for item in of_kind(found, "Ingress"):
        notes = item["metadata"].get("annotations", {})
        if notes.get("nginx.ingress.kubernetes.io/auth-secret") not in world.secrets:
            yield f"{title(item)}: nobody is asked for a password"
        safe = {host for entry in item["spec"].get("tls", []) for host in entry["hosts"]}
        for entry in item["spec"]["rules"]:
            if entry.get("host") not in safe or entry["host"].endswith(".invalid"):
                yield f"{title(item)}: {entry.get('host')} has no certificate, or is no name"
            for path in entry["http"]["paths"]:
                service = path["backend"]["service"]
                if (service["name"], service["port"].get("name")) not in ports:
                    yield f"{title(item)}: {service['name']} has no such port"


@rule("service monitor")
def _service_monitor(found: Sequence[Object], world: World) -> Iterator[str]:
    for item in of_kind(found, "ServiceMonitor"):
        chosen = [
            service for service in of_kind(found, "Service")
            if selects(item["spec"]["selector"], service["metadata"].get("labels", {}))
        ]  # fmt: skip
        if [service["metadata"]["name"] for service in chosen] != ["backend"]:
            yield f"{title(item)}: it selects {len(chosen)} Services, not the backend's"
        jobs = {
            service["metadata"]["labels"].get(item["spec"].get("jobLabel")) for service in chosen
        }
        if jobs != {world.job}:
            yield f"{title(item)}: the rules know the job {world.job}, not {jobs}"
        names = {port["name"] for service in chosen for port in service["spec"]["ports"]}
        for endpoint in item["spec"]["endpoints"]:
            if endpoint.get("port") not in names:
                yield f"{title(item)}: no Service has a port {endpoint.get('port')}"
            if not world.serves(API, endpoint.get("path", "/metrics")):
                yield f"{title(item)}: the API does not answer {endpoint.get('path')}"


_SAFE: Final = "pod-security.kubernetes.io/enforce"


@rule("namespace")
def _namespace(found: Sequence[Object], world: World) -> Iterator[str]:
    names = {item["metadata"]["name"]: item for item in of_kind(found, "Namespace")}
    for name, item in names.items():
        if item["metadata"].get("labels", {}).get(_SAFE) != "restricted":
            yield f"Namespace {name}: it admits pods that are not restricted"
    for item in found:
        if item["kind"] != "Namespace" and item["metadata"].get("namespace") not in names:
            yield f"{title(item)}: it lies in {item['metadata'].get('namespace')}, not in ours"
