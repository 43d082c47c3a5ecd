"""What the API answers, read into types; anything else is refused, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel


class UnreadableAnswerError(ValueError):
    """An answer does not have the form of the API's contract."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answered."""

    name: str
    version: str
    sha256: str

    @classmethod
    def read(cls, body: Any) -> ModelInfo:
        """Read `model_info`; raises UnreadableAnswerError."""
        whole = _mapping(body, "model_info")
        return cls(*(str(whole.get(key) or "") for key in ("name", "version", "sha256")))

    @property
    def title(self) -> str:
        """Name and version in one, as the pages show it."""
        version = self.version if self.version.startswith("v") else f"version {self.version}"
        return f"{self.name}, {version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered incident; `probabilities` are by category and sum to 1."""

    category: str
    confidence: float
    probabilities: Mapping[str, float]
    prediction_set: tuple[str, ...]
    level: InformationLevel
    model: ModelInfo | None = None
    prediction_id: str = ""

    @classmethod
    def read(cls, body: Any) -> Answer:
        """Read one prediction; raises UnreadableAnswerError."""
        whole = _mapping(body, "the answer")
        try:
            return cls(
                category=str(whole["prediction"]),
                confidence=float(whole["confidence"]),
                probabilities=_probabilities(whole["probabilities"]),
                prediction_set=tuple(str(name) for name in whole["prediction_set"]),
                level=InformationLevel.parse(str(whole["information_level"])),
                model=ModelInfo.read(whole["model_info"]) if whole.get("model_info") else None,
                prediction_id=str(whole.get("prediction_id") or ""),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableAnswerError(f"a prediction lacks or garbles {error}") from None


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answers to one file, in its order."""

    answers: tuple[Answer, ...]
    model: ModelInfo = field(default_factory=lambda: ModelInfo("", "", ""))

    @classmethod
    def read(cls, body: Any) -> BatchAnswer:
        """Read the answer to a batch; raises UnreadableAnswerError."""
        whole = _mapping(body, "the answer")
        predictions = whole.get("predictions")
        if not isinstance(predictions, list):
            raise UnreadableAnswerError("the answer has no list of predictions")
        return cls(
            tuple(Answer.read(item) for item in predictions),
            ModelInfo.read(whole.get("model_info") or {}),
        )


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the API can answer, and with which model."""

    status: str
    model: ModelInfo | None

    @classmethod
    def read(cls, body: Any) -> Health:
        """Read `/health`; raises UnreadableAnswerError."""
        whole = _mapping(body, "the answer")
        if "status" not in whole:
            raise UnreadableAnswerError("the answer has no status")
        info = whole.get("model_info")
        return cls(str(whole["status"]), ModelInfo.read(info) if info else None)


@dataclass(frozen=True, slots=True)
class Card:
    """The model card, and the model that it is about."""

    model: ModelInfo
    card: Mapping[str, Any]

    @classmethod
    def read(cls, body: Any) -> Card:
        """Read `/model`; raises UnreadableAnswerError."""
        whole = _mapping(body, "the answer")
        return cls(ModelInfo.read(whole.get("model_info")), _mapping(whole.get("card"), "the card"))


def _mapping(body: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise UnreadableAnswerError(f"{what} is not an object")
    return body


def _probabilities(body: Any) -> dict[str, float]:
    return {name: float(body[name]) for name in CATEGORIES}
