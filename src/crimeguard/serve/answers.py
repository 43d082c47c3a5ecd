"""The shapes of the answers, for the OpenAPI document; the tests hold real answers to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from crimeguard.domain.category import Category
from crimeguard.domain.field import CANONICAL_NAMES
from crimeguard.serve.incident import LEVEL_FIELD
from crimeguard.serve.listed import MOST_LISTED
from crimeguard.serve.tensors import INCIDENT, OUTPUTS

Level = Literal["call", "victim", "report"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ModelInfo(_Answer):
    """Which bundle answered."""

    name: str
    version: str
    sha256: str = Field(description="Digest of the bundle's manifest, which names every file.")


class _Predicted(_Answer):
    prediction: Category = Field(description="The most probable category.")
    confidence: float = Field(ge=0, le=1, description="Its calibrated probability.")
    probabilities: dict[Category, float] = Field(
        description="All 15 categories; together they are 1."
    )
    prediction_set: list[Category] = Field(
        min_length=1,
        description="Holds the true category in the share of cases that the model card states; "
        "most probable first.",
    )
    information_level: Level = Field(description="What was known of the incident.")
    prediction_id: str = Field(pattern="^[0-9a-f]{32}$")


class PredictionAnswer(_Predicted):
    """The answer to one incident."""

    model_info: ModelInfo
    variant: Literal["champion", "challenger"] = Field(
        description="Who answered; the challenger only while an experiment splits the traffic."
    )
    ignored_fields: list[str] = Field(
        description="Fields that were given and not used: what the model may not see (the crime "
        "code, the status), and texts that repeat a code."
    )


class BatchRow(_Predicted):
    """The answer to one incident of many."""

    DR_NO: str | None = Field(description="The portal's number of the row, as it was given.")


class BatchAnswer(_Answer):
    """The answer to many incidents, in input order."""

    predictions: list[BatchRow]
    rows: int = Field(ge=1)
    summary: dict[Category, int] = Field(description="How many of each of the 15 categories.")
    ignored_fields: list[str]
    model_info: ModelInfo


class LabelsAnswer(_Answer):
    """What became of the labels."""

    accepted: int = Field(ge=0, description="Labels that were stored.")
    unchanged: int = Field(
        ge=0, description="Labels that say what was known already; they are not stored again."
    )


class RegistryAnswer(_Answer):
    """How the following of the model registry goes."""

    state: Literal["fixed", "starting", "following", "empty", "refused", "unreachable"] = Field(
        description="`fixed`: one folder is served, nothing is followed. `refused`: the alias "
        "names a bundle that did not verify. `empty`: it names none."
    )
    alias: str | None
    version: str | None = Field(description="The registered version in service.")
    refused: str | None = Field(
        default=None, description="The version that the alias names, if it did not verify."
    )
    looked_at: str | None = Field(description="Time of the last look, ISO 8601 in UTC.")


class RunningAnswer(_Answer):
    """How an experiment goes in this process."""

    state: Literal["preparing", "running", "waiting", "refused", "unreachable"] = Field(
        description="`running`: the challenger is in place; else the champion answers alone. "
        "`waiting`: another bundle is served than the experiment's champion. `refused`: the "
        "challenger did not verify."
    )
    id: str | None
    mode: Literal["shadow", "split"] | None
    version: str | None = Field(description="Registered version of the challenger.")


class HealthAnswer(_Answer):
    """How the service is."""

    status: Literal["ok", "degraded", "starting"] = Field(
        description="`degraded`: predictions are answered, but the registry is not followed. "
        "`starting`: no verified model is loaded yet."
    )
    model_info: ModelInfo | None
    uptime_seconds: float
    registry: RegistryAnswer
    experiment: RunningAnswer | None = None
    version: str = Field(description="CrimeGuard's own version.")


class ProbeAnswer(_Answer):
    """The answer to a probe."""

    status: Literal["alive", "ready"]


class ErrorAnswer(_Answer):
    """One thing that is wrong; `row` and `column` only for uploaded files."""

    pointer: str = Field(description="JSON pointer (RFC 6901) to the value; '' is the whole body.")
    detail: str
    row: int | None = Field(default=None, ge=1, description="Data row of the file, from 1.")
    column: str | None = None


class ProblemAnswer(_Answer):
    """An error in the form of RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[ErrorAnswer]
    error: str = Field(
        default="",
        description="All of it in one text; only below /v2, whose clients show this alone.",
    )


class CardAnswer(BaseModel):
    """The model card, and which bundle it belongs to."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model_info: ModelInfo
    card: dict[str, Any]


Datatype = Literal[
    "BYTES", "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
    "FP16", "FP32", "FP64",
]  # fmt: skip


class TensorMetadata(_Answer):
    """Name, type and shape of a tensor."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1 is any number of incidents.")


class Tensor(TensorMetadata):
    """A tensor with its data."""

    data: list[Any] = Field(description="Row by row, flat.")


class InputTensor(_Answer):
    """A tensor of incidents, or of one field of them."""

    name: str = Field(
        json_schema_extra={"enum": [INCIDENT, LEVEL_FIELD, *CANONICAL_NAMES]},
        description="`incident` (JSON objects, BYTES), or a field of an incident.",
    )
    datatype: Literal[
        "BYTES", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
        "FP16", "FP32", "FP64",
    ]  # fmt: skip
    shape: list[Annotated[int, Field(ge=1, le=MOST_LISTED)]] = Field(
        min_length=1, max_length=2, description="[n] or [n, 1]; the same n in all tensors."
    )
    data: list[Any] = Field(min_length=1, description="n values.")
    parameters: dict[str, Any] | None = Field(default=None, description="Read and not used.")


class OutputChoice(_Answer):
    """An output that is wanted."""

    name: str = Field(json_schema_extra={"enum": [name for name, _, _ in OUTPUTS]})
    parameters: dict[str, Any] | None = Field(default=None, description="Read and not used.")


class InferRequest(_Answer):
    """Incidents to predict, in the Open Inference Protocol."""

    id: str | None = Field(default=None, max_length=200, description="Handed back.")
    parameters: dict[str, Any] | None = Field(default=None, description="Read and not used.")
    inputs: list[InputTensor] = Field(min_length=1, max_length=100)
    outputs: list[OutputChoice] | None = Field(
        default=None, description="Each once; without it, all."
    )


class InferAnswer(_Answer):
    """Predictions in the Open Inference Protocol."""

    id: str = Field(default="", description="The request's own, if it had one.")
    model_name: str
    model_version: str
    parameters: dict[str, str] = Field(
        description="`sha256` of the bundle, and `ignored_fields`, separated by commas."
    )
    outputs: list[Tensor]


class ServerMetadataAnswer(_Answer):
    """The server, in the Open Inference Protocol."""

    name: str
    version: str
    extensions: list[str]


class LiveAnswer(_Answer):
    """The process is alive."""

    live: Literal[True]


class ReadyAnswer(_Answer):
    """A verified bundle is loaded."""

    ready: Literal[True]


class ModelReadyAnswer(ReadyAnswer):
    """The model of this name is loaded."""

    name: str


class ModelMetadataAnswer(_Answer):
    """The model, in the Open Inference Protocol."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
