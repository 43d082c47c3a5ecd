"""The same bundle behind MLServer: a custom runtime, as its documentation has them."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import StringCodec  # type: ignore[import-not-found]
from mlserver.types import (  # type: ignore[import-not-found]
    InferenceRequest,
    InferenceResponse,
)

from crimeguard.domain.incident import Incident
from crimeguard.registry.bundle import Bundle
from crimeguard.serve.predictor import Predictor


class Runtime(MLModel):  # type: ignore[misc]
    """Answers the tensor `incident`, each a JSON object, with category and probabilities."""

    async def load(self) -> bool:
        """Verify and read the bundle."""
        self._predictor = Predictor(Bundle.load(Path(os.environ["BENCH_BUNDLE"])))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict each incident of the request."""
        texts = StringCodec.decode_input(payload.inputs[0])
        incidents = [Incident.from_record(orjson.loads(text)) for text in texts]
        answers = self._predictor.predict(incidents)
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output("prediction", [found.category for found in answers]),
                StringCodec.encode_output(
                    "probabilities",
                    [orjson.dumps(dict(found.probabilities)).decode() for found in answers],
                ),
            ],
        )
