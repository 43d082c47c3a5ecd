"""The stages from a commit to a rollout, as data.

The Jenkinsfile has the same ones; a test holds the two together. Commands are what stands in
its `sh` steps, so they are written for a shell and read the parameters as variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FLAG: Final = "monitoring/drift_detected"
# Variables that the commands read, with the defaults of the Jenkinsfile's parameters.
PARAMETERS: Final[Mapping[str, str]] = {
    "OVERLAY": "staging", "REGISTRY": "", "PYTEST_ARGS": "", "MONITOR_ARGS": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    `name` is what a person types, `title` what Jenkins shows. `commands` run one after the
    other, or those of each of the `branches` beside each other. After `minutes` it is
    ended. With `when` it runs only if that file exists, and is skipped otherwise.
    """

    name: str
    title: str
    minutes: float
    commands: tuple[str, ...] = ()
    branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    when: str | None = None

    @property
    def work(self) -> Mapping[str, tuple[str, ...]]:
        """The commands by branch; a stage without branches is one of no name."""
        return self.branches or {"": self.commands}


STAGES: Final = (
    Stage(
        "initialize", "Initialize and registry login", 20,
        ("rm -rf monitoring reports/images reports/junit.xml",
         "make .venv/.dev .venv/.deepchecks",
         "make login"),
    ),
    Stage("data", "Pull data", 30, ("make pull",)),
    Stage(
        "tests", "Unit and integration tests", 60,
        ('make test PYTEST_ARGS="$PYTEST_ARGS --junitxml=reports/junit.xml"',),
    ),
    Stage("monitor", "Monitoring", 15, ('make monitor MONITOR_ARGS="$MONITOR_ARGS"',)),
    Stage("retrain", "Conditional retraining", 60, ("make retrain",), when=FLAG),
    Stage(
        "images", "Build and push images", 40,
        branches={"Backend": ("make image-backend push-backend",),
                  "Frontend": ("make image-frontend push-frontend",),
                  "Trainer": ("make image-trainer push-trainer",)},
    ),
    Stage("deploy", "Kubernetes deploy", 20, ('make deploy OVERLAY="$OVERLAY"',)),
)  # fmt: skip
