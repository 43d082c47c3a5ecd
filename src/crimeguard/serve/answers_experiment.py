"""The shapes of the answers about experiments, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = float | None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class PlanAnswer(_Answer):
    """What is tested, fixed before the first label."""

    metric: Literal["accuracy"]
    method: Literal["sequential", "fixed"]
    alpha: float = Field(description="Chance of finding a difference that is not there.")
    power: float = Field(description="Chance of finding `effect` by the horizon.")
    effect: float = Field(description="Difference in accuracy that is to be found.")
    horizon: int = Field(description="Labelled incidents.")
    discordance: float
    baseline: float
    maturity_days: float = Field(description="A label counts once its prediction is so old.")


class StepAnswer(_Answer):
    """One line of the ledger on an experiment."""

    at: str = Field(description="ISO 8601 in UTC.")
    who: str
    why: str
    evidence: dict[str, Any]


class ArmAnswer(_Answer):
    """What one model did on the labelled incidents."""

    rows: int
    accuracy: Share
    log_loss: float | None = Field(description="In nats; reported, not tested.")


class FindingAnswer(_Answer):
    """What the labels say so far; null is what is not known yet."""

    verdict: Literal["better", "worse", "undecided", "inconclusive"] = Field(
        description="Of the challenger. `undecided`: no difference found yet. `inconclusive`: "
        "none found by the horizon."
    )
    labelled: int = Field(description="Incidents with a label that can be used.")
    missing: int = Field(description="Labels that lack to the horizon.")
    champion: ArmAnswer
    challenger: ArmAnswer
    estimate: Share = Field(description="Accuracy of the challenger minus the champion's.")
    low: Share = Field(description="Lower end of its interval, of confidence 1 - alpha.")
    high: Share
    better: float | None = Field(description="Logarithm of the evidence that it is better.")
    worse: float | None = Field(description="Logarithm of the evidence that it is worse.")
    threshold: float | None = Field(description="Log evidence that decides.")
    decided_at: int | None = Field(description="Labelled incidents when the test spoke.")
    p_value: Share = Field(description="Of the fixed test.")
    discordance: Share = Field(description="Share of incidents that one alone gets right.")


class CountAnswer(_Answer):
    """Predictions of one variant."""

    predictions: int
    labelled: int = Field(description="With a label, mature or not.")


class ExperimentAnswer(_Answer):
    """One experiment, as the ledger and the log tell it."""

    id: str
    mode: Literal["shadow", "split"]
    share: Share = Field(description="null in a shadow.")
    version: str
    challenger: str = Field(description="sha256 of its bundle.")
    champion: str = Field(description="sha256 of its bundle.")
    plan: PlanAnswer
    started: StepAnswer
    refused: StepAnswer | None = Field(description="A process could not use the challenger.")
    decided: StepAnswer | None = Field(description="The verdict as it was first found.")
    stopped: StepAnswer | None
    counts: dict[str, CountAnswer] = Field(description="By variant.")
    finding: FindingAnswer


class ExperimentStatus(_Answer):
    """The experiment that runs, or ran last."""

    running: bool
    state: Literal["none", "preparing", "running", "waiting", "refused", "unreachable"] = Field(
        description="How it goes in the process that answers; others follow within seconds."
    )
    experiment: ExperimentAnswer | None
