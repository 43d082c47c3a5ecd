"""The model as MLflow loads it: `mlflow.pyfunc.load_model("models:/crimeguard@production")`.

MLflow stores this file beside the bundle and runs it to load the model (models from
code), so nothing is pickled. The package travels with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import polars as pl
from mlflow.pyfunc import PythonModel, PythonModelContext

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.incident import as_text
from crimeguard.domain.level import InformationLevel
from crimeguard.features.columns import Columns
from crimeguard.ingest.frame import canonical
from crimeguard.registry.bundle import Bundle


class Scorer(PythonModel):  # type: ignore[misc]
    """Scores raw rows of the portal's export, as a pandas frame or a list of records."""

    def load_context(self, context: PythonModelContext) -> None:
        """Verify and read the bundle."""
        self.bundle = Bundle.load(Path(context.artifacts["bundle"]))

    # MLflow tells the kind of input by the type hint; a list of records comes in as well.
    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a pandas frame: prediction, confidence, information_level, p_<category>.

        `params={"level": "call"}` hides the fields above a level.
        """
        raw = pd.DataFrame(model_input)
        texts = {
            name: [
                "" if blank else as_text(value)
                for value, blank in zip(raw[name].astype(object), raw[name].isna(), strict=True)
            ]
            for name in raw.columns
        }
        frame = canonical(pl.DataFrame(texts), source="the input").require_clean("the input")
        level = InformationLevel.parse(params["level"]) if params and "level" in params else None
        columns = Columns.from_frame(frame, level=level)
        probabilities = self.bundle.model.probabilities(columns)
        best = probabilities.argmax(axis=1)
        return pd.DataFrame(
            {
                "prediction": [CATEGORIES[place] for place in best],
                "confidence": probabilities.max(axis=1),
                "information_level": [InformationLevel(int(n)).label for n in columns.level],
                **{f"p_{name}": probabilities[:, i] for i, name in enumerate(CATEGORIES)},
            },
            index=raw.index,
        )


mlflow.models.set_model(Scorer())
