"""The manifests of one overlay with the images of one build, and what they ask for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crimeguard.delivery.images import parts
from crimeguard.delivery.kubectl import DeployError, Kubectl

OVERLAYS: Final = Path("deploy/k8s/overlays")
SECRET: Final = "crimeguard"  # noqa: S105 -- the name of a Secret, not one
# On the pods, so that they are replaced when the Secret changes: nothing else tells them.
_SECRET_VERSION: Final = "crimeguard/secret-version"  # noqa: S105
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manifests:
    """What an overlay comes to."""

    documents: tuple[Document, ...]

    def of(self, kind: str) -> list[Document]:
        """Return the documents of a kind."""
        return [document for document in self.documents if document["kind"] == kind]

    @property
    def namespace(self) -> str:
        """The one namespace of its Deployments."""
        found = {
            deployment["metadata"].get("namespace", "") for deployment in self.of("Deployment")
        }
        if len(found) != 1 or not all(found):
            raise DeployError(f"The overlay's Deployments are in the namespaces {sorted(found)}.",
                              fix="Let its kustomization.yaml say `namespace:` once.")  # fmt: skip
        return str(found.pop())

    @property
    def deployments(self) -> list[str]:
        """The names of its Deployments."""
        return [str(deployment["metadata"]["name"]) for deployment in self.of("Deployment")]

    @property
    def images(self) -> set[str]:
        """The images that its containers run."""
        return {container["image"] for container in self._containers()}

    def secrets(self) -> dict[str, bool]:
        """Return the keys that are read from the Secret, and whether each must be there."""
        keys: dict[str, bool] = {}
        for container in self._containers():
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
                if reference.get("name") == SECRET:
                    must = not reference.get("optional", False)
                    keys[reference["key"]] = keys.get(reference["key"], False) or must
        return keys

    def _containers(self) -> Iterator[Document]:
        for document in self.documents:
            template = document.get("spec", {}).get("jobTemplate", document)
            pod = template.get("spec", {}).get("template", {}).get("spec", {})
            yield from (*pod.get("initContainers", []), *pod.get("containers", []))


def find_overlay(name: str, overlays: Path = OVERLAYS) -> Path:
    """Return an overlay's folder; DeployError names those that there are."""
    known = sorted(path.parent.name for path in overlays.glob("*/kustomization.yaml"))
    if name not in known:
        raise DeployError(
            f"There is no overlay {name!r}.",
            why=f"{overlays} has {', '.join(known) or 'none'}.",
            fix="Run this in the folder of the repository, with --overlay one of these.",
        )
    return overlays / name


def write_kustomization(
    folder: Path, overlay: Path, images: Mapping[str, str], secret_version: str = ""
) -> None:
    """Write the overlay, with these images, as a kustomization of its own."""
    document: Document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        # kustomize takes no absolute path, and follows links before it compares.
        "resources": [os.path.relpath(overlay.resolve(), folder.resolve())],
        "images": [
            {"name": f"crimeguard-{name}", "newName": repository, "digest": digest}
            for name, (repository, digest) in ((n, parts(r)) for n, r in images.items())
        ],
    }
    if secret_version:
        pods = {"metadata": {"annotations": {_SECRET_VERSION: secret_version}}}
        patch = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "each"},
                 "spec": {"template": pods}}  # fmt: skip
        document["patches"] = [{"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}]
    (folder / "kustomization.yaml").write_text(json.dumps(document))


def render(kubectl: Kubectl, folder: Path) -> tuple[str, Manifests]:
    """Build a kustomization; DeployError if an image of it is not by digest."""
    import yaml

    text = kubectl("kustomize", str(folder))
    manifests = Manifests(tuple(document for document in yaml.safe_load_all(text) if document))
    loose = sorted(image for image in manifests.images if "@sha256:" not in image)
    if loose:
        raise DeployError(f"The manifests run {', '.join(loose)}.",
                          why="Only a digest says what will run.",
                          fix="Give the image a digest in the overlay.")  # fmt: skip
    return text, manifests
