"""The server to compare with: a FastAPI app as a careful user writes it, computing nothing.

    python -m benchmarks.serving.noop PORT [workers]

`POST /predict` reads the incident with a pydantic model and answers with another of our
answer's shape. `POST /raw` is the least that the framework can do: it parses the body and
returns bytes that were made before; no request is validated and no answer written.
"""

from __future__ import annotations

import sys
from typing import Annotated, Final

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from crimeguard.domain.category import CATEGORIES


class Incident(BaseModel):
    """The fields of an incident that a model may see, under the headings of the export."""

    model_config = ConfigDict(extra="forbid")

    dr_no: Annotated[str | None, Field(alias="DR_NO", max_length=40)] = None
    date_occ: Annotated[str, Field(alias="DATE OCC", max_length=40)]
    time_occ: Annotated[int | None, Field(alias="TIME OCC", ge=0, le=2359)] = None
    area: Annotated[int | None, Field(alias="AREA", ge=1, le=21)] = None
    rpt_dist_no: Annotated[int | None, Field(alias="Rpt Dist No")] = None
    premis_cd: Annotated[int | None, Field(alias="Premis Cd")] = None
    location: Annotated[str | None, Field(alias="LOCATION", max_length=1000)] = None
    cross_street: Annotated[str | None, Field(alias="Cross Street", max_length=1000)] = None
    lat: Annotated[float | None, Field(alias="LAT")] = None
    lon: Annotated[float | None, Field(alias="LON")] = None
    date_rptd: Annotated[str | None, Field(alias="Date Rptd", max_length=40)] = None
    vict_age: Annotated[int | None, Field(alias="Vict Age", le=120)] = None
    vict_sex: Annotated[str | None, Field(alias="Vict Sex", max_length=1)] = None
    vict_descent: Annotated[str | None, Field(alias="Vict Descent", max_length=1)] = None
    weapon_used_cd: Annotated[int | None, Field(alias="Weapon Used Cd")] = None
    mocodes: Annotated[str | None, Field(alias="Mocodes", max_length=1000)] = None


class ModelInfo(BaseModel):
    """Which model answered."""

    name: str
    version: str
    sha256: str


class Answer(BaseModel):
    """An answer of the same members as ours."""

    model_config = ConfigDict(protected_namespaces=())

    prediction: str
    confidence: float
    probabilities: dict[str, float]
    prediction_set: list[str]
    information_level: str
    model_info: ModelInfo
    prediction_id: str
    ignored_fields: list[str]


_SHARE: Final = 1 / len(CATEGORIES)
_INFO: Final = ModelInfo(name="noop", version="0" * 12, sha256="0" * 64)

app = FastAPI()


@app.post("/predict")
async def predict(incident: Incident) -> Answer:
    """Answer the same to every incident."""
    return Answer(
        prediction=CATEGORIES[0], confidence=_SHARE,
        probabilities=dict.fromkeys(CATEGORIES, _SHARE), prediction_set=[CATEGORIES[0]],
        information_level="report", model_info=_INFO, prediction_id="0" * 32,
        ignored_fields=[] if incident.dr_no is None else ["DR_NO"],
    )  # fmt: skip


_CONSTANT: Final = Answer(
    prediction=CATEGORIES[0], confidence=_SHARE,
    probabilities=dict.fromkeys(CATEGORIES, _SHARE), prediction_set=[CATEGORIES[0]],
    information_level="report", model_info=_INFO, prediction_id="0" * 32, ignored_fields=[],
).model_dump_json().encode()  # fmt: skip


@app.post("/raw")
async def raw(request: Request) -> Response:
    """Parse the body and return what was made before."""
    orjson.loads(await request.body())
    return Response(_CONSTANT, media_type="application/json")


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Answer 200."""
    return {"status": "ready"}


def main() -> None:
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    uvicorn.run(
        "benchmarks.serving.noop:app", port=int(sys.argv[1]), workers=workers, loop="uvloop",
        http="httptools", ws="none", access_log=False, log_level="warning", server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
