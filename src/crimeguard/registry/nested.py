"""A run of MLflow with others nested in it, written so that nothing is missing or there twice.

The search keeps its trials by itself; here they are shown. What was written before a kill is
found by its tags, and finished rather than written again. MLflow comes from the registry, which
alone imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crimeguard.registry.store import Run

_KEY: Final = "crimeguard.search"
_TRIAL: Final = "crimeguard.trial"
_PARENT: Final = "mlflow.parentRunId"
_NAME: Final = "mlflow.runName"
FINISHED: Final = "FINISHED"


@dataclass(frozen=True, slots=True)
class Nested:
    """One run among others: its number, what it was given, and `losses` step by step.

    `ended` is in seconds since 1970.
    """

    number: int
    params: Mapping[str, int | float]
    losses: Sequence[float]
    tags: Mapping[str, str]
    ended: float


class NestedRuns:
    """The parent run that a key names in an experiment, and its children by number."""

    def __init__(
        self, mlflow: Any, client: Any, asking: Callable[[str], AbstractContextManager[None]],
        experiment: str, key: str, parent: Run,
    ) -> None:  # fmt: skip
        self._entities = mlflow.entities
        self._client = client
        self._asking = asking
        self._experiment = experiment
        with self._asking("written"):
            found = self._search(f"tags.`{_KEY}` = '{key}'")
            tags = {**parent.tags, _KEY: key, _NAME: key}
            self.id = found[0].info.run_id if found else self._create(tags)
            self._write(self.id, parent.params, [])
            self._client.update_run(self.id, status="RUNNING")
            self._children = {
                int(run.data.tags[_TRIAL]): run
                for run in self._search(f"tags.`{_PARENT}` = '{self.id}'")
            }

    def note(self, nested: Nested) -> None:
        """Write a child, unless it is there already, whole."""
        known = self._children.get(nested.number)
        if known is not None and known.info.status == FINISHED:
            return
        with self._asking("written"):
            if known is None:
                tags = {**nested.tags, _PARENT: self.id, _TRIAL: str(nested.number),
                        _NAME: f"trial {nested.number}"}  # fmt: skip
                made = self._create(tags)
            else:
                made = known.info.run_id
            # The trial's own time, so that what is written twice is the same line.
            at = round(nested.ended * 1000)
            steps = [
                self._entities.Metric("log_loss", loss, at, step)
                for step, loss in enumerate(nested.losses)
            ]
            self._write(made, nested.params, steps)
            self._client.set_terminated(made, FINISHED, at)
            self._children[nested.number] = self._client.get_run(made)

    def end(self, status: str, metrics: Mapping[str, float], artifacts: Sequence[Path]) -> None:
        """End the parent: FINISHED, or KILLED if it was cut off."""
        with self._asking("written"):
            for name, value in metrics.items():
                self._client.log_metric(self.id, name, value)
            for artifact in artifacts:
                self._client.log_artifact(self.id, str(artifact))
            self._client.set_terminated(self.id, status)

    def _create(self, tags: Mapping[str, str]) -> str:
        return str(self._client.create_run(self._experiment, tags=dict(tags)).info.run_id)

    def _write(self, run: str, params: Mapping[str, Any], metrics: Sequence[Any]) -> None:
        given = [self._entities.Param(name, str(value)) for name, value in params.items()]
        self._client.log_batch(run, metrics=list(metrics), params=given)

    def _search(self, where: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment], where, page_token=token)
            found += page
            token = page.token
            if not token:
                return found
