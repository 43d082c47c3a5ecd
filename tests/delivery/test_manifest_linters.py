"""The manifests before checkov and yamllint; each exception from a check has a reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.delivery.manifests import (
    DEPLOY,
    OVERLAYS,
    ROOT,
    Object,
    named,
    read_file,
    rendered,
    title,
)

# One process: checkov takes seven seconds, and runs once a process.
pytestmark = pytest.mark.xdist_group("checkov")
CHECKOV = ROOT / ".venv/checkov/bin/checkov"
BESIDE = ("argocd/application.yaml", "kserve/inference-service.yaml", "k8s/secret.template.yaml")


def manifests() -> Iterator[tuple[str, list[Object]]]:
    """Give everything that is applied somewhere, by the name of a file."""
    for overlay in OVERLAYS:
        yield f"{overlay}.yaml", rendered(overlay)
    for path in BESIDE:
        yield path.rsplit("/", 1)[-1], read_file(DEPLOY / path)


def broken() -> Object:
    """Return what checkov must not let through."""
    found: Object = named(rendered("dev"), "Deployment", "backend")
    found["metadata"] = {"name": "broken", "namespace": "crimeguard-dev"}
    spec = found["spec"]["template"]["spec"]
    spec["hostNetwork"] = True
    spec["containers"][0]["securityContext"] = {"privileged": True}
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What checkov says of all manifests, and of a broken one; it runs once, offline."""
    if not CHECKOV.is_file():
        pytest.skip("checkov is not installed: run `make tools`")
    folder = tmp_path_factory.mktemp("manifests")
    for name, objects in (*manifests(), ("broken.yaml", [broken()])):
        (folder / name).write_text(yaml.safe_dump_all(objects, sort_keys=False))
    # Nobody listens on the discard port: what would phone home fails, and nothing waits for it.
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"),
                            "http://127.0.0.1:9")  # fmt: skip
    done = subprocess.run(
        [str(CHECKOV), "--directory", str(folder), "--framework", "kubernetes",
         "--skip-download", "--compact", "--output", "json"],
        env={**os.environ, **nowhere}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # of the broken one
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def names(checks: Sequence[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(item["file_path"].strip("/"), item["resource"], item["check_id"]) for item in checks}


def test_checkov_refuses_what_is_broken_and_nothing_else(found: dict[str, Any]) -> None:
    refused = names(found["results"]["failed_checks"])
    assert {file for file, _, _ in refused} == {"broken.yaml"}
    assert {"CKV_K8S_16", "CKV_K8S_19", "CKV_K8S_22"} <= {check for _, _, check in refused}
    assert found["summary"]["parsing_errors"] == 0


def test_checkov_looks_at_every_workload(found: dict[str, Any]) -> None:
    looked = {resource for _, resource, _ in names(found["results"]["passed_checks"])}
    for overlay in OVERLAYS:
        for name in ("Deployment.{}.backend", "Deployment.{}.frontend", "CronJob.{}.monitor",
                     "CronJob.{}.retrain"):  # fmt: skip
            assert name.format(f"crimeguard-{overlay}") in looked


def test_no_exception_is_needless(found: dict[str, Any]) -> None:
    skipped = {
        (file, resource.rsplit(".", 1)[-1], check)
        for file, resource, check in names(found["results"]["skipped_checks"])
    }
    stated = {
        (file, item["metadata"]["name"], check)
        for file, objects in manifests()
        for item in objects
        for check, _ in exceptions(item)
    }
    assert skipped == stated


def exceptions(item: Object) -> list[tuple[str, str]]:
    """Return the checks that an object is excepted from, and why."""
    notes = item["metadata"].get("annotations", {})
    stated = [str(value) for name, value in notes.items() if name.startswith("checkov.io/skip")]
    return [(check, why) for check, _, why in (text.partition("=") for text in stated)]


def test_every_exception_has_a_reason() -> None:
    stated = [
        (title(item), check, why)
        for _, objects in manifests()
        for item in objects
        for check, why in exceptions(item)
    ]
    assert stated
    for where, check, why in stated:
        assert re.fullmatch(r"CKV2?_K8S_\d+", check), (where, check)
        assert len(why.split()) >= 6, (where, check, why)


def test_yamllint() -> None:
    compose = [*ROOT.glob("docker-compose*.yml"), *ROOT.glob("compose*.yaml")]
    paths = [DEPLOY, *compose, *(ROOT / name for name in ("dvc.yaml", "params.yaml"))]
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "--config-file", ".yamllint.yml",
         *map(str, paths)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line", ["key: [1,2]", "key:  1", "a: 1\na: 2", "key: yes", "a:\n   b: 1"])
def test_yamllint_refuses(line: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(f"{line}\n")
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "--config-file", ".yamllint.yml",
         str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
