"""The tensors of the Open Inference Protocol, in JSON: incidents in, predictions out.

An incident is a JSON object in a tensor `incident`, or its fields are tensors of their own,
or both. Whatever is wrong is pointed at in the request as it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.domain.level import InformationLevel
from crimeguard.serve.batch import Batch, Scored
from crimeguard.serve.body import parse_json
from crimeguard.serve.incident import LEVEL_FIELD
from crimeguard.serve.listed import MOST_LISTED, read_list
from crimeguard.serve.problem import BAD_TENSOR, MOST_FLAWS, Flaw, Problem, pointer

INCIDENT: Final = "incident"
_KNOWN: Final = ("id", "parameters", "inputs", "outputs")
_TENSOR: Final = frozenset({"name", "datatype", "shape", "data", "parameters"})
_CHOICE: Final = frozenset({"name", "parameters"})
_NUMBERS: Final = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_REALS: Final = ("FP16", "FP32", "FP64")
_MOST_TENSORS: Final = 100
_LONGEST_ID: Final = 200

# Name, type and shape of what is answered; -1 is the number of incidents.
OUTPUTS: Final = (
    ("prediction", "BYTES", (-1,)),
    ("confidence", "FP64", (-1,)),
    ("probabilities", "FP64", (-1, len(CATEGORIES))),
    ("prediction_set", "BOOL", (-1, len(CATEGORIES))),
    ("categories", "BYTES", (len(CATEGORIES),)),
    ("information_level", "BYTES", (-1,)),
    ("prediction_id", "BYTES", (-1,)),
)
_NAMES: Final = tuple(name for name, _, _ in OUTPUTS)
_LEVELS: Final = tuple(level.label for level in InformationLevel)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input: its place in the request, its name, and a value for each incident."""

    place: int
    name: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read: the incidents, the outputs wanted, the caller's own id."""

    batch: Batch
    outputs: tuple[str, ...]
    id: str | None


