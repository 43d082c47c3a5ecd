"""Answering an uploaded file: part by part, gathered into one result."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import IO, Any, Final, Protocol

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.codes import area_names, premise_names
from crimeguard.domain.repair import repair_code, repair_latitude, repair_longitude
from crimeguard.ui.answer import Answer, BatchAnswer, ModelInfo
from crimeguard.ui.client import ApiError, NotReadyError
from crimeguard.ui.place import rounded
from crimeguard.ui.tabular import ROWS_A_PART, Part, parts
from crimeguard.ui.wording import LEVEL_NAMES, category_name, percent

PREVIEW_ROWS: Final = 200
WAITS: Final = (0.5, 1.0, 2.0)  # seconds
DOWNLOAD_COLUMNS: Final = (
    "row", "DR_NO", "prediction", "confidence", "information_level", "prediction_set",
    *(f"p_{name}" for name in CATEGORIES),
)  # fmt: skip


class Asks(Protocol):
    """What answers a file of incidents: the client, or a test's stand-in."""

    def predict_file(self, name: str, content: bytes) -> BatchAnswer:
        """Answer one file."""


@dataclass(slots=True)
class BatchResult:
    """What is kept of an answered file.

    `download` is the whole result as CSV; `places` counts incidents by rounded latitude,
    longitude and category; `preview` holds the first rows for the screen.
    """

    rows: int = 0
    placed: int = 0
    confident: float = 0.0
    model: ModelInfo | None = None
    counts: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    places: Counter[tuple[float, float, str]] = field(default_factory=Counter)
    preview: list[dict[str, Any]] = field(default_factory=list)
    download: bytes = b""


def answer_file(
    asks: Asks,
    name: str,
    upload: IO[bytes],
    on_progress: Callable[[float, int], None],
    rows_a_part: int = ROWS_A_PART,
) -> BatchResult:
    """Answer a whole upload.

    `on_progress` is told the share done (0 to 1) and the rows answered so far. Raises
    UploadError where the file breaks, ApiError where the API refuses; the positions in
    its problems are then those of the whole file.
    """
    result = BatchResult()
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(DOWNLOAD_COLUMNS)
    for part in parts(name, upload, rows_a_part):
        answered = _ask(asks, part)
        result.model = answered.model
        for offset, (record, answer) in enumerate(zip(part.records, answered.answers, strict=True)):
            _add(result, writer, part.first + offset + 1, record, answer)
        on_progress(part.done, result.rows)
    result.download = text.getvalue().encode()
    return result


def _ask(asks: Asks, part: Part) -> BatchAnswer:
    try:
        answered = _patiently(asks, part)
    except ApiError as error:
        if not any(problem.row for problem in error.problems):
            raise
        # The service counts within the part, people within their file.
        raise ApiError(
            f"{part.name} holds values that cannot be understood, so nothing is predicted.",
            fix="Correct them and upload the file again.",
            problems=tuple(
                problem if problem.row is None else replace(problem, row=problem.row + part.first)
                for problem in error.problems
            ),
        ) from None
    if len(answered.answers) != len(part.records):
        raise ApiError("The prediction service answered another number of rows than it was sent.",
                       why=f"{len(part.records)} rows were sent, {len(answered.answers)} came "
                       "back.", fix="Check that the file has one header line.")  # fmt: skip
    return answered


def _patiently(asks: Asks, part: Part) -> BatchAnswer:
    """Ask again a few times if the service has too much to do: the rest is done already."""
    for wait in WAITS:
        try:
            return asks.predict_file(part.name, part.content)
        except NotReadyError:
            time.sleep(wait)
    return asks.predict_file(part.name, part.content)


def _add(
    result: BatchResult, writer: Any, row: int, record: dict[str, str], answer: Answer
) -> None:
    result.rows += 1
    result.confident += answer.confidence
    result.counts[answer.category] += 1
    result.levels[LEVEL_NAMES[answer.level]] += 1
    point = _point(record)
    if point is not None:
        result.placed += 1
        result.places[(*rounded(*point, answer.category), answer.category)] += 1
    writer.writerow([
        row, record.get("dr_no", ""), answer.category, f"{answer.confidence:.6f}",
        answer.level.label, " ".join(answer.prediction_set),
        *(f"{answer.probabilities[name]:.6f}" for name in CATEGORIES),
    ])  # fmt: skip
    if len(result.preview) < PREVIEW_ROWS:
        result.preview.append(_preview(row, record, answer))


def _point(record: dict[str, str]) -> tuple[float, float] | None:
    try:
        latitude = repair_latitude(record.get("lat", ""))
        longitude = repair_longitude(record.get("lon", ""))
    except ValueError:
        return None
    return None if latitude is None or longitude is None else (latitude, longitude)


def _preview(row: int, record: dict[str, str], answer: Answer) -> dict[str, Any]:
    return {
        "Row": row,
        "Category": category_name(answer.category),
        "Confidence": percent(answer.confidence),
        "One of": ", ".join(category_name(name) for name in answer.prediction_set),
        "Level": LEVEL_NAMES[answer.level],
        "Date": record.get("date_occ", "")[:10],
        "Area": _name(area_names(), record.get("area", "")),
        "Premise": _name(premise_names(), record.get("premis_cd", "")),
    }


def _name(names: Any, code: str) -> str:
    try:
        number = repair_code(code)
    except ValueError:
        return code
    return "" if number is None else names.get(number, str(number))
