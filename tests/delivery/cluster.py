"""A stand-in for a Kubernetes cluster, asked by the real kubectl.

It is not Kubernetes: the API answers from memory (`api_server`, `store`), and one controller
rolls Deployments out by starting one pod a ReplicaSet and asking it whether it is ready.
What a pod is, the caller decides: `pretended` for a plain function of the image,
`tests.delivery.pods.EnginePods` for the image really run by a container engine. Old pods are
kept until the new one is ready, and for good if it never is, as with maxUnavailable 0.
"""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.delivery.api_server import Access, serving
from tests.delivery.environment import CannotStart, environment
from tests.delivery.store import Change, Key, Object, Refusal, Store, now

REVISION: Final = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Planned:
    """A pod to start: its specification, with the environment as the cluster resolves it."""

    name: str
    spec: Object
    environ: dict[str, str]

    @property
    def container(self) -> Object:
        container: Object = self.spec["containers"][0]
        return container


class Pod(Protocol):
    """A pod that was started."""

    def unready(self) -> str:
        """Return why it is not ready; empty when it is."""

    def stop(self) -> None:
        """End it and leave nothing behind."""


Start = Callable[[Planned], Pod]


def pretended(unready: Callable[[str], str] = lambda _: "") -> Start:
    """Return a way to start pods that are as ready as a function of their image says."""

    class Pretended:
        def __init__(self, planned: Planned) -> None:
            self._image: str = planned.container["image"]

        def unready(self) -> str:
            return unready(self._image)

        def stop(self) -> None:
            """Nothing runs."""

    return Pretended


