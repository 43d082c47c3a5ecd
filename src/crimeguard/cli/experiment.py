"""`crimeguard experiment`: a challenger beside the model in production."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from crimeguard.cli.console import console, emit
from crimeguard.cli.court import person

if TYPE_CHECKING:
    from crimeguard.records.database import Database
    from crimeguard.registry.experiments import Experiment, Look
    from crimeguard.settings import Settings


class ModeChoice(StrEnum):
    """How a challenger meets incidents."""

    SHADOW = "shadow"
    SPLIT = "split"


class MethodChoice(StrEnum):
    """When the test may speak."""

    SEQUENTIAL = "sequential"
    FIXED = "fixed"


AsJson = Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")]


def start(
    mode: Annotated[ModeChoice, typer.Option(help="Score beside, or answer a share.")],
    version: Annotated[str, typer.Option(help="Registered version of the challenger.")],
    share: Annotated[
        float | None, typer.Option(help="Of the incidents, in a split: 0.1 is a tenth.")
    ] = None,
    why: Annotated[str, typer.Option(help="For the ledger.")] = "by hand",
    method: Annotated[
        MethodChoice, typer.Option(help="Test at any time, or once at the horizon.")
    ] = MethodChoice.SEQUENTIAL,
    effect: Annotated[
        float, typer.Option(help="Difference in accuracy that is to be found.")
    ] = 0.02,
    power: Annotated[float, typer.Option(help="Chance of finding it by the horizon.")] = 0.8,
    alpha: Annotated[
        float, typer.Option(help="Chance of finding a difference that is not there.")
    ] = 0.05,
    horizon: Annotated[
        int | None, typer.Option(min=1, help="Labelled incidents; default: as many as needed.")
    ] = None,
    discordance: Annotated[
        float, typer.Option(help="Shadow: incidents that one alone gets right, as far as known.")
    ] = 0.1,
    baseline: Annotated[
        float, typer.Option(help="Split: accuracy of the champion, as far as known.")
    ] = 0.75,
    maturity_days: Annotated[
        float | None, typer.Option(help="A label counts once its prediction is so old; default: "
                                   "params.yaml's monitor.maturity_days.")
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Start an experiment; every running API follows by itself.

    Examples:
      crimeguard experiment start --mode shadow --version 7
      crimeguard experiment start --mode split --share 0.1 --version 7 --effect 0.03
      crimeguard experiment start --mode shadow --version 7 --method fixed --horizon 3000

    A shadow scores every incident beside the champion and is never answered; in a split the
    challenger answers a share of the incidents, always the same ones. One experiment runs at
    a time. It ends when it is stopped, or when what is in production changes.
    """
    from crimeguard.evaluate.experiment_plan import make_plan
    from crimeguard.records.ledger import Ledger
    from crimeguard.registry import experiments
    from crimeguard.registry.contest import contest_of, wanted_of
    from crimeguard.registry.store import open_registry
    from crimeguard.train.params import load_params

    wanted = wanted_of(mode.value, version, share)
    if maturity_days is None:
        maturity_days = load_params(None).monitor.maturity_days
    plan = make_plan(
        wanted.mode, wanted.share, method=method.value, alpha=alpha, power=power, effect=effect,
        horizon=horizon, discordance=discordance, baseline=baseline, maturity_days=maturity_days,
    )  # fmt: skip
    with _opened() as (settings, database):
        contest = contest_of(open_registry(settings), wanted)
        begun = experiments.start(Ledger(database), contest, plan, who=person(), why=why)
    if as_json:
        emit(begun.to_dict())
    else:
        _say(f"experiment {begun.id[:12]}: version {wanted.version} as {_mode(mode, share)}; "
             f"{plan.horizon:,} labelled incidents to the horizon")  # fmt: skip


def status(as_json: AsJson = False) -> None:
    """Tell how the experiment goes that runs, or how the last one went.

    Examples:
      crimeguard experiment status
      crimeguard experiment status --json

    The sequential test may be looked at as often as one likes; a verdict that is found is
    written in the ledger.
    """
    from crimeguard.records.ledger import Ledger
    from crimeguard.registry import experiments

    with _opened() as (_, database):
        known = experiments.experiments(Ledger(database))
        found = None if not known else _look(database, known[-1])
        if found is not None and found.experiment.stopped is None:
            experiments.decide(Ledger(database), found.experiment, found.finding, who=person())
    if as_json:
        emit({"running": found is not None and found.experiment.stopped is None,
              "experiment": None if found is None else found.to_dict()})  # fmt: skip
    elif found is None:
        _say("there has been no experiment; `crimeguard experiment start` starts one")
    else:
        _tell(found)