def describe() -> dict[str, Any]:
    """Return the tensors in the form of the protocol's model metadata."""
    return {
        "inputs": [{"name": INCIDENT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": name, "datatype": kind, "shape": list(shape)} for name, kind, shape in OUTPUTS
        ],
    }


def read(body: bytes) -> Asked:
    """Read an inference request; Problem points at everything that is wrong."""
    document = parse_json(body)
    if not isinstance(document, dict):
        raise _refusal([Flaw("", "must be an object with `inputs`.")])
    flaws = [Flaw(pointer(key[:80]), f"is none of {', '.join(_KNOWN)}.")
             for key in document if key not in _KNOWN]  # fmt: skip
    flaws += _flaws_of_id(document.get("id"))
    flaws += [Flaw(pointer(*at), detail) for at, detail in _wrong_parameters(document)]
    outputs = _outputs(document.get("outputs"), flaws)
    tensors = _tensors(document.get("inputs"), flaws)
    if flaws:
        raise _refusal(flaws)
    records = _records(tensors)
    try:
        batch = read_list(records)
    except Problem as problem:
        raise _at_tensors(problem, tensors) from None
    return Asked(batch, outputs, document.get("id"))


def answer(asked: Asked, scored: Scored) -> dict[str, Any]:
    """Return the inference response; matrices are flat, row by row."""
    written = {
        name: {
            "name": name,
            "datatype": kind,
            "shape": [scored.rows if n < 0 else n for n in shape],
        }
        for name, kind, shape in OUTPUTS
    }
    data = _data(scored)
    document: dict[str, Any] = {
        "model_name": scored.info["name"],
        "model_version": scored.info["version"],
        "parameters": {
            "sha256": scored.info["sha256"],
            "ignored_fields": ", ".join(asked.batch.ignored),
        },
        "outputs": [{**written[name], "data": data[name]} for name in asked.outputs],
    }
    return document if asked.id is None else {"id": asked.id, **document}


def _data(scored: Scored) -> dict[str, Any]:
    table = scored.probabilities
    best = table.argmax(axis=1)
    return {
        "prediction": [CATEGORIES[place] for place in best],
        "confidence": table[np.arange(scored.rows), best],
        "probabilities": np.ascontiguousarray(table).reshape(-1),
        "prediction_set": scored.inside.reshape(-1).tolist(),
        "categories": CATEGORIES,
        "information_level": [_LEVELS[level] for level in scored.batch.columns.level],
        "prediction_id": scored.ids,
    }


def _flaws_of_id(given: Any) -> Iterator[Flaw]:
    if given is not None and not (isinstance(given, str) and len(given) <= _LONGEST_ID):
        yield Flaw("/id", f"must be text of at most {_LONGEST_ID} letters.")


def _outputs(given: Any, flaws: list[Flaw]) -> tuple[str, ...]:
    if given is None or given == []:
        return _NAMES
    if not isinstance(given, list):
        flaws.append(Flaw("/outputs", "must be a list of objects with a `name`."))
        return ()
    names = [item.get("name") if isinstance(item, dict) else None for item in given]
    for place, name in enumerate(names):
        if name not in _NAMES or name in names[:place]:
            text = f"must be one of {', '.join(_NAMES)}, each once."
            at = ("name",) if isinstance(given[place], dict) else ()
            flaws.append(Flaw(pointer("outputs", place, *at), text))
        elif isinstance(given[place], dict):
            flaws += [Flaw(pointer("outputs", place, *at), detail)
                      for at, detail in _wrong_members(given[place], _CHOICE)]  # fmt: skip
    return tuple(map(str, names))


def _tensors(given: Any, flaws: list[Flaw]) -> list[Tensor]:
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST_TENSORS:
        flaws.append(Flaw("/inputs", f"must be a list of 1 to {_MOST_TENSORS} tensors."))
        return []
    tensors: list[Tensor] = []
    for place, item in enumerate(given):
        found = list(_wrong(item, tensors))
        flaws += [Flaw(pointer("inputs", place, *at), detail) for at, detail in found]
        if not found:
            tensors.append(Tensor(place, item["name"], _flat(item)))
    return tensors


def _wrong(item: Any, before: Sequence[Tensor]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Say what is wrong with one tensor, and where in it."""
    if not isinstance(item, dict):
        yield (), "must be an object with name, shape, datatype and data."
        return
    yield from _wrong_members(item, _TENSOR)
    name, shape = item.get("name"), item.get("shape")
    if not isinstance(name, str) or name not in {INCIDENT, LEVEL_FIELD, *CANONICAL_NAMES}:
        yield ("name",), f"must be {INCIDENT} or a field of an incident."
    elif any(tensor.name == name for tensor in before):
        yield ("name",), "stands for a second tensor."
    if not isinstance(shape, list) or not _is_shape(shape):
        yield ("shape",), f"must be [n] or [n, 1] with n from 1 to {MOST_LISTED:,}."
    elif before and shape[0] != len(before[0].values):
        yield ("shape",), "is for another number of incidents than the tensors before."
    else:
        yield from _wrong_data(item, shape[0])


def _wrong_members(
    item: Mapping[str, Any], known: Set[str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for key in item.keys() - known:
        yield (key[:80],), f"is none of {', '.join(sorted(known))}."
    yield from _wrong_parameters(item)


def _wrong_parameters(item: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    # They are read and not used, but what is no object was meant otherwise.
    if not isinstance(item.get("parameters"), dict | None):
        yield ("parameters",), "must be an object."


def _is_shape(shape: list[Any]) -> bool:
    if shape[1:] not in ([], [1]):
        return False
    return bool(shape) and type(shape[0]) is int and 1 <= shape[0] <= MOST_LISTED


def _wrong_data(item: Mapping[str, Any], rows: int) -> Iterator[tuple[tuple[str, ...], str]]:
    kind = item.get("datatype")
    if kind not in ("BYTES", *_NUMBERS, *_REALS) or (
        item.get("name") == INCIDENT and kind != "BYTES"
    ):
        yield ("datatype",), "must be BYTES, or for a field also an integer or FP type."
        return
    if not isinstance(item.get("data"), list):
        yield ("data",), "must be a list in the JSON itself; binary data are not read here."
        return
    values = _flat(item)
    if len(values) != rows:
        yield ("data",), f"holds {len(values):,} values where the shape says {rows:,}."
        return
    for place, value in enumerate(values):
        if not _fits(value, kind):
            yield ("data", str(place)), f"is no value of the type {kind}."
            return


def _flat(item: Mapping[str, Any]) -> list[Any]:
    """Return the values of a tensor; those of shape [n, 1] may be nested or not."""
    data: list[Any] = item["data"]
    if len(item["shape"]) == 2 and all(isinstance(row, list) and len(row) == 1 for row in data):
        return [row[0] for row in data]
    return data


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return True  # a field that is not known
    if kind == "BYTES":
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (kind in _REALS and isinstance(value, float))


def _records(tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Put the incidents together, one a row."""
    whole = next((tensor for tensor in tensors if tensor.name == INCIDENT), None)
    fields = [tensor for tensor in tensors if tensor is not whole]
    rows = len(tensors[0].values)
    flaws: list[Flaw] = []
    texts = repeat("{}", rows) if whole is None else whole.values
    records = []
    for row, text in enumerate(texts):
        if len(flaws) >= MOST_FLAWS:
            break
        record = _parsed(text)
        if isinstance(record, str):
            place = 0 if whole is None else whole.place
            flaws.append(Flaw(pointer("inputs", place, "data", row), record))
            continue
        for tensor in fields:
            if tensor.name in record:
                flaws.append(Flaw(pointer("inputs", tensor.place, "data", row),
                                  "is in the tensor `incident` already."))  # fmt: skip
            record[tensor.name] = tensor.values[row]
        records.append(record)
    if flaws:
        raise _refusal(flaws)
    return records


def _parsed(text: str | None) -> dict[str, Any] | str:
    """Return the object that a text holds, or why it holds none."""
    if text is None:
        return "must be a JSON object."
    try:
        record = parse_json(text.encode())
    except Problem as problem:
        return problem.detail.replace("The body cannot", "It cannot")
    return record if isinstance(record, dict) else "must be a JSON object."


def _at_tensors(problem: Problem, tensors: Sequence[Tensor]) -> Problem:
    """Point at the tensors instead of at the records that were made of them."""
    places = {tensor.name: tensor.place for tensor in tensors}
    flaws = []
    for flaw in problem.flaws:
        row, *names = [part.replace("~1", "/").replace("~0", "~")
                       for part in flaw.pointer.split("/")[1:]] or ["0"]  # fmt: skip
        name = names[0] if names else INCIDENT
        place = places.get(name, places.get(INCIDENT, 0))
        said = flaw.detail if name in places else f"{name}: {flaw.detail}"
        flaws.append(Flaw(pointer("inputs", place, "data", row), said))
    return Problem(problem.kind, problem.detail, flaws=flaws)


def _refusal(flaws: Sequence[Flaw]) -> Problem:
    return Problem(BAD_TENSOR, "The tensors cannot be read; `errors` says where.", flaws=flaws)