class Cluster:
    """See the module. `kubeconfig` is the file that kubectl reads, `address` where it asks.

    Parameters
    ----------
    deadline : float
        The longest that a rollout may make no progress, s; a shorter one of the manifest
        counts.
    """

    def __init__(self, start: Start, *, deadline: float = 600.0) -> None:
        self.store = Store()
        self.access = Access(secrets.token_hex(16))
        self.kubeconfig = Path()
        self.address = ""
        self._start = start
        self.deadline = deadline
        self._pods: dict[Key, Pod] = {}
        self._rolls: dict[Key, threading.Thread] = {}
        self._seen: dict[Key, int] = {}

    def deployments(self, namespace: str = "") -> dict[str, str]:
        """Return the image that each Deployment asks for."""
        return {
            found["metadata"]["name"]: found["spec"]["template"]["spec"]["containers"][0]["image"]
            for found in self.store.find("deployments", namespace)
        }

    def running(self, namespace: str = "") -> dict[str, list[str]]:
        """Return the images that each Deployment runs ready pods of."""
        images: dict[str, list[str]] = {}
        for pod in self.store.find("pods", namespace):
            if pod["status"]["conditions"][0]["status"] == "True":
                owner = pod["metadata"]["labels"]["stand-in/deployment"]
                images.setdefault(owner, []).append(pod["spec"]["containers"][0]["image"])
        return images

    @property
    def events(self) -> list[str]:
        """Everything that the controller told, oldest first."""
        found = sorted(self.store.find("events"), key=lambda e: int(e["metadata"]["name"]))
        return [
            f"{event['involvedObject']['kind'].lower()}/{event['involvedObject']['name']} "
            f"{event['reason']}: {event['message']}"
            for event in found
        ]

    def follow(self) -> None:
        """Roll out whatever is applied, until the store is closed."""
        for change in self.store.since(0, seconds=86_400):
            if change.key.plural == "deployments" and change.what != "DELETED":
                self._changed(change)

    def end(self) -> None:
        """Stop the controller and every pod."""
        self.store.close()
        for thread in self._rolls.values():
            thread.join()
        for pod in self._pods.values():
            pod.stop()

    def _changed(self, change: Change) -> None:
        generation = change.object["metadata"]["generation"]
        if self._seen.get(change.key) == generation:
            return
        self._seen[change.key] = generation
        before = self._rolls.get(change.key)
        self._rolls[change.key] = threading.Thread(
            target=self._roll, args=(change.key, generation, before)
        )
        self._rolls[change.key].start()

    def _roll(self, key: Key, generation: int, before: threading.Thread | None) -> None:
        """Bring one generation of a Deployment up, or say that it does not come."""
        if before is not None:
            before.join()  # it sees that it is not the newest
        with self.store.changed:
            replica_set = self._replica_set(key)
            pod = self._planned(key, replica_set)
            self._report(key, generation, ready=False)
        until = time.monotonic() + self._patience(key)
        told, late = "", False
        while self._newest(key, generation):
            why = self._unready(pod, replica_set)
            if not why:
                self._retire(key, keep=replica_set)
                self._report(key, generation, ready=True)
                return
            if why != told:
                self._tell("Pod", pod.name, "Unhealthy", why, key.namespace)
                told = why
            if time.monotonic() > until and not late:
                late = True
                self._report(key, generation, ready=False, late=True)
            time.sleep(0.1)

    def _newest(self, key: Key, generation: int) -> bool:
        return not self.store.closed and self._seen[key] == generation

    def _patience(self, key: Key) -> float:
        asked = self.store.get(key)["spec"].get("progressDeadlineSeconds", 600)
        return min(float(asked), self.deadline)

    def _replica_set(self, key: Key) -> Key:
        """Return the ReplicaSet of a Deployment's template, made now or before."""
        deployment = self.store.get(key)
        template = copy.deepcopy(deployment["spec"]["template"])
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        template["metadata"].setdefault("labels", {})["pod-template-hash"] = digest
        found = Key("replicasets", key.namespace, f"{key.name}-{digest}")
        own = [rs for rs in self.store.find("replicasets", key.namespace) if _owned(rs, deployment)]
        revisions = [int(rs["metadata"]["annotations"][REVISION]) for rs in own]
        names = [rs["metadata"]["name"] for rs in own]
        newest = max(revisions, default=0)
        if found.name not in names or revisions[names.index(found.name)] != newest:
            newest += 1
        self.store.put(found, {
            "metadata": {
                "labels": template["metadata"]["labels"], "annotations": {REVISION: str(newest)},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": key.name,
                    "uid": deployment["metadata"]["uid"], "controller": True,
                }],
            },
            "spec": {"replicas": 1, "selector": deployment["spec"]["selector"],
                     "template": template},
            "status": {"replicas": 1},
        })  # fmt: skip
        self.store.edit(key, lambda d: d["metadata"].setdefault("annotations", {}).update(
            {REVISION: str(newest)}))  # fmt: skip
        return found

    def _planned(self, key: Key, replica_set: Key) -> Key:
        """Return the pod of a ReplicaSet, on its way if there was none."""
        template = self.store.get(replica_set)["spec"]["template"]
        pod = Key("pods", key.namespace, f"{replica_set.name}-pod")
        if replica_set not in self._pods:
            labels = {**template["metadata"]["labels"], "stand-in/deployment": key.name}
            status = _status("ContainerCreating", "not started")
            self.store.put(pod, {"metadata": {"labels": labels}, "spec": template["spec"],
                                 "status": status})  # fmt: skip
        return pod

    def _unready(self, pod: Key, replica_set: Key) -> str:
        """Start the pod if it does not run, ask it, and write down what it says."""
        spec = self.store.get(pod)["spec"]
        reason, why = "", ""
        try:
            if replica_set not in self._pods:
                environ = environment(self.store, pod.namespace, spec["containers"][0])
                self._pods[replica_set] = self._start(Planned(pod.name, spec, environ))
            why = self._pods[replica_set].unready()
        except CannotStart as waits:
            reason, why = waits.reason, str(waits)
        self.store.edit(pod, lambda found: found.update(status=_status(reason, why)))
        return why

    def _retire(self, key: Key, keep: Key) -> None:
        """End the pods of all other ReplicaSets of a Deployment."""
        deployment = self.store.get(key)
        for other in self.store.find("replicasets", key.namespace):
            name = Key("replicasets", key.namespace, other["metadata"]["name"])
            if name == keep or not _owned(other, deployment):
                continue
            self.store.edit(name, lambda found: found["spec"].update(replicas=0))
            pod = self._pods.pop(name, None)
            if pod is not None:
                pod.stop()
            try:
                self.store.remove(Key("pods", key.namespace, f"{name.name}-pod"))
            except Refusal:
                continue  # its pod went before

    def _report(self, key: Key, generation: int, *, ready: bool, late: bool = False) -> None:
        """Write the Deployment's status, which `kubectl rollout status` waits for."""
        wanted = self.store.get(key)["spec"]["replicas"]
        old = any(images for name, images in self.running(key.namespace).items()
                  if name == key.name)  # fmt: skip
        if late:
            self._tell("Deployment", key.name, "ProgressDeadlineExceeded",
                       "the new pod did not become ready in time", key.namespace)  # fmt: skip
        reason = "ProgressDeadlineExceeded" if late else (
            "NewReplicaSetAvailable" if ready else "ReplicaSetUpdated")  # fmt: skip
        status = {
            "observedGeneration": generation,
            "replicas": wanted if ready else wanted + (1 if old else 0),
            "updatedReplicas": wanted if ready else min(1, wanted),
            "readyReplicas": wanted if ready or old else 0,
            "availableReplicas": wanted if ready or old else 0,
            "conditions": [{"type": "Progressing", "status": "False" if late else "True",
                            "reason": reason, "message": reason}],
        }  # fmt: skip
        if not ready and not old:
            status |= {"replicas": wanted, "updatedReplicas": wanted}
        self.store.edit(key, lambda found: found.update(status=status))

    def _tell(self, kind: str, name: str, reason: str, message: str, namespace: str) -> None:
        number = len(self.store.find("events"))
        self.store.put(Key("events", namespace, f"{number:04}"), {
            "type": "Warning", "reason": reason, "message": message, "lastTimestamp": now(),
            "involvedObject": {"kind": kind, "name": name, "namespace": namespace},
        })  # fmt: skip


