"""A small overlay with everything that `crimeguard deploy` looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Final

NAMESPACE: Final = "crimeguard-staging"
SECRETS: Final = {
    "MLFLOW_TRACKING_PASSWORD": "pass-8fj2kd93jfnw",
    "CRIMEGUARD_API_KEYS": "probe:predict:" + "5e" * 32,
}
_DEPLOYMENT: Final = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  progressDeadlineSeconds: 600
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - name: {name}
        image: crimeguard-{name}
        envFrom: [{{configMapRef: {{name: crimeguard}}}}]
        env:
        - name: {key}
          valueFrom: {{secretKeyRef: {{name: crimeguard, key: {key}}}}}
---
"""
_REST: Final = """
apiVersion: v1
kind: Namespace
metadata: {name: crimeguard-staging}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: monitor}
spec:
  schedule: "0 * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: monitor
            image: crimeguard-trainer
            env:
            - name: CRIMEGUARD_ALERT_WEBHOOK
              valueFrom:
                secretKeyRef: {name: crimeguard, key: CRIMEGUARD_ALERT_WEBHOOK, optional: true}
"""
_KUSTOMIZATION: Final = """
namespace: crimeguard-staging
resources: [all.yaml]
images:
- {name: crimeguard-backend, newTag: 0.1.0}
configMapGenerator:
- {name: crimeguard, literals: [MLFLOW_TRACKING_URI=http://mlflow:5000]}
"""


def write_overlay(folder: Path) -> Path:
    """Write the overlay `staging` into a repository's folder."""
    overlay = folder / "deploy/k8s/overlays/staging"
    overlay.mkdir(parents=True)
    backend = _DEPLOYMENT.format(name="backend", key="CRIMEGUARD_API_KEYS")
    frontend = _DEPLOYMENT.format(name="frontend", key="MLFLOW_TRACKING_PASSWORD")
    (overlay / "all.yaml").write_text(backend + frontend + _REST)
    (overlay / "kustomization.yaml").write_text(_KUSTOMIZATION)
    return overlay


def reference(name: str, letter: str) -> str:
    """Return an image by a digest of one letter."""
    return f"registry.example/crimeguard-{name}@sha256:{letter * 64}"


def references(backend: str = "a", frontend: str = "a") -> dict[str, str]:
    """Return all images by digests of one letter."""
    return {
        "backend": reference("backend", backend),
        "frontend": reference("frontend", frontend),
        "trainer": reference("trainer", "a"),
    }
