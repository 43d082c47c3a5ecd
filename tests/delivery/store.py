"""The objects of a stand-in Kubernetes cluster, in memory: versions, apply, watch.

Only as much of the API's behaviour as `kubectl apply --server-side`, `rollout` and `get`
lean on. Lists are replaced whole where Kubernetes merges some of them by key, and field
ownership is kept by manager and not by field.
"""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

Object = dict[str, Any]


class Resource(NamedTuple):
    """One kind of object and where it is found."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"


RESOURCES: Final = (
    Resource("", "v1", "namespaces", "Namespace", namespaced=False),
    Resource("", "v1", "configmaps", "ConfigMap"),
    Resource("", "v1", "events", "Event"),
    Resource("", "v1", "limitranges", "LimitRange"),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
    Resource("", "v1", "pods", "Pod"),
    Resource("", "v1", "resourcequotas", "ResourceQuota"),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
    Resource("", "v1", "services", "Service"),
    Resource("apps", "v1", "deployments", "Deployment"),
    Resource("apps", "v1", "replicasets", "ReplicaSet"),
    Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    Resource("batch", "v1", "cronjobs", "CronJob"),
    Resource("batch", "v1", "jobs", "Job"),
    Resource("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor"),
    Resource("monitoring.coreos.com", "v1", "prometheusrules", "PrometheusRule"),
    Resource("monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor"),
    Resource("networking.k8s.io", "v1", "ingresses", "Ingress"),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role"),
)
BY_PLURAL: Final = {resource.plural: resource for resource in RESOURCES}


class Key(NamedTuple):
    """Where one object is."""

    plural: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a watcher is told."""

    number: int
    what: str  # ADDED, MODIFIED or DELETED
    key: Key
    object: Object


class Refusal(Exception):  # noqa: N818 -- it is an answer, not a fault
    """An answer other than success, as the API gives it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Store:
    """All objects; every change wakes whoever waits on `changed`."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.changes: list[Change] = []
        self._objects: dict[Key, Object] = {}
        self._applied: dict[tuple[Key, str], Object] = {}
        self._edited: set[Key] = set()
        self._numbers = itertools.count(1)
        self.number = 0
        self.closed = False

    def get(self, key: Key) -> Object:
        """Return a copy; Refusal 404 if there is none."""
        with self.changed:
            found = self._objects.get(key)
            if found is None:
                raise Refusal(404, "NotFound", f'{_of(key)} "{key.name}" not found')
            return copy.deepcopy(found)

    def find(self, plural: str, namespace: str = "", **labels: str) -> list[Object]:
        """Return copies of the objects of a kind that carry these labels, by name."""
        with self.changed:
            return [
                copy.deepcopy(found)
                for key, found in sorted(self._objects.items())
                if key.plural == plural and namespace in ("", key.namespace)
                and labels.items() <= found["metadata"].get("labels", {}).items()
            ]  # fmt: skip

    def put(self, key: Key, given: Object, *, keep: bool = True) -> Object:
        """Store an object as it is; nothing happens if it is there already."""
        with self.changed:
            before = self._objects.get(key)
            stored = _completed(key, given, before)
            if stored == before:
                return copy.deepcopy(stored)
            self.number = next(self._numbers)
            stored["metadata"]["resourceVersion"] = str(self.number)
            if keep:
                self._objects[key] = stored
                self._tell("MODIFIED" if before else "ADDED", key, stored)
            return copy.deepcopy(stored)

    def apply(self, key: Key, given: Object, manager: str, *, force: bool, keep: bool) -> Object:
        """Server-side apply: what this manager no longer gives goes, what others gave stays."""
        with self.changed:
            before = self._objects.get(key, {})
            last = self._applied.get((key, manager), {})
            merged = _merged(_without(before, last, given), given)
            if key in self._edited and not force and merged != before:
                whose = f'"kubectl-rollout" in {_of(key)} "{key.name}"'
                raise Refusal(409, "Conflict", f"Apply failed with 1 conflict: with {whose}")
            if keep:
                self._applied[key, manager] = copy.deepcopy(given)
                self._edited.discard(key)
            return self.put(key, merged, keep=keep)

    def edit(self, key: Key, change: Callable[[Object], None]) -> Object:
        """Change an object in place, as the cluster's own controllers do."""
        with self.changed:
            current = self.get(key)
            change(current)
            return self.put(key, current)

    def edited(self, key: Key, change: Callable[[Object], None]) -> Object:
        """Change an object in place for somebody who then owns it in part."""
        with self.changed:
            self._edited.add(key)
            return self.edit(key, change)

    def remove(self, key: Key) -> Object:
        """Delete an object."""
        with self.changed:
            gone = self.get(key)
            del self._objects[key]
            self.number = next(self._numbers)
            self._tell("DELETED", key, gone)
            return gone

    def since(self, number: int, seconds: float) -> Iterator[Change]:
        """Yield what changed after `number`, as it happens, for that long."""
        until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
        place = 0
        while not self.closed and (left := (until - dt.datetime.now(dt.UTC)).total_seconds()) > 0:
            with self.changed:
                if place == len(self.changes):
                    self.changed.wait(min(left, 0.5))
                fresh, place = self.changes[place:], len(self.changes)
            yield from (change for change in fresh if change.number > number)

    def close(self) -> None:
        """Let the watchers go."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _tell(self, what: str, key: Key, stored: Object) -> None:
        self.changes.append(Change(self.number, what, key, copy.deepcopy(stored)))
        self.changed.notify_all()


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _of(key: Key) -> str:
    group = BY_PLURAL[key.plural].group
    return f"{key.plural}.{group}" if group else key.plural


def _completed(key: Key, given: Object, before: Object | None) -> Object:
    """What the server adds: names, identity, the generation of the specification."""
    resource = BY_PLURAL[key.plural]
    stored = copy.deepcopy(given) | {"apiVersion": resource.api_version, "kind": resource.kind}
    metadata = stored.setdefault("metadata", {})
    metadata["name"] = key.name
    if resource.namespaced:
        metadata["namespace"] = key.namespace
    if key.plural == "deployments":
        stored["spec"].setdefault("replicas", 1)
    old = before["metadata"] if before else {}
    metadata["uid"] = old.get("uid") or str(uuid.uuid4())
    metadata["creationTimestamp"] = old.get("creationTimestamp") or now()
    same = before is not None and before.get("spec") == stored.get("spec")
    metadata["generation"] = old.get("generation", 0) + (0 if same else 1)
    if "resourceVersion" in old:
        metadata["resourceVersion"] = old["resourceVersion"]
    else:
        metadata.pop("resourceVersion", None)
    return stored


def _without(current: Any, last: Any, given: Any) -> Any:
    """Return `current` without what was given last time and is not any more."""
    if not (isinstance(current, dict) and isinstance(last, dict) and isinstance(given, dict)):
        return current
    return {
        name: _without(value, last.get(name), given.get(name))
        for name, value in current.items()
        if name not in last or name in given
    }


def _merged(current: Any, given: Any) -> Any:
    if not (isinstance(current, dict) and isinstance(given, dict)):
        return copy.deepcopy(given)
    return {**current, **{name: _merged(current.get(name), value) for name, value in given.items()}}
