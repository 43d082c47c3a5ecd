"""Rendered manifests, and the schemas that they are held against."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]
import pytest
import referencing
import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
OVERLAYS: Final = ("dev", "staging", "production")
# The API server that kubectl's kustomize is of, and the newest that there are schemas of.
VERSIONS: Final = ("1.32.0", "1.37.0")
KSERVE: Final = Path(__file__).with_name("schemas") / "kserve.json"
_CORE: Final = "https://kubernetes.io/api/_definitions.json"
# The API server takes a manifest's copy into an annotation of that size.
MOST_BYTES: Final = 262_144

Object = dict[str, Any]


def kustomize(folder: Path) -> list[Object]:
    """Render a folder as `kubectl apply -k` would; skips where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: no manifest is rendered")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read(done.stdout)


def read(text: str) -> list[Object]:
    """Read the documents of a YAML text."""
    return [found for found in yaml.safe_load_all(text) if found is not None]


def read_file(path: Path) -> list[Object]:
    """Read the documents of a YAML file."""
    return read(path.read_text())


@cache
def _rendered(overlay: str) -> str:
    return json.dumps(kustomize(DEPLOY / "k8s/overlays" / overlay))


def rendered(overlay: str) -> list[Object]:
    """Render an overlay, once a run; the caller may change what it gets."""
    found: list[Object] = json.loads(_rendered(overlay))
    return found


def named(found: Sequence[Mapping[str, Any]], kind: str, name: str) -> Any:
    """Find one object; AssertionError if it is not there."""
    matching = [item for item in found if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(matching) == 1, f"{len(matching)} of {kind} {name}"
    return matching[0]


def title(found: Mapping[str, Any]) -> str:
    """Name an object in a message."""
    return f"{found['kind']} {found['metadata']['name']}"


def group(found: Mapping[str, Any]) -> str:
    """Return the API group of an object, empty for the core."""
    name, _, version = found["apiVersion"].partition("/")
    return name if version else ""


_CUSTOM: Final = ("argoproj.io", "monitoring.coreos.com")


def schema_problems(found: Sequence[Object]) -> list[str]:
    """Hold objects against the schemas of their kinds; unknown fields are problems too."""
    custom = [item for item in found if group(item) in _CUSTOM]
    kserve = [item for item in found if group(item) == "serving.kserve.io"]
    core = [item for item in found if item not in custom and item not in kserve]
    problems = [problem for item in core for problem in _core_problems(item)]
    problems += [problem for item in kserve for problem in _kserve_problems(item)]
    return problems + (_custom_problems(custom) if custom else [])


def _core_problems(found: Object) -> Iterator[str]:
    name, _, version = found["apiVersion"].rpartition("/")
    file = f"{found['kind'].lower()}-{name.split('.')[0] + '-' if name else ''}{version}.json"
    for release in VERSIONS:
        schema = _file(release, file)
        if schema is None:
            yield f"{title(found)}: Kubernetes {release} does not know {found['apiVersion']}"
        else:
            yield from _errors(found, json.loads(schema), release)


def _kserve_problems(found: Object) -> Iterator[str]:
    document = json.loads(KSERVE.read_text())
    kind = document["kinds"].get(f"{found['apiVersion']}/{found['kind']}")
    if kind is None:
        yield f"{title(found)}: no schema for it"
        return
    yield from _errors(found, {**document, "$ref": f"#/$defs/{kind}"}, VERSIONS[-1])


def _errors(found: Object, schema: Any, release: str) -> Iterator[str]:
    validator = jsonschema.Draft202012Validator(schema, registry=_registry(release))
    for error in validator.iter_errors(found):
        yield f"{title(found)}: {error.json_path}: {error.message}"


@cache
def _registry(release: str) -> Any:
    content = _file(release, "_definitions.json")
    assert content is not None
    resource = referencing.Resource.from_contents(json.loads(content))
    return referencing.Registry().with_resource(_CORE, resource).crawl()


@cache
def _file(release: str, name: str) -> str | None:
    """Return one of the strict schemas that kubernetes-validate carries."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    file = folder / f"v{release}-local-strict" / name
    return file.read_text() if file.is_file() else None


def _custom_problems(found: Sequence[Object]) -> list[str]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed: custom resources are not checked")
    if not (ROOT / "node_modules/@kubernetes-models").is_dir():
        pytest.skip("the schemas of custom resources are missing: run `make tools`")
    script = Path(__file__).with_name("crds.mjs")
    done = subprocess.run(
        ["node", str(script)], input=json.dumps(found), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [f"{title(found[place])}: {message}" for place, message in json.loads(done.stdout)]
