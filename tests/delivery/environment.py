"""What a container of the stand-in cluster takes from ConfigMaps and Secrets."""

from __future__ import annotations

import base64
from typing import Final

from tests.delivery.store import Key, Object, Refusal, Store

_SOURCES: Final = {"configMapRef": "configmaps", "secretRef": "secrets"}


class CannotStart(Exception):  # noqa: N818 -- the pod's state, not a fault of ours
    """A pod waits, and why: the reason and message of its container."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def environment(store: Store, namespace: str, container: Object) -> dict[str, str]:
    """Resolve what a container takes from ConfigMaps and Secrets, as the kubelet does."""
    environ: dict[str, str] = {}
    for source in container.get("envFrom", []):
        environ |= _source(store, namespace, source)
    for variable in container.get("env", []):
        if "value" in variable:
            environ[variable["name"]] = variable["value"]
        for kind, reference in variable.get("valueFrom", {}).items():
            found = _source(store, namespace, {kind.replace("KeyRef", "Ref"): reference})
            if reference.get("key") in found:
                environ[variable["name"]] = found[reference["key"]]
            elif not reference.get("optional") and "key" in reference:
                raise CannotStart("CreateContainerConfigError", f"no key {reference['key']}")
    return environ


def _source(store: Store, namespace: str, source: Object) -> dict[str, str]:
    kind = next((kind for kind in _SOURCES if kind in source), "")
    if not kind:
        return {}  # a field of the pod itself
    reference, plural = source[kind], _SOURCES[kind]
    try:
        data: dict[str, str] = store.get(Key(plural, namespace, reference["name"])).get("data", {})
    except Refusal:
        if reference.get("optional"):
            return {}
        raise CannotStart(
            "CreateContainerConfigError", f'{plural[:-1]} "{reference["name"]}" not found'
        ) from None
    if plural == "secrets":
        return {name: base64.b64decode(value).decode() for name, value in data.items()}
    return data
