"""How many rows a second a batch has: in this process, from file to table, and over HTTP.

    python benchmarks/batch.py BUNDLE [rows] [times]

The rows are simulated. Over HTTP the server is a process of its own with the prediction log
on (SQLite, or CRIMEGUARD_RECORDS_URL), and client and server share the machine's cores; the
answer is read to its end. Each figure is the best of `times`. Beside the last batches one
more client asks for single incidents: median and p95 stand beside those in quiet.
BUNDLE may be `cheap`: a stand-in for the model, which leaves what we add to it.
"""

from __future__ import annotations

import datetime as dt
import http.client
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from crimeguard.cores import cores
from crimeguard.features.columns import Columns
from crimeguard.ingest.frame import canonical
from crimeguard.ingest.simulator import simulate
from crimeguard.ingest.source import read_file
from crimeguard.registry.bundle import Bundle
from crimeguard.serve.scoring import prediction_frame, score_rows, write_predictions
from crimeguard.settings import VARIABLES

ROOT: Final = Path(__file__).resolve().parents[1]
INCIDENT: Final = {"date_occ": "2023-03-10", "time_occ": 2130, "area": 12, "vict_age": 34}
PARQUET: Final = "application/vnd.apache.parquet"
ARROW: Final = "application/vnd.apache.arrow.stream"
CSV: Final = "text/csv"
JSON: Final = "application/json"
FORMS: Final = ((PARQUET, PARQUET), (PARQUET, JSON), (PARQUET, CSV), (ARROW, ARROW), (CSV, CSV))
CHEAP: Final = "cheap"
# The server with the tests' stand-in for a model.
STAND_IN: Final = """
import sys
from dataclasses import replace
from pathlib import Path
from crimeguard.serve import server
from crimeguard.settings import Settings
from tests.serve.fakes import FakePredictor
server.load = lambda path, **_: FakePredictor()
server.run(replace(Settings.load(), port=0), bundle=Path("."),
           on_listen=lambda address: print(f"answers at {address} ", file=sys.stderr, flush=True))
"""


def main() -> None:
    name = sys.argv[1]
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    times = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    print(f"{dt.datetime.now(tz=dt.UTC).date()}, {platform.machine()}, {cores()} cores, CPython "
          f"{platform.python_version()}, {rows:,} rows, best of {times}, model {name}")  # fmt: skip
    table = pl.concat(simulate(rows, seed=11))
    if name != CHEAP:
        _in_process(Bundle.load(Path(name)), table, times)
    with tempfile.TemporaryDirectory() as home, _serving(name, Path(home)) as (address, process):
        _over_http(address, process, table, times)


def _in_process(bundle: Bundle, table: pl.DataFrame, times: int) -> None:
    model, rows = bundle.model, table.height
    columns = Columns.from_frame(canonical(table).frame)
    _tell("in process, one thread", rows, _best(lambda: model.probabilities(columns), times))
    _tell(f"in process, {cores()} threads", rows,
          _best(lambda: score_rows(model, columns), times))  # fmt: skip
    if not np.array_equal(score_rows(model, columns), model.probabilities(columns)):
        raise SystemExit("in chunks and at once give different answers")
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("csv", "parquet"):
            given, made = Path(folder) / f"in.{ending}", Path(folder) / f"out.{ending}"
            (table.write_csv if ending == "csv" else table.write_parquet)(given)

            def file_to_table(given: Path = given, made: Path = made) -> None:
                write_predictions(prediction_frame(model, read_file(given).frame), made)

            _tell(f"file to table, {ending}", rows, _best(file_to_table, times))


