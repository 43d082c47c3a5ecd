"""What `crimeguard doctor` looks at. Each check takes the settings and returns outcomes."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx

from crimeguard.cli import health_remote
from crimeguard.domain.errors import GateRefusedError, UsageError
from crimeguard.settings import Settings

Status = Literal["ok", "warn", "fail"]

OLDEST_PYTHON: Final = (3, 11)
# Bytes. Training on a million rows takes about 3 GB; state grows by some 100 MB a model.
DISK_LEAST: Final = 500_000_000
DISK_GOOD: Final = 5_000_000_000
MEMORY_LEAST: Final = 1_000_000_000
MEMORY_GOOD: Final = 4_000_000_000
# Native libraries can be installed and still not load, so what serves is really imported.
SERVING: Final = (
    "numpy", "polars", "lightgbm", "xgboost", "pydantic", "orjson", "fastapi", "uvicorn",
)  # fmt: skip
# These take seconds each to import; that they are there must do.
PARTS: Final = {
    "training": ("sklearn", "scipy", "pandera", "matplotlib", "mlflow", "dvc", "jinja2"),
    "monitoring": ("evidently", "scipy", "jinja2"),
    "console": ("streamlit", "plotly", "pydeck"),
}
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE: Final = 2  # seconds for a server to answer
_REINSTALL: Final = "Run `make up` again: it installs what is locked."


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the doctor: what was checked, how it is, what to do if it is not well."""

    check: str
    status: Status
    found: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the outcome as JSON types."""
        return asdict(self)


def check_python(_settings: Settings) -> Iterable[Outcome]:
    """Check the version of Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        yield Outcome("python", "fail", version, "Install Python 3.11 or newer.")
    else:
        yield Outcome("python", "ok", version)


def check_packages(_settings: Settings) -> Iterable[Outcome]:
    """Check that what each part needs is there."""
    broken = [problem for name in SERVING if (problem := _import_problem(name))]
    if broken:
        yield Outcome("packages for serving", "fail", "; ".join(broken), _REINSTALL)
    else:
        yield Outcome("packages for serving", "ok", f"{len(SERVING)} import")
    for part, names in PARTS.items():
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing:
            yield Outcome(f"packages for {part}", "warn", f"{', '.join(missing)} missing",
                          f"Without them there is no {part}. {_REINSTALL}")  # fmt: skip
        else:
            yield Outcome(f"packages for {part}", "ok", f"{len(names)} installed")


def _import_problem(name: str) -> str:
    try:
        importlib.import_module(name)
    except (ImportError, OSError) as error:
        return f"{name}: {error}"
    return ""


def check_versions(_settings: Settings) -> Iterable[Outcome]:
    """Compare the versions installed with the locked ones."""
    pins = Path(__file__).parents[3] / "requirements" / "pins.txt"
    if not pins.is_file():
        yield Outcome("locked versions", "ok", "no lock beside an installed package")
        return
    other, same = compare_versions(pins.read_text(encoding="utf-8"))
    if other:
        listed = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        yield Outcome("locked versions", "warn", listed, _REINSTALL)
    else:
        yield Outcome("locked versions", "ok", f"{same} packages as locked")


def compare_versions(pins: str) -> tuple[list[str], int]:
    """Return what is installed in another version than `name==version` says, and the rest's number.

    What is not installed is no concern: the lock also holds other systems' packages.
    """
    other, same = [], 0
    for line in pins.splitlines():
        name, _, locked = line.partition("==")
        try:
            installed = metadata.version(name.strip())
        except (metadata.PackageNotFoundError, ValueError):
            continue
        if installed == locked.strip():
            same += 1
        else:
            other.append(f"{name} {installed}, locked {locked.strip()}")
    return other, same


def check_kernel(_settings: Settings) -> Iterable[Outcome]:
    """Look for the compiled kernel; without it NumPy answers, more slowly."""
    from crimeguard.native.library import library, target

    why = library().why
    if why:
        fix = "Install a C compiler and run `python -m crimeguard.native.build`."
        yield Outcome("compiled kernel", "warn", f"none ({why}): NumPy answers, more slowly", fix)
    else:
        yield Outcome("compiled kernel", "ok", target().name)


def check_home(settings: Settings) -> Iterable[Outcome]:
    """Check that state can be written, without making anything that stays."""
    folder = _nearest(settings.home)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Outcome("state folder", "fail", f"{settings.home}: {error.strerror}",
                      "Set CRIMEGUARD_HOME to a folder that you may write to.")  # fmt: skip
    else:
        new = "" if settings.home.exists() else " (will be made)"
        yield Outcome("state folder", "ok", f"{settings.home.resolve()}{new}")


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest of its parents that exists."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def check_disk(settings: Settings) -> Iterable[Outcome]:
    """Check the room for state."""
    free = shutil.disk_usage(_nearest(settings.home)).free
    yield _amount("free disk", free, DISK_LEAST, DISK_GOOD, "Free some space, or move "
                  "CRIMEGUARD_HOME to a larger disk.")  # fmt: skip


def check_memory(_settings: Settings) -> Iterable[Outcome]:
    """Check the memory that is available."""
    free = available_memory()
    if free is None:
        yield Outcome("free memory", "ok", "not known on this system")
    else:
        yield _amount("free memory", free, MEMORY_LEAST, MEMORY_GOOD, "Close other programs, or "
                      "train on fewer rows.")  # fmt: skip


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the bytes that can be had without swapping; None where the system does not tell."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(values[0]) * 1024 if values else None


