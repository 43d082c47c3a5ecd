"""Bundles that are swapped under load, and whether each answer is that of one bundle."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from crimeguard.domain.incident import Incident
from crimeguard.registry.bundle import verify
from crimeguard.serve import server
from crimeguard.settings import Settings
from tests.faults.following import PROGRAM, folders
from tests.faults.served import Served, served

INCIDENTS: Final[Sequence[Mapping[str, Any]]] = tuple(
    {"date_occ": "2023-03-10", "time_occ": 100 * hour, "area": area, "vict_age": 20 + area,
     "premis_cd": 101 + hour}
    for area in (1, 7, 12, 18) for hour in (3, 14, 22)
)  # fmt: skip
_CALLERS: Final = 4  # threads that ask for one incident at a time; one more asks for all of them
_PATIENCE: Final = 60.0  # seconds

Expected = Mapping[str, Sequence[Mapping[str, float]]]


@dataclass
class Met:
    """What callers met; `wrong` names the first few answers that are of no bundle."""

    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    most_live: int = 0
    slowest: float = 0.0


def expected(bundles: Sequence[Path]) -> Expected:
    """Return each bundle's own answers to INCIDENTS, computed without a server, by sha256."""
    found = {}
    for folder in bundles:
        predictor = server.load(folder)
        incidents = [Incident.from_record(record) for record in INCIDENTS]
        answers = [predictor.predict([incident])[0] for incident in incidents]
        found[predictor.bundle.sha256] = [answer.probabilities for answer in answers]
    return found


def swap_under_load(home: Path, bundles: Sequence[Path], swaps: int) -> Met:
    """Serve, ask from several threads, and change the alias so many times."""
    registry, met, truth = folders(home), Met(), expected(bundles)
    shas = [verify(bundle)[1] for bundle in bundles]
    for number, bundle in enumerate(bundles):
        registry.put(str(number), bundle)
    registry.name("0")
    stop = threading.Event()
    with served(None, Settings(home=home), program=PROGRAM) as running:
        threads = [
            threading.Thread(target=_ask, args=(running.address, place, truth, met, stop))
            for place in range(_CALLERS + 1)
        ]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, swaps + 1):
                place = number % len(bundles)
                began = time.monotonic()
                registry.name(str(place))
                _wait_for(shas[place], met, running)
                met.slowest = max(met.slowest, time.monotonic() - began)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    met.most_live = max(int(line) for line in (home / "live").read_text().split())
    return met


def _wait_for(sha256: str, met: Met, running: Served) -> None:
    """Wait until callers have met a bundle again."""
    before, end = met.answers[sha256], time.monotonic() + _PATIENCE
    while met.answers[sha256] < before + 3:
        assert time.monotonic() < end, running.errors
        assert not met.failed, met.failed[0]
        time.sleep(0.005)


def _ask(address: str, place: int, truth: Expected, met: Met, stop: threading.Event) -> None:
    turn, batch = place, place == _CALLERS
    with httpx.Client(base_url=address, timeout=60) as client:
        while not stop.is_set():
            turn = (turn + 1) % len(INCIDENTS)
            try:
                answer = (client.post("/predict/batch", json=list(INCIDENTS)) if batch
                          else client.post("/predict", json=INCIDENTS[turn]))  # fmt: skip
            except httpx.TransportError as error:
                met.failed.append(repr(error))
                return
            if not answer.is_success:
                met.failed.append(answer.text)
                return
            document = answer.json()
            rows = document.get("predictions", [document])
            _compare(document["model_info"]["sha256"], rows, 0 if batch else turn, truth, met)


def _compare(
    sha256: str, rows: Sequence[Mapping[str, Any]], first: int, truth: Expected, met: Met
) -> None:
    """Hold answers against those of the bundle that they name."""
    met.answers[sha256] += 1
    for place, row in enumerate(rows, first):
        own = truth[sha256][place]
        gap = max(abs(row["probabilities"][name] - share) for name, share in own.items())
        if gap > 1e-9 and len(met.wrong) < 5:
            met.wrong.append(f"{sha256[:12]}, off by {gap:.2g}: {json.dumps(row)}")
