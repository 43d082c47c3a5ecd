"""The figures of all rounds as one table, and as JSON."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from benchmarks.serving.contenders import Contender, baseline
from benchmarks.serving.rounds import Round
from benchmarks.serving.wrk import Measured

_FIGURES: Final = ("per_second", "p50", "p95", "p99")
_HEAD: Final = (
    "contender", "clients", "req/s", "p50 ms", "p95 ms", "p99 ms", "errors", "MB",
    "req/s of noop", "p95 of noop", "req/s of mlflow",
)  # fmt: skip


def machine() -> str:
    """Return what the figures were taken on."""
    day = dt.datetime.now(dt.UTC).date()
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, CPython {platform.python_version()}, {day}"
    )


def line(found: Round) -> str:
    """Return one round in a line, as it goes."""
    parts = [
        f"{clients}: {one.per_second:,.0f}/s p95 {one.p95:.2f} ms, {one.errors} errors"
        for clients, one in found.measured.items()
    ]
    return (f"  up in {found.start_seconds:.1f} s; {'; '.join(parts)}; {found.megabytes:.0f} MB in "
            f"{found.processes} processes")  # fmt: skip


def report(
    rounds: Sequence[Round],
    entered: Sequence[Contender],
    batches: Sequence[Mapping[str, Any]],
    absent: Mapping[str, str],
    *,
    bundle: str,
    seconds: float,
) -> dict[str, Any]:
    """Put together what was measured: medians over the rounds, ratios within each."""
    rows = []
    for contender in entered:
        mine = [found for found in rounds if found.contender == contender.name]
        if mine:
            rows += [_row(contender, clients, mine, rounds) for clients in mine[0].measured]
    return {
        "machine": machine(), "bundle": bundle, "seconds": seconds,
        "rounds": max((found.number for found in rounds), default=-1) + 1,
        "contenders": {contender.name: contender.what for contender in entered},
        "same_answers": _same(rounds), "rows": rows, "not_measured": dict(absent),
        "batches": list(batches), "raw": [asdict(found) for found in rounds],
    }  # fmt: skip


def _row(
    contender: Contender, clients: int, mine: Sequence[Round], rounds: Sequence[Round]
) -> dict[str, Any]:
    own = [found.measured[clients] for found in mine]
    against = baseline(contender)
    row: dict[str, Any] = {
        "contender": contender.name, "clients": clients,
        "errors": sum(one.errors for one in own),
        "megabytes": max(found.megabytes for found in mine),
        "processes": max(found.processes for found in mine),
        "start_seconds": statistics.median(found.start_seconds for found in mine),
    }  # fmt: skip
    row |= {name: statistics.median(getattr(one, name) for one in own) for name in _FIGURES}
    row["throughput_of_noop"] = _ratio(contender.name, against, clients, rounds, "per_second")
    row["p95_of_noop"] = _ratio(contender.name, against, clients, rounds, "p95")
    row["throughput_of_mlflow"] = _ratio(contender.name, "mlflow", clients, rounds, "per_second")
    return row


def _ratio(name: str, other: str, clients: int, rounds: Sequence[Round], of: str) -> float | None:
    """Return the median of the ratios of each round; None if anything failed in one."""
    mine, theirs = _measured(name, clients, rounds), _measured(other, clients, rounds)
    if not mine or mine.keys() != theirs.keys():
        return None
    if any(one.errors for one in (*mine.values(), *theirs.values())):
        return None
    ratios: list[float] = [getattr(mine[n], of) / getattr(theirs[n], of) for n in mine]
    return statistics.median(ratios)


def _measured(name: str, clients: int, rounds: Sequence[Round]) -> dict[int, Measured]:
    return {found.number: found.measured[clients] for found in rounds if found.contender == name}


def _same(rounds: Sequence[Round]) -> bool:
    """Tell whether all who predict said the same of the first incidents."""
    return len({found.said for found in rounds if None not in found.said}) <= 1


def text(found: Mapping[str, Any]) -> str:
    """Return the report as a table to read, and to put into a page."""
    lines = [
        _heading(found),
        "",
        f"| {' | '.join(_HEAD)} |",
        f"|{' --- |' * len(_HEAD)}",
        *(_line(row) for row in found["rows"]),
        "",
        *(f"{name}: {what}." for name, what in found["contenders"].items()),
        "Ratios are to `noop` of as many workers, which is what the framework costs a user who",
        "writes this API with care; `noop-raw` checks nothing. None where a request failed.",
    ]
    lines += [f"Not measured: {name}: {why}" for name, why in found["not_measured"].items()]
    if not found["same_answers"]:
        lines.append("THE CONTENDERS DO NOT GIVE THE SAME ANSWERS: the figures mean nothing.")
    lines += [_batch(batch) for batch in found["batches"]]
    return "\n".join(lines)


def _heading(found: Mapping[str, Any]) -> str:
    return (f"{found['machine']}; bundle {found['bundle']}; {found['rounds']} rounds of "
            f"{found['seconds']:g} s; medians")  # fmt: skip


def _line(row: Mapping[str, Any]) -> str:
    cells = (
        row["contender"], str(row["clients"]), f"{row['per_second']:,.0f}",
        *(f"{row[name]:.2f}" for name in ("p50", "p95", "p99")), str(row["errors"]),
        f"{row['megabytes']:.0f} ({row['processes']})",
        _percent(row["throughput_of_noop"]), _times(row["p95_of_noop"]),
        _times(row["throughput_of_mlflow"]),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.0%}"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f}x"


def _batch(batch: Mapping[str, Any]) -> str:
    if "refused" in batch:
        return f"batch, {batch['form']}: {batch['refused']}"
    return (f"batch of {batch['rows']:,}, {batch['form']}: {batch['seconds']:.2f} s, "
            f"{batch['per_second']:,.0f} rows/s (median of {batch['times']})")  # fmt: skip
