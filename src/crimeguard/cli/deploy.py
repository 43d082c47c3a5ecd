"""`crimeguard deploy`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from crimeguard.cli.console import console, emit
from crimeguard.cli.monitor import parse_period

if TYPE_CHECKING:
    from crimeguard.delivery.release import Tell


def deploy(
    overlay: Annotated[str, typer.Option(help="staging, production, or another of deploy/k8s.")],
    backend: Annotated[
        str | None, typer.Option(metavar="REF", help="Image by digest; default: as pushed last.")
    ] = None,
    frontend: Annotated[str | None, typer.Option(metavar="REF", help="The console's.")] = None,
    trainer: Annotated[str | None, typer.Option(metavar="REF", help="The CronJobs'.")] = None,
    timeout: Annotated[
        str, typer.Option(metavar="PERIOD", help="For all to be ready, and again to go back.")
    ] = "5m",
    secret: Annotated[
        bool, typer.Option("--secret", help="Write the Secret from environment variables.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the manifests to stdout; ask no cluster.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")] = False,
) -> None:  # fmt: skip
    """Bring the images of a build into a Kubernetes cluster.

    Examples:
      crimeguard deploy --overlay staging
      crimeguard deploy --overlay production --timeout 10m --secret
      crimeguard deploy --overlay staging --dry-run
      crimeguard deploy --overlay staging --backend docker.io/example/crimeguard-backend@sha256:...

    The cluster is the one that KUBECONFIG names. Images run by digest: as given, or as
    `make push-NAME` left them in reports/images. With --secret the Secret becomes what the
    environment variables hold that the manifests read from it; without, it stays as it is.
    If a Deployment does not become ready, those that were changed go back to what they were,
    and the exit code is 1.
    """
    from crimeguard.delivery import images, manifests, release
    from crimeguard.delivery.kubectl import Kubectl

    seconds = _seconds(timeout)
    folder = manifests.find_overlay(overlay)
    given = {"backend": backend, "frontend": frontend, "trainer": trainer}
    chosen = images.references(given)
    if dry_run:
        sys.stdout.write(release.preview(folder, chosen, Kubectl())[0])
        return
    with _told_when_interrupted() as tell:
        outcome = release.deploy(
            folder,
            chosen,
            os.environ if secret else None,
            Kubectl(_secrets()),
            timeout=seconds,
            tell=tell,
        )
    if as_json:
        emit(outcome.document)
    if outcome.failed:
        raise outcome.error()
    changed = ", ".join(outcome.changed) or "nothing"
    console.print(f"{outcome.namespace} serves these images; changed: {changed}", markup=False)


def _seconds(period: str) -> float:
    try:
        return parse_period(period)
    except typer.BadParameter as error:
        raise typer.BadParameter(error.message, param_hint="--timeout") from None


def _secrets() -> list[str]:
    """Return what must never be seen in what kubectl says."""
    from crimeguard.settings import SECRETS

    return [os.environ[name] for name in sorted(SECRETS) if os.environ.get(name)]


@contextmanager
def _told_when_interrupted() -> Iterator[Tell]:
    """Yield what tells the steps; Ctrl-C and SIGTERM end with the step that they cut off."""
    from crimeguard.delivery.kubectl import DeployError

    step = "beginning"

    def tell(words: str) -> None:
        nonlocal step
        step = words
        console.print(words, markup=False)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield tell
    except KeyboardInterrupt:
        raise DeployError(
            f"The deploy was interrupted while {step}.",
            why="The cluster goes on with what was applied; pods that serve are kept until new "
                "ones are ready. Nothing was rolled back.",
            fix="Deploy again, or go back by `kubectl rollout undo deployment/NAME`.",
        ) from None  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)
