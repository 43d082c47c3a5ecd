"""The `crimeguard` program: its verbs, and how errors leave it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import typer

from crimeguard.cli.console import console
from crimeguard.cli.data import data
from crimeguard.cli.demo import demo
from crimeguard.cli.deploy import deploy
from crimeguard.cli.doctor import doctor
from crimeguard.cli.evaluate import evaluate
from crimeguard.cli.experiment import experiment
from crimeguard.cli.fetch import fetch
from crimeguard.cli.history import history
from crimeguard.cli.key import key
from crimeguard.cli.label import label
from crimeguard.cli.log import log
from crimeguard.cli.monitor import monitor
from crimeguard.cli.notice import notice
from crimeguard.cli.pipeline import pipeline
from crimeguard.cli.predict import predict
from crimeguard.cli.prepare import prepare
from crimeguard.cli.profile import profile
from crimeguard.cli.promote import promote
from crimeguard.cli.pull import pull
from crimeguard.cli.quality import quality
from crimeguard.cli.retrain import retrain
from crimeguard.cli.rollback import rollback
from crimeguard.cli.secrets import secrets
from crimeguard.cli.serve import serve
from crimeguard.cli.simulate import simulate
from crimeguard.cli.train import train
from crimeguard.cli.tune import tune
from crimeguard.cli.ui import ui
from crimeguard.cli.up import up
from crimeguard.cli.validate import validate
from crimeguard.domain.errors import CrimeGuardError, DataError


def help_text(verb: Callable[..., object]) -> str:
    """Return a verb's docstring with its examples kept line by line."""
    text = inspect.cleandoc(verb.__doc__ or "")
    # A paragraph behind this mark is not folded by the help formatter.
    return text.replace("Examples:\n", "\b\nExamples:\n")


app = typer.Typer(
    name="crimeguard",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for verb in (
    up, demo, doctor, pull, simulate, profile, validate, prepare, quality, train, tune, evaluate,
    predict, serve, ui, log, label, monitor, retrain, promote, rollback, history, fetch,
    key, secrets, pipeline, deploy, notice,
):  # fmt: skip
    app.command(help=help_text(verb))(verb)
app.add_typer(data)
app.add_typer(experiment)


def main() -> None:
    """Run one verb; our own errors become three lines and an exit code, bugs a traceback."""
    try:
        app()
    except CrimeGuardError as error:
        _tell(error)
        sys.exit(error.exit_code)


def _tell(error: CrimeGuardError) -> None:
    console.print(f"error: {error.what}", style="bold red", markup=False, soft_wrap=True)
    if isinstance(error, DataError) and error.bad:
        for bad in error.bad[:5]:
            console.print(f"  {bad}", markup=False, soft_wrap=True)
        if len(error.bad) > 5:
            console.print(f"  and {len(error.bad) - 5} more", markup=False)
    elif error.why:
        console.print(f"  why: {error.why}", markup=False, soft_wrap=True)
    if error.fix:
        console.print(f"  fix: {error.fix}", markup=False, soft_wrap=True)
