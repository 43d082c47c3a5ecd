"""A release on Kubernetes: apply, wait until it serves, go back by itself if it does not."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from crimeguard.delivery.kubectl import APPLY, DeployError, Kubectl
from crimeguard.delivery.manifests import (
    SECRET,
    Document,
    Manifests,
    render,
    write_kustomization,
)
from crimeguard.domain.errors import CrimeGuardError
from crimeguard.settings import refuse_placeholders

Tell = Callable[[str], None]
_REVISION: Final = "deployment.kubernetes.io/revision"
_SECRET_KEYS: Final = "{{.metadata.resourceVersion}}{{range $key, $_ := .data}} {{$key}}{{end}}"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Live:
    """A Deployment as the cluster has it."""

    template: Document
    revision: str
    selector: str


@dataclass(slots=True)
class Outcome:
    """What a deploy did; it succeeded if `failed` is empty."""

    namespace: str
    images: dict[str, str]
    changed: list[str] = field(default_factory=list)
    failed: str = ""
    why: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)  # changed and not undone, and why

    @property
    def document(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {"deployed": not self.failed, **asdict(self)}

    def error(self) -> CrimeGuardError:
        """Return what a failed deploy is told as."""
        undone = f"Rolled back: {', '.join(self.undone) or 'nothing'}. "
        left = " ".join(f"{name} was not rolled back: {why}" for name, why in self.left.items())
        return DeployError(
            f"The deploy failed: {self.failed}", why=" ".join(self.why),
            fix=f"{undone}{left} Look at `kubectl --namespace {self.namespace} get pods`, put "
                "right what it tells, and deploy again.",
        )  # fmt: skip


def preview(overlay: Path, images: Mapping[str, str], kubectl: Kubectl) -> tuple[str, Manifests]:
    """Return the manifests that a deploy would apply, as YAML and read; nothing is asked."""
    with tempfile.TemporaryDirectory() as name:
        write_kustomization(Path(name), overlay, images)
        return render(kubectl, Path(name))


def deploy(
    overlay: Path, images: Mapping[str, str], environ: Mapping[str, str] | None, kubectl: Kubectl,
    *, timeout: float, tell: Tell,
) -> Outcome:  # fmt: skip
    """Bring images into a cluster and wait until they serve.

    If they do not, every Deployment that this deploy changed is put back to the revision
    that it had, and the outcome says so. DeployError before anything is changed.

    Parameters
    ----------
    overlay
        Folder of the kustomization.
    images
        Reference by digest of each image.
    environ
        Where the values of the Secret are taken from; None leaves the one in the cluster.
    timeout
        For all Deployments together to be ready, and once more to be back, s.
    """
    _, manifests = preview(overlay, images, kubectl)
    outcome = Outcome(manifests.namespace, dict(images))
    secret = secret_values(manifests, environ)
    tell(f"looking at {manifests.namespace}")
    before = live(kubectl, manifests)
    version = ensure_secret(kubectl, manifests, secret)
    try:
        tell(f"applying {overlay.name}")
        apply(kubectl, overlay, images, version)
        wait(kubectl, manifests.namespace, manifests.deployments, timeout, tell)
    except DeployError as error:
        outcome.failed, outcome.why = error.what, [error.why] if error.why else []
    _look_back(kubectl, manifests, before, outcome, timeout, tell)
    return outcome


def live(kubectl: Kubectl, manifests: Manifests) -> dict[str, Live]:
    """Return the Deployments of the manifests that the cluster has."""
    found = kubectl.read("get", "deployments", f"--namespace={manifests.namespace}")
    return {
        item["metadata"]["name"]: Live(
            item["spec"]["template"],
            item["metadata"].get("annotations", {}).get(_REVISION, ""),
            ",".join(f"{k}={v}" for k, v in item["spec"]["selector"]["matchLabels"].items()),
        )
        for item in found["items"]
        if item["metadata"]["name"] in manifests.deployments
    }


def secret_values(manifests: Manifests, environ: Mapping[str, str] | None) -> dict[str, str]:
    """Return the values that the Secret becomes, none if it is to stay as it is.

    DeployError if one that must be there is not set; UsageError for a placeholder.
    """
    if environ is None:
        return {}
    refuse_placeholders(environ)
    asked = manifests.secrets()
    missing = sorted(name for name, must in asked.items() if must and not environ.get(name))
    if missing:
        raise DeployError(
            f"{', '.join(missing)} is not set.",
            why="The Secret becomes what these environment variables hold, and needs all of them.",
            fix="Set them, or leave the Secret in the cluster as it is.",
        )
    return {name: environ[name] for name in sorted(asked) if environ.get(name)}


def ensure_secret(kubectl: Kubectl, manifests: Manifests, values: Mapping[str, str]) -> str:
    """Write the Secret if there are values; return its version in the cluster.

    DeployError if it is needed, not there, and cannot be made.
    """
    place = {"name": SECRET, "namespace": manifests.namespace}
    if values:
        data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        kubectl.write([
            *manifests.of("Namespace"),
            {"apiVersion": "v1", "kind": "Secret", "metadata": place, "type": "Opaque",
             "data": data},
        ])  # fmt: skip
    version, *keys = kubectl(
        "get", "secret", SECRET, f"--namespace={manifests.namespace}", "--ignore-not-found",
        f"--output=go-template={_SECRET_KEYS}",
    ).split() or [""]  # fmt: skip
    missing = {name for name, must in manifests.secrets().items() if must} - set(keys)
    if missing:
        absent = "lacks keys" if version else "does not exist"
        raise DeployError(
            f"The Secret {SECRET!r} in {manifests.namespace} {absent}.",
            why=f"No pod would start without {', '.join(sorted(missing))}.",
            fix="Set the environment variables of these names, and deploy with --secret.",
        )
    return version


def apply(kubectl: Kubectl, overlay: Path, images: Mapping[str, str], secret_version: str) -> None:
    """Apply the overlay with the images."""
    with tempfile.TemporaryDirectory() as name:
        write_kustomization(Path(name), overlay, images, secret_version)
        kubectl(*APPLY, f"--kustomize={name}")


def wait(
    kubectl: Kubectl, namespace: str, names: Iterable[str], timeout: float, tell: Tell
) -> None:
    """Return once all Deployments are rolled out; DeployError for the first that is not."""
    until = time.monotonic() + timeout
    for name in names:
        tell(f"waiting for {name}")
        seconds = max(1, round(until - time.monotonic()))
        try:
            kubectl("rollout", "status", f"deployment/{name}", f"--namespace={namespace}",
                    f"--timeout={seconds}s")  # fmt: skip
        except DeployError as error:
            raise DeployError(
                f"{name} did not become ready.", why=error.why or error.what
            ) from None


def reasons(kubectl: Kubectl, namespace: str, selector: str) -> list[str]:
    """Return what the pods that are not ready, and the events about them, tell."""
    try:
        pods = kubectl.read("get", "pods", f"--namespace={namespace}", f"--selector={selector}")
        events = kubectl.read("get", "events", f"--namespace={namespace}")
    except DeployError as error:
        return [f"Their pods cannot be looked at: {error.what}"]
    told = []
    for pod in pods["items"]:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        states = [state for each in status.get("containerStatuses", []) if not each["ready"]
                  for state in _states(each)]  # fmt: skip
        about = [
            f"{event['reason']}: {event['message']}"
            for event in events["items"]
            if event["involvedObject"].get("name") == name and event.get("type") == "Warning"
        ]
        told += [f"{name}: {words}." for words in dict.fromkeys(states + about[-2:])]
    return told


def undo(
    kubectl: Kubectl, namespace: str, name: str, revision: str, timeout: float, tell: Tell
) -> None:
    """Put one Deployment back to a revision, and wait until that serves."""
    tell(f"rolling {name} back to revision {revision}")
    kubectl("rollout", "undo", f"deployment/{name}", f"--namespace={namespace}",
            f"--to-revision={revision}")  # fmt: skip
    wait(kubectl, namespace, [name], timeout, tell)


def _look_back(
    kubectl: Kubectl, manifests: Manifests, before: Mapping[str, Live], outcome: Outcome,
    timeout: float, tell: Tell,
) -> None:  # fmt: skip
    """Find out what was changed, and undo it if the deploy failed."""
    try:
        after = live(kubectl, manifests)
    except DeployError as error:
        outcome.failed = outcome.failed or error.what
        outcome.left = dict.fromkeys(manifests.deployments, "the cluster cannot be asked.")
        return
    outcome.changed = [
        name for name, now in after.items()
        if name not in before or before[name].template != now.template
    ]  # fmt: skip
    if not outcome.failed:
        return
    for name in outcome.changed:
        outcome.why += reasons(kubectl, manifests.namespace, after[name].selector)
    for name in outcome.changed:
        if name not in before or not before[name].revision:
            outcome.left[name] = "this is its first deploy, there is nothing to go back to."
            continue
        try:
            undo(kubectl, manifests.namespace, name, before[name].revision, timeout, tell)
        except DeployError as error:
            outcome.left[name] = f"{error.what} {error.why}"
        else:
            outcome.undone.append(name)


def _states(container: Document) -> list[str]:
    """Return why a container waits, and how it ended last."""
    found = [*container.get("state", {}).items(), *container.get("lastState", {}).items()]
    return [
        ", ".join(str(part) for part in (state.get("reason"), state.get("message"),
                                         _exit(state.get("exitCode"))) if part)
        for kind, state in found if kind != "running"
    ]  # fmt: skip


def _exit(code: int | None) -> str:
    return "" if code is None else f"exit code {code}"