@contextmanager
def cluster(folder: Path, start: Start, *, deadline: float = 600.0) -> Iterator[Cluster]:
    """Run a stand-in cluster; its kubeconfig is written into `folder`."""
    stand_in = Cluster(start, deadline=deadline)
    with serving(stand_in.store, stand_in.access, folder) as address:
        stand_in.address = address
        stand_in.kubeconfig = folder / "kubeconfig"
        stand_in.kubeconfig.write_text(json.dumps(_kubeconfig(stand_in, folder / "ca.crt")))
        stand_in.kubeconfig.chmod(0o600)
        controller = threading.Thread(target=stand_in.follow)
        controller.start()
        try:
            yield stand_in
        finally:
            stand_in.store.close()
            controller.join()
            stand_in.end()


def _kubeconfig(stand_in: Cluster, certificate: Path) -> Object:
    server = {"server": stand_in.address, "certificate-authority": str(certificate.resolve())}
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "stand-in",
        "clusters": [{"name": "stand-in", "cluster": server}],
        "users": [{"name": "stand-in", "user": {"token": stand_in.access.token}}],
        "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "stand-in"}}],
    }  # fmt: skip


def _owned(replica_set: Object, deployment: Object) -> bool:
    owners = replica_set["metadata"].get("ownerReferences", [])
    return any(owner["uid"] == deployment["metadata"]["uid"] for owner in owners)


def _status(reason: str, why: str) -> Object:
    """A pod's status: ready if there is no `why`, waiting if there is a `reason`."""
    state: Object = {"running": {"startedAt": now()}}
    if reason:
        state = {"waiting": {"reason": reason, "message": why}}
    return {
        "phase": "Pending" if reason else "Running",
        "conditions": [{"type": "Ready", "status": "False" if why else "True", "message": why}],
        "containerStatuses": [{"name": "app", "ready": not why, "restartCount": 0, "image": "",
                               "imageID": "", "state": state}],
    }  # fmt: skip
