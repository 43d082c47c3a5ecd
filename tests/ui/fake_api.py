"""A stand-in for the API: answers the contract's forms with invented figures.

It predicts nothing: the category is picked from the premise, so that tests know what to
expect. What the real API answers is proved where the real one runs.
"""

import csv
import email
import email.policy
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow.parquet as pq

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.domain.level import level_of
from crimeguard.domain.repair import repair_date

MODEL_INFO = {"name": "crimeguard", "version": "7", "sha256": "ab" * 32}
CARD: dict[str, Any] = {
    "categories": list(CATEGORIES),
    "categories_at_best_level": [
        {"category": "theft", "f1": 0.81, "precision": 0.8, "recall": 0.82, "roc_auc": 0.98,
         "support": 2100},
        {"category": "robbery", "f1": 0.77, "precision": 0.75, "recall": 0.79, "roc_auc": None,
         "support": 0},
    ],
    "data": {"snapshot": "0123abcd", "source": "file"},
    "importance": {"how": "rise in log-loss", "fields": {"premise": 0.41, "mocodes": 1.2}},
    "intended_use": "Categorising incident reports.",
    "levels": {
        "call": {"rows": 15600, "accuracy": 0.3912, "macro_f1": 0.2230, "ece": 0.0151,
                 "coverage": 0.9012, "set_size": 5.2},
        "report": {"rows": 15600, "accuracy": 0.8762, "macro_f1": 0.8301, "ece": 0.0081,
                   "coverage": 0.9043, "set_size": 1.2},
    },
    "limits": "The categories are those of the police report.",
    "name": "crimeguard",
    "not_for": "Ranking, scoring or forecasting places or people.",
    "params": {"coverage": 0.9, "seed": 1, "xgboost": {"rounds": 100}},
    "task": "category of one reported incident",
    "tested": {"first": "2023-03-01", "last": "2023-03-31", "rows": 15600},
    "trained": {"first": "2023-01-01", "last": "2023-02-28", "rows": 31500},
}  # fmt: skip


@dataclass
class FakeApi:
    """What was asked of it, and how it is to behave."""

    url: str = ""
    status: str = "ok"
    delay: float = 0.0
    # Answers every request with this instead: (status, content type, body).
    instead: tuple[int, str, str] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    files: list[tuple[str, int]] = field(default_factory=list)


def answer_to(record: dict[str, Any]) -> dict[str, Any]:
    """Invent an answer: a parking lot means theft from vehicle, anything else theft."""
    premise = str(record.get("premis_cd") or "")
    first = "theft_from_vehicle" if premise.startswith("108") else "theft"
    probabilities = dict.fromkeys(CATEGORIES, 0.005)
    probabilities["burglary"] = 0.2
    probabilities[first] = 1 - 0.005 * 13 - 0.2
    return {
        "prediction": first,
        "confidence": probabilities[first],
        "probabilities": probabilities,
        "prediction_set": [first, "burglary"],
        "information_level": level_of(record.keys()).label,
        "prediction_id": "0123456789abcdef" * 2,
    }


def health(status: str) -> dict[str, Any]:
    registry = {"state": "fixed", "alias": None, "version": None, "looked_at": None}
    return {"status": status, "model_info": None if status == "starting" else MODEL_INFO,
            "uptime_seconds": 1.0, "registry": registry, "version": "0"}  # fmt: skip


def problem(status: int, detail: str, *errors: dict[str, Any]) -> tuple[int, str, str]:
    document = {"type": "/docs", "title": "Refused", "status": status, "detail": detail,
                "instance": "/", "request_id": "1", "errors": list(errors)}  # fmt: skip
    return status, "application/problem+json", json.dumps(document)


@contextmanager
def running(port: int = 0) -> Iterator[FakeApi]:
    """Run the stand-in on a free port of loopback."""
    fake = FakeApi()
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeApi

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base's name
        """Stay quiet."""

    def do_GET(self) -> None:
        bodies: dict[str, Any] = {
            "/health": health(self.fake.status),
            "/model": {"model_info": MODEL_INFO, "card": CARD},
        }
        if self.path in bodies:
            self._send(200, "application/json", json.dumps(bodies[self.path]))
        else:
            self._send(*problem(404, "There is nothing at this path."))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/predict":
            self._predict(json.loads(body))
        else:
            self._batch(body)

    def _predict(self, record: dict[str, Any]) -> None:
        self.fake.asked.append(record)
        answer = answer_to(record) | {
            "model_info": MODEL_INFO, "variant": "champion", "ignored_fields": [],
        }  # fmt: skip
        self._send(200, "application/json", json.dumps(answer))

    def _batch(self, body: bytes) -> None:
        name, rows = self._rows(body)
        self.fake.files.append((name, len(rows)))
        if not rows:
            self._send(*problem(422, f"{name} holds no rows."))
            return
        bad = [
            {"pointer": f"/{number - 1}/DATE OCC", "row": number, "column": "DATE OCC",
             "detail": f"{row['date_occ']!r} is not a date (MM/DD/YYYY or YYYY-MM-DD)."}
            for number, row in enumerate(rows, 1) if not _is_date(row["date_occ"])
        ]  # fmt: skip
        if bad:
            self._send(*problem(422, f"{name} holds values that cannot be understood.", *bad))
            return
        answers = [answer_to(row) | {"DR_NO": row.get("dr_no")} for row in rows]
        named = Counter(answer["prediction"] for answer in answers)
        answer = {"predictions": answers, "rows": len(rows), "ignored_fields": [],
                  "summary": {name: named[name] for name in CATEGORIES},
                  "model_info": MODEL_INFO}  # fmt: skip
        self._send(200, "application/json", json.dumps(answer))

    def _rows(self, body: bytes) -> tuple[str, list[dict[str, str]]]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        (part,) = message.iter_parts()
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = str(part.get_filename())
        if name.endswith(".parquet"):
            rows = pq.read_table(io.BytesIO(content)).to_pylist()
        else:
            rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        return name, [
            {CANONICAL_NAMES[key]: value for key, value in row.items() if key in CANONICAL_NAMES}
            for row in rows
        ]

    def _send(self, status: int, kind: str, body: str) -> None:
        if self.fake.instead is not None:
            status, kind, body = self.fake.instead
        time.sleep(self.fake.delay)
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _is_date(text: str) -> bool:
    try:
        return repair_date(text) is not None
    except ValueError:
        return False
