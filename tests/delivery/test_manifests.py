"""The manifests: rendered, held against their schemas and our rules, and mutated."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from deploy.k8s import prometheus_rule

from crimeguard.cli.app import app
from tests.delivery.manifests import (
    DEPLOY,
    MOST_BYTES,
    OVERLAYS,
    ROOT,
    Object,
    kustomize,
    named,
    read_file,
    rendered,
    schema_problems,
    title,
)
from tests.delivery.policy import pods
from tests.delivery.policy_wiring import judge
from tests.delivery.world import known

BESIDE = ("argocd/application.yaml", "kserve/inference-service.yaml", "k8s/secret.template.yaml")


def with_kserve() -> list[Object]:
    """Production, and KServe's objects in its namespace."""
    beside = read_file(DEPLOY / "kserve/inference-service.yaml")
    for item in beside:
        item["metadata"]["namespace"] = "crimeguard-production"
    return [*rendered("production"), *beside]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_holds_to_the_schemas(overlay: str) -> None:
    assert schema_problems(rendered(overlay)) == []


@pytest.mark.parametrize("path", BESIDE)
def test_what_stands_beside_holds_to_the_schemas(path: str) -> None:
    assert schema_problems(read_file(DEPLOY / path)) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_holds_to_our_rules(overlay: str) -> None:
    assert judge(rendered(overlay), known()) == []


def test_kserve_holds_to_our_rules() -> None:
    assert judge(with_kserve(), known()) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_can_be_applied(overlay: str) -> None:
    large = [
        title(item) for item in rendered(overlay) if len(json.dumps(item).encode()) > MOST_BYTES
    ]
    assert large == []


def test_namespaces_are_one_each() -> None:
    for overlay in OVERLAYS:
        spaces = {item["metadata"].get("namespace") for item in rendered(overlay)} - {None}
        assert spaces == {f"crimeguard-{overlay}"}


def test_only_the_frontend_of_dev_is_on_the_nodes() -> None:
    types = {
        (overlay, item["metadata"]["name"]): item["spec"]["type"]
        for overlay in OVERLAYS
        for item in rendered(overlay)
        if item["kind"] == "Service"
    }
    assert {key for key, value in types.items() if value == "NodePort"} == {("dev", "frontend")}
    assert set(types.values()) == {"NodePort", "ClusterIP"}


def test_dev_needs_no_operator() -> None:
    groups = {item["apiVersion"] for item in rendered("dev")}
    assert not [name for name in groups if "monitoring.coreos.com" in name]
    assert not [item for item in rendered("dev") if item["kind"] == "Ingress"]


def over(tmp_path: Path, content: dict[str, Any]) -> list[Object]:
    """Render a kustomization over our own folders, named from deploy/k8s."""
    base = os.path.relpath(DEPLOY / "k8s", tmp_path)
    text = json.dumps(content).replace("@/", f"{base}/")
    (tmp_path / "kustomization.yaml").write_text(text)
    return kustomize(tmp_path)


def test_images_are_put_in_from_outside(tmp_path: Path) -> None:
    digest = f"sha256:{'5' * 64}"
    images = [
        {"name": f"crimeguard-{name}", "newName": f"example/{name}", "digest": digest}
        for name in ("backend", "frontend", "trainer")
    ]
    found = over(tmp_path, {"resources": ["@/overlays/production"], "images": images})
    used = {container["image"] for pod in pods(found) for container in pod.containers}
    assert used == {f"example/{name}@{digest}" for name in ("backend", "frontend", "trainer")}


def test_a_setting_that_changes_rolls_out(tmp_path: Path) -> None:
    changed = [{"name": "crimeguard", "behavior": "merge", "namespace": "crimeguard-production",
                "literals": ["CRIMEGUARD_LOG_DAYS=30"]}]  # fmt: skip
    found = over(tmp_path, {"resources": ["@/overlays/production"], "configMapGenerator": changed})
    assert judge(found, known()) == []
    names = [
        pod.spec["containers"][0]["envFrom"][0]["configMapRef"]["name"]
        for objects in (rendered("production"), found)
        for pod in pods(objects)
    ]
    assert len(set(names)) == 2
    assert all(re.fullmatch("crimeguard-[a-z0-9]{10}", name) for name in names)


def test_mlflow_outside_the_cluster(tmp_path: Path) -> None:
    settings = [{"name": "crimeguard", "behavior": "merge", "namespace": "crimeguard-production",
                 "literals": ["MLFLOW_TRACKING_URI=https://mlflow.example.org"]}]  # fmt: skip
    content = {"resources": ["@/overlays/production"], "configMapGenerator": settings}
    assert {item.rule for item in judge(over(tmp_path, content), known())} == {"reach"}
    found = over(tmp_path, {**content, "components": ["@/components/hosted-mlflow"]})
    assert judge(found, known()) == []
    assert schema_problems(found) == []


