"""Who is compared: how each is started, what it is asked, and what it should say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.serving.incidents import Record
from benchmarks.serving.process import ROOT
from crimeguard.serve.keys import Scope, make_key

_NOOP: Final = "a FastAPI app with pydantic models in and out that computes nothing"
# Environments of their own inside ours: what they pin is not what we use.
PYTHONS: Final = {
    name: ROOT / ".venv" / name / "bin" / "python" for name in ("mlserver", "bentoml")
}


@dataclass(frozen=True)
class Contender:
    """A server on one machine.

    `form` makes the body of one incident, `said` reads the category from an answer; None
    for a server that predicts nothing. `command` and `environ` have the places `{port}`,
    `{grpc}` and `{metrics}` (three ports) and `{home}` (an empty folder).
    """

    name: str
    what: str
    command: Sequence[str]
    path: str
    ready: str
    form: Callable[[Record], Any]
    said: Callable[[Any], str] | None
    environ: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    logs: bool = False
    missing: str = ""
    workers: int = 1

    def filled(self, ports: Sequence[int], home: Path) -> tuple[list[str], dict[str, str]]:
        """Return command and environment with their places filled."""
        places = dict(zip(("port", "grpc", "metrics"), ports, strict=True)) | {"home": home}
        return ([part.format_map(places) for part in self.command],
                {name: text.format_map(places) for name, text in self.environ.items()})  # fmt: skip


def contenders(bundle: Path, work: Path, workers: int) -> dict[str, Contender]:
    """Return all of them by name; `missing` says how to install one that cannot be run."""
    found = [_noop(1), _noop(1, raw=True), _crimeguard(bundle, 1)]
    if workers > 1:
        found += [_noop(workers), _crimeguard(bundle, workers)]
    found += [_mlflow(bundle, work), _mlserver(bundle, work), _bentoml(bundle)]
    return {contender.name: contender for contender in found}


def baseline(contender: Contender) -> str:
    """Return the name of the no-op that a contender is compared with: of as many workers."""
    return _numbered("noop", contender.workers)


def ask(contender: Contender, address: str, record: Record) -> str | None:
    """Ask once, and return the category that it says; SystemExit if it refuses."""
    request = urllib.request.Request(
        address + contender.path, json.dumps(contender.form(record)).encode(),
        {"Content-Type": "application/json", "X-API-Key": contender.key},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            document = json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")[:1000]
        raise SystemExit(f"{contender.name} refuses {record} with {error.code}: {text}") from None
    return None if contender.said is None else contender.said(document)


def _noop(workers: int, *, raw: bool = False) -> Contender:
    return Contender(
        "noop-raw" if raw else _numbered("noop", workers),
        "the same app, no models: the body parsed by orjson, a constant answer" if raw else _NOOP,
        [sys.executable, "-m", "benchmarks.serving.noop", "{port}", str(workers)],
        "/raw" if raw else "/predict", "/readyz", lambda record: record, None, workers=workers,
    )  # fmt: skip


def _crimeguard(bundle: Path, workers: int) -> Contender:
    secret, key = make_key("bench", [Scope.PREDICT])
    environ = {
        "CRIMEGUARD_API_KEYS": key.entry(), "CRIMEGUARD_API_KEYS_FILE": "",
        "CRIMEGUARD_HOME": "{home}", "CRIMEGUARD_PORT": "{port}",
        "CRIMEGUARD_WORKERS": str(workers), "CRIMEGUARD_RECORDS_URL": "",
    }  # fmt: skip
    return Contender(
        _numbered("crimeguard", workers), "`crimeguard serve`, prediction log and API keys on",
        [sys.executable, "-m", "crimeguard", "serve", "--bundle", str(bundle)],
        "/predict", "/readyz", lambda record: record, lambda answer: str(answer["prediction"]),
        environ, key=secret, logs=True, workers=workers,
    )  # fmt: skip


def _mlflow(bundle: Path, work: Path) -> Contender:
    uri = f"sqlite:///{work / 'mlflow' / 'mlflow.db'}"
    environ = {
        "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true",
        # It starts uvicorn by its bare name.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    return Contender(
        "mlflow", "`mlflow models serve` of the registered model, its default server, no log",
        [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri",
         registered(bundle, work, uri), "--env-manager", "local", "--port", "{port}"],
        "/invocations", "/ping", lambda record: {"dataframe_records": [record]},
        lambda answer: str(answer["predictions"][0]["prediction"]), environ,
    )  # fmt: skip


def registered(bundle: Path, work: Path, uri: str) -> str:
    """Register the bundle in an MLflow of its own, once; return the address of the model."""
    mark = work / "registered"
    if not mark.exists():
        # In a process of its own: MLflow's import is no part of what is measured.
        code = (
            "import sys; from pathlib import Path;"
            "from crimeguard.registry.bundle import Bundle;"
            "from crimeguard.registry.store import Registry, Run;"
            "registry = Registry(sys.argv[2], artifacts=Path(sys.argv[3]));"
            "registry.register(Bundle.load(Path(sys.argv[1])), Run({}, {}, {}))"
        )
        subprocess.run([sys.executable, "-c", code, str(bundle), uri, str(work / "artifacts")],
                       check=True, cwd=ROOT)  # fmt: skip
        mark.touch()
    return "models:/crimeguard/1"


def _mlserver(bundle: Path, work: Path) -> Contender:
    folder = work / "mlserver"
    folder.mkdir(exist_ok=True)
    runtime = "benchmarks.serving.mlserver_runtime.Runtime"
    (folder / "model-settings.json").write_text(
        json.dumps({"name": "crimeguard", "implementation": runtime})
    )
    environ = {
        **_shared(bundle), "MLSERVER_HOST": "127.0.0.1", "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": "{grpc}", "MLSERVER_METRICS_PORT": "{metrics}",
        # Its worker process keeps a file for its metrics where it stands.
        "MLSERVER_METRICS_DIR": "{home}", "MLSERVER_ENVIRONMENTS_DIR": "{home}",
    }  # fmt: skip
    return Contender(
        "mlserver", "MLServer with a runtime of a few lines around the same bundle, no log",
        [str(PYTHONS["mlserver"].with_name("mlserver")), "start", str(folder)],
        "/v2/models/crimeguard/infer", "/v2/models/crimeguard/ready",
        lambda record: {"inputs": [{"name": "incident", "datatype": "BYTES", "shape": [1],
                                    "data": [json.dumps(record)]}]},
        lambda answer: str(answer["outputs"][0]["data"][0]), environ, missing=_missing("mlserver"),
    )  # fmt: skip


def _bentoml(bundle: Path) -> Contender:
    environ = {**_shared(bundle), "BENTOML_HOME": "{home}", "BENTOML_DO_NOT_TRACK": "True"}
    return Contender(
        "bentoml", "BentoML with a service of a few lines around the same bundle, no log",
        [str(PYTHONS["bentoml"].with_name("bentoml")), "serve",
         "benchmarks.serving.bentoml_service:Service", "--port", "{port}", "--host", "127.0.0.1"],
        "/predict", "/readyz", lambda record: {"record": record},
        lambda answer: str(answer["prediction"]), environ, missing=_missing("bentoml"),
    )  # fmt: skip


def _shared(bundle: Path) -> dict[str, str]:
    """Let an environment without our package find it."""
    return {"BENCH_BUNDLE": str(bundle), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}


def _missing(name: str) -> str:
    if PYTHONS[name].exists():
        return ""
    here = PYTHONS[name].parents[1].relative_to(ROOT)
    return (f"python3 -m venv {here} && .venv/uv/bin/uv pip sync --require-hashes "
            f"--python {here}/bin/python benchmarks/serving/{name}.txt")  # fmt: skip


def _numbered(name: str, workers: int) -> str:
    return name if workers == 1 else f"{name}-{workers}"
