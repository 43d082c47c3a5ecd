"""Each rule on manifests refuses what it is there for: production, damaged in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from tests.delivery.manifests import (
    DEPLOY,
    Object,
    named,
    read_file,
    rendered,
    schema_problems,
)
from tests.delivery.policy import API, CONSOLE, LIVE, READY, RULES
from tests.delivery.policy_wiring import judge
from tests.delivery.world import known

KEY = "cg_" + "A" * 43


@dataclass(frozen=True)
class Cluster:
    """What was rendered, with short ways to what is damaged."""

    found: list[Object]

    def spec(self, kind: str, name: str) -> Any:
        return named(self.found, kind, name)["spec"]

    def pod(self, name: str) -> Any:
        kind = "CronJob" if name in ("monitor", "retrain") else "Deployment"
        spec = self.spec(kind, name)
        return (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]["spec"]

    def container(self, name: str) -> Any:
        return self.pod(name)["containers"][0]

    def settings(self) -> Any:
        (found,) = (item["data"] for item in self.found if item["kind"] == "ConfigMap"
                    and item["metadata"]["name"].startswith("crimeguard-"))  # fmt: skip
        return found

    def drop(self, kind: str, name: str) -> None:
        self.found.remove(named(self.found, kind, name))


Damage = Callable[[Cluster], object]


def put(path: str, value: Any, of: Callable[[Cluster], Any]) -> Damage:
    """Set what a path with slashes leads to; a step that is a number is a place in a list."""

    def damage(cluster: Cluster) -> None:
        here = of(cluster)
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
        for step in steps:
            here = here[step]
        here[last] = value

    return damage


def gone(path: str, of: Callable[[Cluster], Any]) -> Damage:
    """Remove what a path leads to."""

    def damage(cluster: Cluster) -> None:
        here = of(cluster)
        *steps, last = path.split("/")
        for step in steps:
            here = here[step]
        del here[last]

    return damage


def api(cluster: Cluster) -> Any:
    return cluster.container("backend")


def api_pod(cluster: Cluster) -> Any:
    return cluster.pod("backend")


def of(kind: str, name: str) -> Callable[[Cluster], Any]:
    return lambda cluster: cluster.spec(kind, name)


def literal(name: str, value: str) -> Damage:
    return lambda cluster: api(cluster)["env"].append({"name": name, "value": value})


def setting(name: str, value: str) -> Damage:
    return lambda cluster: cluster.settings().update({name: value})


DAMAGE: list[tuple[str, str, Damage]] = [
    ("probe", "a path that is no route", put("readinessProbe/httpGet/path", "/healthz", api)),
    ("probe", "a route that asks for a model", put("livenessProbe/httpGet/path", "/readyz", api)),
    ("probe", "another port", put("livenessProbe/httpGet/port", 8501, api)),
    ("probe", "a port without a name", put("startupProbe/httpGet/port", "web", api)),
    ("probe", "none at all", gone("readinessProbe", api)),
    ("probe", "the console's", put("livenessProbe/httpGet/path", "/livez",
                                   lambda cluster: cluster.container("frontend"))),
    ("limits", "no limit of memory", gone("resources/limits/memory", api)),
    ("limits", "no limit of the disk", gone("resources/limits/ephemeral-storage", api)),
    ("limits", "no limits in a CronJob", gone("resources/limits",
                                              lambda cluster: cluster.container("retrain"))),
    ("limits", "a request above the limit", put("resources/requests/memory", "64Gi", api)),
    ("scratch", "an emptyDir without a limit", put("volumes/0/emptyDir", {}, api_pod)),
    ("scratch", "an emptyDir too large", put("volumes/0/emptyDir/sizeLimit", "1Ti", api_pod)),
    ("scratch", "no home", put("volumeMounts/0/mountPath", "/home/somebody", api)),
    ("scratch", "a volume that is not there", put("volumeMounts/0/name", "nowhere", api)),
    ("image", "latest", put("image", "docker.io/example/crimeguard-backend:latest", api)),
    ("image", "no tag", put("image", "localhost:5000/crimeguard-backend", api)),
    ("image", "half a digest", put("image", "crimeguard-backend@sha256:0123", api)),
    ("user", "root", put("securityContext/runAsUser", 0, api)),
    ("user", "root of the pod", put("securityContext/runAsUser", 0, api_pod)),
    ("user", "perhaps root", put("securityContext/runAsNonRoot", False, api_pod)),
    ("user", "the group of root", gone("securityContext/runAsGroup", api_pod)),
    ("root filesystem", "writable", put("securityContext/readOnlyRootFilesystem", False, api)),
    ("root filesystem", "unsaid", gone("securityContext/readOnlyRootFilesystem", api)),
    ("privileges", "more of them", put("securityContext/allowPrivilegeEscalation", True, api)),
    ("privileges", "capabilities", put("securityContext/capabilities/add", ["NET_ADMIN"], api)),
    ("privileges", "no seccomp", gone("securityContext/seccompProfile", api_pod)),
    ("privileges", "the node's network", put("hostNetwork", True, api_pod)),
    ("privileges", "the node's files",
     put("volumes/0", {"name": "home", "hostPath": {"path": "/"}}, api_pod)),
    ("token", "mounted", put("automountServiceAccountToken", True, api_pod)),
    ("token", "of everybody", gone("serviceAccountName", api_pod)),
    ("token", "on the account",
     lambda cluster: named(cluster.found, "ServiceAccount", "backend").update(
         automountServiceAccountToken=True)),
    ("secret", "a password", literal("MLFLOW_TRACKING_PASSWORD", "hunter2")),
    ("secret", "an address with one",
     literal("CRIMEGUARD_ALERT_SMTP_URL", "smtps://user:hunter2@mail.example.org")),
    ("secret", "a key in the ConfigMap", setting("CRIMEGUARD_ALERT_FROM", KEY)),
    ("secret", "records in the ConfigMap", setting("CRIMEGUARD_RECORDS_URL", "sqlite:////x")),
    ("secret", "a Secret",
     lambda cluster: cluster.found.append({
         "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "crimeguard"}})),
    ("setting", "one that nobody reads", literal("CRIMEGUARD_HOEM", "/var/lib/crimeguard")),
    ("setting", "unknown in the ConfigMap", setting("CRIMEGUARD_PROT", "5000")),
    ("setting", "no number", setting("CRIMEGUARD_LOG_DAYS", "many")),
    ("setting", "home elsewhere", setting("CRIMEGUARD_HOME", "/srv")),
    ("setting", "another ConfigMap", put("envFrom/0/configMapRef/name", "crimeguard", api)),
    ("secret key", "one that the template lacks",
     put("env/0/valueFrom/secretKeyRef/key", "MLFLOW_USER", api)),
    ("secret key", "of another Secret", put("env/0/valueFrom/secretKeyRef/name", "mlflow", api)),
    ("secret key", "optional", put("env/0/valueFrom/secretKeyRef/optional", True, api)),
    ("service", "another port", put("ports/0/targetPort", 8080, of("Service", "backend"))),
    ("service", "nobody", put("selector", {"app": "backend"}, of("Service", "backend"))),
    ("service", "everybody",
     put("selector", {"app.kubernetes.io/name": "crimeguard"}, of("Service", "backend"))),
    ("network", "all is allowed", lambda cluster: cluster.drop("NetworkPolicy", "default-deny")),
    ("network", "another port in",
     put("ingress/0/ports/0/port", 8080, of("NetworkPolicy", "backend"))),
    ("network", "another port to the API",
     put("egress/0/ports/0/port", 8080, of("NetworkPolicy", "frontend"))),
    ("network", "every port", gone("ports", lambda cluster: cluster.spec(
        "NetworkPolicy", "backend")["ingress"][0])),
    ("network", "anywhere", put("egress/0/to", [], of("NetworkPolicy", "mlflow"))),
    ("network", "nobody chosen", put("podSelector", {"matchLabels": {"app": "x"}},
                                     of("NetworkPolicy", "backend"))),
    ("reach", "an MLflow in another namespace", setting("MLFLOW_TRACKING_URI", "http://mlflow.x:5000")),
    ("reach", "an API on another port", setting("CRIMEGUARD_API_URL", "http://backend:80")),
    ("reach", "no way to Alertmanager",
     lambda cluster: cluster.drop("NetworkPolicy", "alertmanager")),
    ("autoscaler", "of nobody", put("scaleTargetRef/name", "api",
                                    of("HorizontalPodAutoscaler", "backend"))),
    ("autoscaler", "against the manifest", put("replicas", 2, of("Deployment", "backend"))),
    ("autoscaler", "to fewer", put("maxReplicas", 1, of("HorizontalPodAutoscaler", "backend"))),
    ("disruption", "none allowed", put("maxUnavailable", 0, of("PodDisruptionBudget", "backend"))),
    ("disruption", "all needed", put("minAvailable", 2, of("PodDisruptionBudget", "frontend"))),
    ("disruption", "of nobody", put("selector", {"matchLabels": {"app": "x"}},
                                    of("PodDisruptionBudget", "backend"))),
    ("rollout", "a pod less", put("strategy/rollingUpdate/maxUnavailable", 1,
                                  of("Deployment", "backend"))),
    ("rollout", "no history", put("revisionHistoryLimit", 0, of("Deployment", "backend"))),
    ("rollout", "given up at once", put("progressDeadlineSeconds", 60,
                                        of("Deployment", "backend"))),
    ("rollout", "killed too soon", put("terminationGracePeriodSeconds", 30, api_pod)),
    ("rollout", "no pause before the end", gone("lifecycle", api)),
    ("rollout", "not spread", gone("topologySpreadConstraints", api_pod)),
    ("schedule", "two at once", put("concurrencyPolicy", "Allow", of("CronJob", "retrain"))),
    ("schedule", "for ever", gone("activeDeadlineSeconds", lambda cluster: cluster.spec(
        "CronJob", "retrain")["jobTemplate"]["spec"])),
    ("schedule", "restarted", put("restartPolicy", "OnFailure",
                                  lambda cluster: cluster.pod("monitor"))),
    ("ingress", "without TLS", gone("tls", of("Ingress", "frontend"))),
    ("ingress", "to another port", put("rules/0/http/paths/0/backend/service/port/name", "https",
                                       of("Ingress", "frontend"))),
    ("ingress", "open", lambda cluster: named(cluster.found, "Ingress", "frontend")[
        "metadata"].pop("annotations")),
    ("service monitor", "another port", put("endpoints/0/port", "metrics",
                                            of("ServiceMonitor", "backend"))),
    ("service monitor", "another path", put("endpoints/0/path", "/prometheus",
                                            of("ServiceMonitor", "backend"))),
    ("service monitor", "as another job", gone("jobLabel", of("ServiceMonitor", "backend"))),
    ("rollout", "killed while callers leave", setting("CRIMEGUARD_DRAIN_SECONDS", "30")),
    ("service monitor", "of nobody", put("selector/matchLabels", {"app": "x"},
                                         of("ServiceMonitor", "backend"))),
    ("namespace", "the default one",
     lambda cluster: named(cluster.found, "Service", "backend")["metadata"].pop("namespace")),
    ("namespace", "that admits all",
     lambda cluster: named(cluster.found, "Namespace", "crimeguard-production")[
         "metadata"].pop("labels")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "what", "damage"), DAMAGE,
                         ids=[f"{rule}: {what}" for rule, what, _ in DAMAGE])  # fmt: skip
def test_damage_is_refused_by_name(rule: str, what: str, damage: Damage) -> None:
    cluster = Cluster(rendered("production"))
    damage(cluster)
    assert rule in {finding.rule for finding in judge(cluster.found, known())}


def test_without_damage_nothing_is_refused() -> None:
    assert judge(rendered("production"), known()) == []


def test_the_app_itself_is_asked() -> None:
    serves = known().serves
    for image in (API, CONSOLE):
        assert all(serves(image, path) for path in LIVE[image] | READY[image])
        assert not serves(image, "/healthz")
    assert serves(API, "/metrics")
    assert not serves(API, "/model")  # which asks for a key
    assert known().ports == {API: 5000, CONSOLE: 8501}
    assert known().grace == 20


def test_every_rule_has_its_damage() -> None:
    assert {rule for rule, _, _ in DAMAGE} == RULES.keys()


def broken_fields() -> Iterator[tuple[str, list[Object]]]:
    """Give every kind of schema an object with a field that its kind does not have."""
    production = rendered("production")
    places = [
        ("Deployment", "backend", "spec/template/spec/containers/0/livenesProbe"),
        ("CronJob", "retrain", "spec/jobTemplate/spec/backofLimit"),
        ("HorizontalPodAutoscaler", "backend", "spec/behaviour"),
        ("NetworkPolicy", "backend", "spec/ingres"),
        ("ServiceMonitor", "backend", "spec/endpoints/0/intervall"),
        ("PrometheusRule", "crimeguard", "spec/groups/0/rules/0/fro"),
    ]
    for kind, name, path in places:
        damaged = deepcopy(named(production, kind, name))
        put(path, "x", lambda _, damaged=damaged: damaged)(Cluster([]))  # type: ignore[misc]
        yield f"{kind}: {path}", [damaged]
    for file, place, path in (
        ("argocd/application.yaml", 1, "spec/source/kustomize/image"),
        ("argocd/application.yaml", 0, "spec/sourceRepo"),
        ("kserve/inference-service.yaml", 0, "spec/protocolVersion"),
        ("kserve/inference-service.yaml", 0, "spec/containers/0/imag"),
        ("kserve/inference-service.yaml", 1, "spec/predictor/model/protocol"),
    ):
        damaged = read_file(DEPLOY / file)[place]
        put(path, "x", lambda _, damaged=damaged: damaged)(Cluster([]))  # type: ignore[misc]
        yield f"{file}: {path}", [damaged]


def test_unknown_fields_are_refused() -> None:
    for what, found in broken_fields():
        last = what.rsplit("/", 1)[-1]
        problems = schema_problems(found)
        assert any(last in problem for problem in problems), (what, problems)


def test_wrong_values_are_refused() -> None:
    cluster = Cluster(rendered("production"))
    put("spec/replicas", "two", lambda _: named(cluster.found, "Deployment", "frontend"))(cluster)
    put("endpoints/0/interval", "soon", of("ServiceMonitor", "backend"))(cluster)
    put("metrics/0/resource/target/averageUtilization", "70 %",
        of("HorizontalPodAutoscaler", "backend"))(cluster)  # fmt: skip
    problems = schema_problems(cluster.found)
    for kind in ("Deployment frontend", "ServiceMonitor backend",
                 "HorizontalPodAutoscaler backend"):  # fmt: skip
        assert any(problem.startswith(kind) for problem in problems), (kind, problems)


def test_old_apis_are_refused() -> None:
    damaged = {**named(rendered("production"), "HorizontalPodAutoscaler", "backend"),
               "apiVersion": "autoscaling/v2beta2"}  # fmt: skip
    assert any("does not know" in problem for problem in schema_problems([damaged]))