def test_the_rules_are_those_of_prometheus() -> None:
    """One source: `python deploy/k8s/prometheus_rule.py` after a change of the rules."""
    assert prometheus_rule.TARGET.read_text() == prometheus_rule.text()
    groups = [
        group
        for path in sorted((DEPLOY / "prometheus/rules").glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert groups
    assert named(rendered("production"), "PrometheusRule", "crimeguard")["spec"]["groups"] == groups


def test_every_dashboard_is_in_a_config_map() -> None:
    files = {path.name: path.read_text() for path in (DEPLOY / "grafana/dashboards").glob("*.json")}
    held: dict[str, str] = {}
    for item in rendered("production"):
        if item["metadata"].get("labels", {}).get("grafana_dashboard"):
            held |= item["data"]
    assert files
    assert held == files


def test_the_secret_is_a_template() -> None:
    for item in read_file(DEPLOY / "k8s/secret.template.yaml"):
        assert set(item["stringData"].values()) == {"changethis"}
    for path in DEPLOY.rglob("kustomization.yaml"):
        assert "secret" not in path.read_text()


def test_the_template_has_no_key_too_many() -> None:
    asked = {
        entry["valueFrom"]["secretKeyRef"]["key"]
        for pod in pods(rendered("production"))
        for entry in pod.spec["containers"][0]["env"]
    }
    assert asked == known().secrets["crimeguard"]


@pytest.mark.parametrize("name", ["backend", "frontend", "trainer"])
def test_manifests_agree_with_the_image(name: str) -> None:
    text = (DEPLOY / f"docker/{name}.Dockerfile").read_text()
    assert "\nUSER 10001:10001\n" in text
    assert '\nENTRYPOINT ["crimeguard"]\n' in text
    assert "CRIMEGUARD_HOME=/var/lib/crimeguard" in text
    exposed = [int(port) for port in re.findall(r"^EXPOSE (\d+)$", text, re.MULTILINE)]
    using = [pod for pod in pods(with_kserve())
             if f"crimeguard-{name}:" in pod.spec["containers"][0]["image"]]  # fmt: skip
    assert using
    for pod in using:
        ports = pod.spec["containers"][0].get("ports", [])
        assert [port["containerPort"] for port in ports] == exposed


def test_every_command_is_a_verb() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for pod in pods(with_kserve()):
        words = " ".join(pod.spec["containers"][0]["args"])
        asked = re.match(r"(?:crimeguard )?(\w+)((?: --[\w-]+)*)", words)
        assert asked is not None, words
        options = {
            name for param in verbs[asked[1]].params
            for name in (*param.opts, *param.secondary_opts)
        }  # fmt: skip
        assert set(asked[2].split()) <= options


@pytest.mark.parametrize(("said", "told"), [(0, 0), (4, 0), (1, 1), (2, 2), (137, 137)])
def test_drift_is_no_failed_job(tmp_path: Path, said: int, told: int) -> None:
    """Drift is an answer; a job that fails is one that could not look."""
    program = tmp_path / "crimeguard"
    program.write_text(f'#!/bin/sh\n[ "$1" = monitor ] || exit 99\nexit {said}\n')
    program.chmod(0o755)
    monitor = named(rendered("production"), "CronJob", "monitor")
    (container,) = monitor["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    done = subprocess.run(
        [*container["command"], *container["args"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False, timeout=10,
    )  # fmt: skip
    assert done.returncode == told


def test_argo_cd_follows_the_production_overlay() -> None:
    project, application = read_file(DEPLOY / "argocd/application.yaml")
    assert {project["metadata"]["namespace"], application["metadata"]["namespace"]} == {"argocd"}
    spec = application["spec"]
    assert (ROOT / spec["source"]["path"] / "kustomization.yaml").is_file()
    assert spec["destination"]["namespace"] == "crimeguard-production"
    assert spec["destination"] in project["spec"]["destinations"]
    assert [spec["source"]["repoURL"]] == project["spec"]["sourceRepos"]
    names = {image.partition("=")[0] for image in spec["source"]["kustomize"]["images"]}
    assert names == {"crimeguard-backend", "crimeguard-frontend", "crimeguard-trainer"}
    cluster = {item["kind"] for item in rendered("production")
               if "namespace" not in item["metadata"]}  # fmt: skip
    assert cluster == {entry["kind"] for entry in project["spec"]["clusterResourceWhitelist"]}


DOCS = (ROOT / "docs/kubernetes.md").read_text()


def test_the_docs_say_what_the_manifests_hold() -> None:
    dev, production = rendered("dev"), rendered("production")
    (port,) = named(dev, "Service", "frontend")["spec"]["ports"]
    assert f"port {port['nodePort']} of the nodes" in DOCS
    claim = named(production, "PersistentVolumeClaim", "home")
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert "20 GiB that retraining keeps" in DOCS
    assert named(production, "CronJob", "monitor")["spec"]["schedule"] == "5 * * * *"
    assert "at five past every hour" in DOCS
    assert named(production, "CronJob", "retrain")["spec"]["schedule"] == "35 3 * * *"
    assert "at 03:35 UTC" in DOCS
    for overlay, least in (("staging", "at most 3"), ("production", "2 to 6")):
        spec = named(rendered(overlay), "HorizontalPodAutoscaler", "backend")["spec"]
        assert str(spec["maxReplicas"]) in least
        assert f"{least} replicas of the API" in DOCS


def test_the_job_of_the_docs_only_sleeps(tmp_path: Path) -> None:
    """What `kubectl create job --from=cronjob/retrain` makes, and the patch of the docs."""
    template = named(rendered("production"), "CronJob", "retrain")["spec"]["jobTemplate"]
    made = {"apiVersion": "batch/v1", "kind": "Job", "spec": template["spec"],
            "metadata": {"name": "home", "namespace": "crimeguard-production"}}  # fmt: skip
    patch = re.search(r"--patch='(\[.*?\])'", DOCS, re.DOTALL)
    assert patch is not None
    done = subprocess.run(
        ["kubectl", "patch", "--local", "--filename=-", "--type=json", "--output=json",
         f"--patch={patch[1]}"],
        input=json.dumps(made), env={**os.environ, "KUBECONFIG": str(tmp_path / "none")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job: Object = json.loads(done.stdout)
    assert schema_problems([job]) == []
    (pod,) = pods([job])
    container = pod.spec["containers"][0]
    assert [*container["command"], *container["args"]] == ["sleep", "3600"]
    assert pod.spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == "home"
