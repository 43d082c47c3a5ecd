"""A hundred thousand incidents in one request, in every form that the API takes."""

from __future__ import annotations

import http.client
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.serving.contenders import Contender, contenders
from benchmarks.serving.incidents import arrow, parquet
from benchmarks.serving.process import NotUpError, free_ports, running

TIMES: Final = 5
_PARQUET: Final = "application/vnd.apache.parquet"
_ARROW: Final = "application/vnd.apache.arrow.stream"
# Body and answer; the answer is read to its end.
FORMS: Final = (
    (_PARQUET, "application/json"), (_PARQUET, "text/csv"), (_PARQUET, _PARQUET),
    (_ARROW, _ARROW),
)  # fmt: skip


def measure(bundle: Path, work: Path, rows: int) -> list[dict[str, Any]]:
    """Send the same incidents several times in each form; a form that is not taken is named."""
    ours = contenders(bundle, work, 1)["crimeguard"]
    bodies = {_PARQUET: parquet(rows), _ARROW: arrow(rows)}
    home = work / "batch"
    home.mkdir()
    ports = free_ports()
    address = f"http://127.0.0.1:{ports[0]}"
    found = []
    with running(*ours.filled(ports, home), home / "server.log") as server:
        try:
            server.wait_ready(address + ours.ready)
        except NotUpError as error:
            raise SystemExit(f"crimeguard did not come up:\n{error}") from None
        for kind, wanted in FORMS:
            found.append(_form(ours, address, bodies[kind], kind, wanted, rows))
            print(f"batch {found[-1]}", file=sys.stderr)
    return found


def _form(
    ours: Contender, address: str, body: bytes, kind: str, wanted: str, rows: int
) -> dict[str, Any]:
    form = f"{_short(kind)} in, {_short(wanted)} out"
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        status, given = _send(ours, address, body, kind, wanted)
        if status != http.client.OK or not given.startswith(wanted):
            return {"form": form, "refused": f"not to be had (status {status}, {given})"}
        taken.append(time.perf_counter() - began)
    seconds = statistics.median(taken)
    return {"form": form, "rows": rows, "seconds": seconds, "per_second": rows / seconds,
            "times": TIMES, "megabytes": len(body) / 1e6}  # fmt: skip


def _send(ours: Contender, address: str, body: bytes, kind: str, wanted: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    try:
        headers = {"Content-Type": kind, "Accept": wanted, "X-API-Key": ours.key}
        connection.request("POST", "/predict/batch", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Content-Type", "")
    finally:
        connection.close()


def _short(kind: str) -> str:
    return kind.rpartition("/")[2].removeprefix("vnd.apache.").removesuffix(".stream")