def _over_http(
    address: str, process: subprocess.Popen[str], table: pl.DataFrame, times: int
) -> None:
    bodies = {kind: _body(table, kind) for kind in (PARQUET, ARROW, CSV)}
    quiet = _Singles(address)
    time.sleep(2)
    print(f"{'single incidents in quiet':40}{quiet.end()}")
    _remember("resident memory of the server", process, "VmRSS:")
    for kind, wanted in FORMS:
        before = _processor(process)
        seconds = _best(partial(_send, address, bodies[kind], kind, wanted), times)
        each = (_processor(process) - before) / times / table.height
        _tell(f"HTTP, {_short(kind)} in, {_short(wanted)} out", table.height, seconds,
              f"; the server {1e6 * each:.1f} us of one core a row")  # fmt: skip
    beside = _Singles(address)
    seconds = _best(lambda: _send(address, bodies[PARQUET], PARQUET, PARQUET), times)
    print(f"{'single incidents beside parquet batches':40}{beside.end()}")
    _tell("parquet beside single incidents", table.height, seconds)
    _remember("peak memory of the server", process, "VmHWM:")
    time.sleep(12)  # the allocator gives back what nobody used for ten seconds
    _remember("resident twelve seconds later", process, "VmRSS:")


class _Singles:
    """A client that asks for one incident after the other, until it is ended."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._taken: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> str:
        self._stop.set()
        self._thread.join()
        cuts = statistics.quantiles(self._taken, n=100)
        return (f"median {1e3 * cuts[49]:6.1f} ms, p95 {1e3 * cuts[94]:6.1f} ms, "
                f"most {1e3 * max(self._taken):6.1f} ms")  # fmt: skip

    def _run(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self._address).netloc, timeout=60)
        body = json.dumps(INCIDENT)
        while not self._stop.wait(0.01):
            began = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": JSON})
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise SystemExit(f"status {answer.status}")
            self._taken.append(time.perf_counter() - began)
        connection.close()


@contextmanager
def _serving(name: str, home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    program = ["-m", "crimeguard", "serve", "--port", "0", "--bundle", name]
    env = {key: value for key, value in os.environ.items()
           if key not in VARIABLES.values() or key == VARIABLES["records_url"]}  # fmt: skip
    env |= {"CRIMEGUARD_HOME": str(home), "CRIMEGUARD_MAX_UPLOAD_BYTES": str(1 << 30)}
    if name == CHEAP:
        program = ["-c", STAND_IN]
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    process = subprocess.Popen([sys.executable, *program], env=env, text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stderr is not None
    try:
        line = next((line for line in process.stderr if "answers at " in line), "")
        if not line:
            raise SystemExit("the server does not start")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        address = line.split("answers at ")[1].split()[0]
        _wait_ready(address)
        yield address, process
    finally:
        process.terminate()
        process.wait(60)


def _wait_ready(address: str) -> None:
    for _ in range(600):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
        connection.request("GET", "/readyz")
        if connection.getresponse().status == http.client.OK:
            return
        time.sleep(0.1)
    raise SystemExit("the server does not become ready")


def _body(table: pl.DataFrame, kind: str) -> bytes:
    out = io.BytesIO()
    write: dict[str, Callable[[Any], Any]] = {
        PARQUET: table.write_parquet, ARROW: table.write_ipc_stream, CSV: table.write_csv,
    }  # fmt: skip
    write[kind](out)
    return out.getvalue()


def _send(address: str, body: bytes, kind: str, wanted: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    connection.request("POST", "/predict/batch", body, {"Content-Type": kind, "Accept": wanted})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.client.OK:
        raise SystemExit(content.decode())
    connection.close()


def _best(job: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        job()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _tell(what: str, rows: int, seconds: float, more: str = "") -> None:
    print(f"{what:40}{rows / seconds:10,.0f} rows/s, {seconds:6.2f} s{more}", flush=True)


def _short(kind: str) -> str:
    return kind.rpartition("/")[2].removeprefix("vnd.apache.")


def _processor(process: subprocess.Popen[str]) -> float:
    """Return the seconds of processor time that the server has used."""
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _remember(what: str, process: subprocess.Popen[str], name: str) -> None:
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith(name))
    print(f"{what:40}{kilobytes / 1024:10,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