def _amount(check: str, free: int, least: int, good: int, fix: str) -> Outcome:
    found = f"{free / 1e9:,.1f} GB"
    if free < least:
        return Outcome(check, "fail", found, f"At least {least / 1e9:.1f} GB are needed. {fix}")
    if free < good:
        return Outcome(check, "warn", found, f"{good / 1e9:.0f} GB are better. {fix}")
    return Outcome(check, "ok", found)


def check_ports(settings: Settings) -> Iterable[Outcome]:
    """Check that the API and the console can listen, or already do."""
    yield _port("API port", settings.host, settings.port, "/livez", "CRIMEGUARD_PORT")
    yield _port("console port", settings.ui_host, settings.ui_port, "/_stcore/health",
                "CRIMEGUARD_UI_PORT")  # fmt: skip


def _port(check: str, host: str, port: int, probe: str, variable: str) -> Outcome:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except (OSError, OverflowError) as error:
        if _answers(f"http://{host}:{port}{probe}"):
            return Outcome(check, "ok", f"{port}: already answering")
        return Outcome(check, "fail", f"{host}:{port}: {error}",
                       f"Stop what listens there, or set {variable} to another port.")  # fmt: skip
    return Outcome(check, "ok", f"{port} is free")


def check_keys(settings: Settings) -> Iterable[Outcome]:
    """Check the API keys, and that nobody can reach an API without them."""
    from crimeguard.serve.keys import KeysError, open_keys
    from crimeguard.serve.server import require_loopback

    try:
        ring = open_keys(settings)
        if ring is None:
            require_loopback(settings.host)
    except (KeysError, UsageError) as error:
        yield Outcome("API keys", "fail", f"{error.what} {error.why}".strip(), error.fix)
        return
    if ring is None:
        yield Outcome("API keys", "ok", f"none: the API listens on {settings.host} only")
        return
    listed = ", ".join(f"{key.name} ({'+'.join(sorted(key.scopes))})" for key in ring.keys)
    mine = ring.find(settings.api_key)
    if settings.api_key and mine is None:
        yield Outcome("API keys", "warn", f"{listed}; CRIMEGUARD_API_KEY is none of them",
                      "Set it to a key that has an entry, or unset it.")  # fmt: skip
    else:
        yield Outcome("API keys", "ok", listed or "none accepted")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_PATIENCE, trust_env=False).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def check_registry(settings: Settings) -> Iterable[Outcome]:
    """Check that MLflow's database or server can be reached; MLflow itself is not imported."""
    address = urlsplit(settings.tracking_uri)
    shown = settings.tracking_uri.replace(f"{address.password}@", "***@")
    fix = "Check MLFLOW_TRACKING_URI, and that the server runs."
    if address.scheme == "sqlite":
        yield _sqlite("MLflow", Path(settings.tracking_uri.removeprefix("sqlite:///")))
    elif address.scheme in {"http", "https"}:
        problem, remedy = health_remote.ask_mlflow(settings)
        found = f"{shown}: {problem}" if problem else shown
        yield Outcome("MLflow", "fail" if problem else "ok", found, remedy)
    elif address.hostname:
        problem = _connect(address.hostname, address.port or 5432)
        found = f"{shown}: {problem}" if problem else shown
        yield Outcome("MLflow", "fail" if problem else "ok", found, fix if problem else "")
    else:
        yield Outcome("MLflow", "fail", f"{shown!r} is no address of an MLflow", fix)


def _sqlite(check: str, file: Path) -> Outcome:
    if not file.exists():
        return Outcome(check, "ok", f"{file} (will be made)")
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        return Outcome(check, "fail", f"{file}: {error}",
                       "Restore the file, or move it away to begin anew.")  # fmt: skip
    return Outcome(check, "ok", str(file))


def check_records(settings: Settings) -> Iterable[Outcome]:
    """Check that the database of log, labels and ledger can be reached."""
    address = urlsplit(settings.records_uri)
    if address.scheme == "sqlite":
        yield _sqlite("records", Path(settings.records_uri.removeprefix("sqlite:///")))
        return
    fix = "Check CRIMEGUARD_RECORDS_URL, and that the server runs."
    shown = f"{address.scheme}://{address.hostname}"
    problem = health_remote.ask_postgres(settings.records_uri)
    found = f"{shown}: {problem}" if problem else shown
    yield Outcome("records", "fail" if problem else "ok", found, fix if problem else "")


def check_remote(settings: Settings) -> Iterable[Outcome]:
    """Check that the remote of snapshots answers us, if there is one."""
    if settings.dvc_url:
        shown, problem, remedy = health_remote.ask_remote(settings)
        found = f"{shown} {problem}" if problem or remedy else shown
        yield Outcome("data remote", "fail" if remedy else "ok", found.strip(), remedy)


def check_deepchecks(settings: Settings) -> Iterable[Outcome]:
    """Look for the environment that one of the gates needs."""
    from crimeguard.evaluate.suite import interpreter

    try:
        yield Outcome("Deepchecks", "ok", str(interpreter(settings)))
    except GateRefusedError as error:
        yield Outcome("Deepchecks", "warn", "not found",
                      f"Without it the gate of that name refuses: {error.fix}.")  # fmt: skip


def _connect(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE):
            return ""
    except OSError as error:
        return str(error)


def check_browser(_settings: Settings) -> Iterable[Outcome]:
    """Look for Chromium."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found:
        yield Outcome("chromium", "ok", found)
    else:
        yield Outcome("chromium", "warn", "not found",
                      "Only the browser tests need it; install it with your system.")  # fmt: skip


CHECKS: Final[tuple[Callable[[Settings], Iterable[Outcome]], ...]] = (
    check_python, check_packages, check_versions, check_kernel, check_home, check_disk,
    check_memory, check_ports, check_keys, check_registry, check_records, check_remote,
    check_deepchecks, check_browser,
)  # fmt: skip
