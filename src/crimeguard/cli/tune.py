"""`crimeguard tune`: better parameters, if there are any, as a change to be reviewed."""

from __future__ import annotations

import datetime as dt
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.options import OnBad, OnBadOption, parse_day
from crimeguard.domain.errors import CrimeGuardError, UsageError

if TYPE_CHECKING:
    from crimeguard.evaluate.proposal import Change
    from crimeguard.registry.nested import NestedRuns
    from crimeguard.settings import Settings
    from crimeguard.train.params import Params
    from crimeguard.train.tune import Plan, Study, Trial

_EXPERIMENT = "crimeguard-tuning"


def tune(
    data: Annotated[Path, typer.Option(help="File of incidents, or a snapshot's folder.")],
    trials: Annotated[int, typer.Option(min=1, help="Trials to have finished, in all.")] = 30,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Time for trials; what runs then is cut off.")
    ] = None,
    train_until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Last day of the training window.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="Parameters; default: params.yaml here, if there is one.")
    ] = None,
    space: Annotated[
        Path | None, typer.Option(help="Table of what to vary, and how far; docs/tuning.md.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Change the parameter file.")] = False,
    on_bad: OnBadOption = OnBad.REFUSE,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:
    """Search for better parameters inside the training window.

    Examples:
      crimeguard tune --data incidents.parquet --trials 30
      crimeguard tune --data incidents.csv --train-until 2023-02-28 --seconds 3600 --json
      crimeguard tune --data incidents.parquet --trials 30 --write

    The same command goes on where it was stopped or killed. A change is proposed as a diff
    if it is better on days that no trial has seen, and made only with --write. The days
    that `crimeguard train` scores are not looked at.
    """
    from crimeguard.settings import Settings

    file = _Text.read(params)
    settings = Settings.load()
    until = parse_day(train_until) if train_until else None
    with _interruptible() as stop, progress(quiet=as_json) as bars:
        task, steps = bars.add_task("starting", total=None), bars.add_task("", total=None)

        def show(name: str, done: int, total: int) -> None:
            stop.check()
            bars.update(steps, description=name, completed=done, total=total)

        plan = _plan(data, file, space, settings, until, show, drop_bad=on_bad is OnBad.DROP)

        def finished(count: int) -> None:
            bars.update(task, description="trials", completed=count, total=trials)

        outcome = _searched(plan, file, settings, trials, seconds, show, finished)
    written = write and outcome["proposed"]
    if written:
        file.replace(outcome.pop("text"))
    outcome.pop("text", None)
    outcome["written"] = written
    if as_json:
        emit(outcome)
    else:
        _tell(outcome, file)


@dataclass(frozen=True, slots=True)
class _Text:
    """A parameter file as it was when the search began."""

    path: Path
    text: str
    params: Params

    @classmethod
    def read(cls, path: Path | None) -> _Text:
        from crimeguard.train.params import load_params

        found = load_params(path)
        path = Path("params.yaml") if path is None else path
        return cls(path, _content(path), found)

    def replace(self, text: str) -> None:
        """Write the file anew; UsageError if it has changed since it was read."""
        from crimeguard.ingest.writer import write_text

        if _content(self.path) != self.text:
            raise UsageError(f"{self.path} has changed since the search began.",
                             why="The change was found for what it said then.",
                             fix="Run the command again.")  # fmt: skip
        write_text(self.path, text)


def _content(path: Path) -> str:
    # As bytes, so that the ends of lines stay what they are.
    return path.read_bytes().decode() if path.exists() else ""


def _plan(
    data: Path, file: _Text, space: Path | None, settings: Settings, until: dt.date | None,
    show: Callable[[str, int, int], None], *, drop_bad: bool,
) -> Plan:  # fmt: skip
    """Read the incidents, and leave the training window of them."""
    from crimeguard.pipeline import prepare
    from crimeguard.train.nested import nested_splits
    from crimeguard.train.space import load_space
    from crimeguard.train.split import split_by_time
    from crimeguard.train.tune import Plan

    dimensions = load_space(space, file.params)
    snapshot = prepare(data, settings.home, drop_bad=drop_bad, progress=show).snapshot
    split = split_by_time(snapshot.frame(), file.params.split, until)
    nested = nested_splits(split.train, split.train_until, file.params)
    return Plan(file.params, dimensions, nested, snapshot.id)


def _searched(
    plan: Plan, file: _Text, settings: Settings, trials: int, seconds: float | None,
    show: Callable[[str, int, int], None], finished: Callable[[int], None],
) -> dict[str, Any]:  # fmt: skip
    """Run what is missing of the trials, and compare the best with what is used now."""
    from crimeguard.registry.folder import held
    from crimeguard.train.tune import opened

    folder = settings.home / "tuning"
    with held(folder, ".lock", patience=1), opened(plan, folder / "trials.db") as study:
        runs = _shown(study, settings)
        finished(len(study.finished()))
        try:

            def done(trial: Trial) -> None:
                runs.note(_nested(trial))
                finished(len(study.finished()))

            study.run(trials, seconds, on_step=show, on_trial=done)
            outcome = {"asked": trials, **_outcome(study, file, show)}
        except KeyboardInterrupt:
            # Looked up anew: the interrupt may have cut off the writing of a run.
            _shown(study, settings).end("KILLED", {}, [])
            raise _interrupted(len(study.finished()), trials) from None
        _end(runs, outcome)
    return outcome