def stop(
    reason: Annotated[str, typer.Option(help="For the ledger.")],
    as_json: AsJson = False,
) -> None:
    """Stop the experiment that runs: the champion answers everything again.

    Examples:
      crimeguard experiment stop --reason "version 7 is better, to be promoted"
      crimeguard experiment stop --reason "enough" --json

    What was found so far is kept in the ledger. Promoting the challenger is a step of its
    own: `crimeguard promote` asks the gates.
    """
    from crimeguard.records.ledger import Ledger
    from crimeguard.registry import experiments

    with _opened() as (_, database):
        ledger = Ledger(database)
        running = experiments.running(ledger)
        finding = None if running is None else _look(database, running).finding
        only = None if running is None else running.id
        ended = experiments.stop(ledger, who=person(), why=reason, only=only, finding=finding)
        found = _look(database, ended)
    if as_json:
        emit({"running": False, "experiment": found.to_dict()})
    else:
        _tell(found)


@contextmanager
def _opened() -> Iterator[tuple[Settings, Database]]:
    from crimeguard.records.database import open_database
    from crimeguard.settings import Settings

    settings = Settings.load()
    database = open_database(settings)
    try:
        yield settings, database
    finally:
        database.close()


def _look(database: Database, running: Experiment) -> Look:
    from crimeguard.registry import experiments

    return experiments.look(database, running, dt.datetime.now(dt.UTC))


def _tell(found: Look) -> None:
    item, finding = found.experiment, found.finding
    contest, plan = item.contest, item.plan
    _say(f"experiment {item.id[:12]}: version {contest.wanted.version} "
         f"({contest.challenger[:12]}) as {_mode(contest.wanted.mode, contest.wanted.share)} "
         f"beside {contest.champion[:12]}")  # fmt: skip
    for name in ("started", "refused", "decided", "stopped"):
        step = getattr(item, name)
        if step is not None:
            _say(f"  {name:<11}{step.at:%Y-%m-%d %H:%M} UTC by {step.who}: {step.why}")
    for variant, counted in sorted(found.counts.items()):
        _say(f"  {variant:<11}{counted.predictions:,} predictions, {counted.labelled:,} labelled")
    for name, arm in (("champion", finding.champion), ("challenger", finding.challenger)):
        if arm.accuracy is not None:
            _say(f"  {name:<11}accuracy {arm.accuracy:.1%}, log-loss {arm.log_loss:.3f} "
                 f"on {arm.rows:,} labels")  # fmt: skip
    if finding.estimate is not None and finding.low is not None and finding.high is not None:
        _say(f"  difference {finding.estimate:+.2%} ({finding.low:+.2%} to {finding.high:+.2%}, "
             f"{1 - plan.alpha:.0%} interval, {plan.method} test)")  # fmt: skip
    _say(f"  {_VERDICTS[finding.verdict]}; {_missing(finding.missing, plan.horizon)}")


_VERDICTS = {
    "better": "the challenger is better", "worse": "the challenger is worse",
    "undecided": "no difference found yet",
    "inconclusive": "inconclusive: no difference was found by the horizon",
}  # fmt: skip


def _missing(missing: int, horizon: int) -> str:
    if missing:
        return f"{missing:,} of {horizon:,} labelled incidents are missing to the horizon"
    return f"the horizon of {horizon:,} labelled incidents is reached"


def _mode(mode: str, share: float | None) -> str:
    return "a shadow" if mode == "shadow" else f"a split of {share:.4g}"


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


experiment = typer.Typer(
    name="experiment", no_args_is_help=True, rich_markup_mode=None,
    help="""Compare a challenger with the model in production, on labels.

\b
Examples:
  crimeguard experiment start --mode shadow --version 7
  crimeguard experiment status
  crimeguard experiment stop --reason "it is better"
""",
)  # fmt: skip
for _verb in (start, status, stop):
    experiment.command(
        help=inspect.cleandoc(_verb.__doc__ or "").replace("Examples:\n", "\b\nExamples:\n")
    )(_verb)
