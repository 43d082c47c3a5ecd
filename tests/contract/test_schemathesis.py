"""The API keeps what its OpenAPI document says, for requests that nobody thought of.

A longer run: docs/benchmarks.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from crimeguard.serve.keys import Scope, make_key
from crimeguard.settings import Settings
from tests.faults.served import served

CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")
EXAMPLES: Final = os.environ.get("SCHEMATHESIS_EXAMPLES", "8")  # of each operation
SEED: Final = os.environ.get("SCHEMATHESIS_SEED", "5")


def run(address: str, folder: Path, *options: str) -> dict[str, Any]:
    """Run all phases with all checks; return Schemathesis' own report."""
    report = folder / "report.json"
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("st")), f"--config-file={CONFIG}", "run",
            f"{address}/openapi.json", "--phases", ",".join(PHASES), "--checks", "all",
            "--continue-on-failure", "--max-examples", EXAMPLES, "--seed", SEED, "--no-color",
            "--report", "json", "--report-json-path", str(report), *options,
        ],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-8000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def wait_for_registry(address: str, headers: dict[str, str]) -> None:
    """Let MLflow be imported and make its tables, which takes longer than a check lets it."""
    body = {"mode": "shadow", "version": "1"}
    httpx.post(f"{address}/experiment", json=body, headers=headers, timeout=180)


@pytest.mark.slow
@pytest.mark.parametrize("keys", [False, True], ids=["without keys", "with keys"])
def test_every_operation_is_as_described(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: bool
) -> None:
    options: list[str] = []
    monkeypatch.delenv("CRIMEGUARD_API_KEYS_FILE", raising=False)
    monkeypatch.setenv("CRIMEGUARD_API_KEYS", "")
    if keys:
        secret, key = make_key("contract", [*Scope])
        monkeypatch.setenv("CRIMEGUARD_API_KEYS", key.entry())
        options = ["--header", f"X-API-Key: {secret}"]
    with served(tiny_bundle, Settings(home=tmp_path / "home")) as api:
        document = httpx.get(f"{api.address}/openapi.json").json()
        wait_for_registry(api.address, dict(option.split(": ") for option in options[1:]))
        report = run(api.address, tmp_path, *options)
    operations = sum(len(methods) for methods in document["paths"].values())
    assert report["operations"]["tested"] == report["operations"]["total"] == operations
    assert {name: report["phases"][name]["status"] for name in PHASES} == dict.fromkeys(
        PHASES, "success"
    )
    assert report["test_cases"]["generated"] > 30 * operations
    assert report["test_cases"]["with_failures"] == 0
    # A refusal is fine by the configuration; that all of them are refused would not be.
    for operation in ("POST /predict", "POST /predict/batch", "POST /v2/models/crimeguard/infer"):
        assert sum(phase["accepted"] for phase in report["valid_rates"][operation].values())
    assert "Traceback" not in api.errors