def _shown(study: Study, settings: Settings) -> NestedRuns:
    """Open the run of a search in MLflow, and write what is missing there of its trials."""
    from crimeguard.registry.store import Run, open_registry

    plan = study.plan
    tags = {
        "snapshot": plan.data,
        "confirm": plan.nested.confirm.label,
        "folds": ", ".join(fold.label for fold in plan.nested.folds),
    }
    run = Run(plan.shape, {}, tags)
    runs = open_registry(settings).nested(_EXPERIMENT, plan.name, run)
    for trial in study.finished():
        runs.note(_nested(trial))
    return runs


def _nested(trial: Trial) -> Any:
    from crimeguard.registry.nested import Nested
    from crimeguard.train.nested import mean_loss

    losses = [mean_loss(trial.folds[: place + 1]) for place in range(len(trial.folds))]
    tags = {"state": "pruned" if trial.pruned else "complete"}
    return Nested(trial.number, trial.values, losses, tags, trial.ended)


def _end(runs: NestedRuns, outcome: dict[str, Any]) -> None:
    metrics = {"finished": float(outcome["finished"]), "proposed": float(outcome["proposed"])}
    if outcome["best"]:
        metrics["log_loss"] = outcome["best"]["log_loss"]
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "params.diff"
        file.write_text(outcome["diff"], encoding="utf-8")
        runs.end("FINISHED", metrics, [file] if outcome["diff"] else [])


def _outcome(
    study: Study, file: _Text, show: Callable[[str, int, int], None]
) -> dict[str, Any]:  # fmt: skip
    from crimeguard.evaluate.proposal import refusal

    trials = study.finished()
    outcome: dict[str, Any] = {
        "study": study.plan.name,
        "finished": len(trials),
        "pruned": sum(trial.pruned for trial in trials),
        "failed": study.failed(),
        "trials": [
            {**asdict(trial), "log_loss": trial.loss} | {"folds": len(trial.folds)}
            for trial in trials
        ],
        "best": None, "search": None, "confirm": None,
        "proposed": False, "why": "no trial has finished", "diff": "",
    }  # fmt: skip
    best = study.best()
    if best is None:
        return outcome
    outcome["best"] = {"number": best.number, "values": best.values, "log_loss": best.loss}
    if best.number == trials[0].number:
        return outcome | {"why": "no trial did better than what is used now"}
    search, confirm = _changes(study, trials[0], best, show)
    why = refusal(confirm, study.plan.params.tuning)
    outcome |= {"search": search.to_dict(), "confirm": confirm.to_dict(), "why": why,
                "proposed": not why}  # fmt: skip
    return outcome | (_proposal(file, best) if not why else {})


def _changes(
    study: Study, first: Trial, best: Trial, show: Callable[[str, int, int], None]
) -> tuple[Change, Change]:
    from crimeguard.evaluate.proposal import change

    confidence = study.plan.params.tuning.confidence
    before, after = study.confirm(best, on_step=show)
    return change(first.folds, best.folds, confidence), change([before], [after], confidence)


def _proposal(file: _Text, best: Trial) -> dict[str, Any]:
    from crimeguard.train.rewrite import rewritten, unified_diff

    text = rewritten(file.text, best.values, file.params)
    return {"diff": unified_diff(file.text, text, str(file.path)), "text": text}


def _tell(outcome: dict[str, Any], file: _Text) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console.print(f"{outcome['finished']} of {outcome['asked']} trials finished "
                  f"({outcome['pruned']} pruned), {outcome['failed']} cut off",
                  markup=False)  # fmt: skip
    if outcome["confirm"]:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for head in ("log-loss", "incidents", "before", "after", "gain", "interval"):
            table.add_column(head, justify="left" if head == "log-loss" else "right")
        for name, key in (("days of the trials", "search"), ("days unseen", "confirm")):
            table.add_row(name, *_cells(outcome[key]))
        console.print(table)
    if outcome["why"]:
        console.print(f"nothing is proposed: {outcome['why']}", markup=False, soft_wrap=True)
        return
    console.print(outcome["diff"], markup=False, soft_wrap=True, end="")
    if outcome["written"]:
        console.print(f"{file.path} is changed", markup=False, soft_wrap=True)
    else:
        console.print("nothing is changed; --write makes the change", markup=False)


def _cells(told: dict[str, Any]) -> list[str]:
    gain = told["gain"]
    ends = [gain["low"], gain["high"]]
    interval = "none" if None in ends else f"{ends[0]:+.4f} to {ends[1]:+.4f}"
    return [f"{told['incidents']:,}", f"{told['before']:.4f}", f"{told['after']:.4f}",
            f"{gain['estimate']:+.4f}", interval]  # fmt: skip


def _interrupted(finished: int, trials: int) -> CrimeGuardError:
    return CrimeGuardError(
        "The search was interrupted.",
        why=f"{finished} of {trials} trials have finished and are kept.",
        fix="The same command goes on from there.",
    )


class _Stop:
    """Ctrl-C and SIGTERM end the search at its next step, and never in the middle of a write.

    A transaction that is cut off would hold its database locked while the end is written. A
    second Ctrl-C ends at once.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if somebody asked for the end."""
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[_Stop]:
    stop = _Stop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
