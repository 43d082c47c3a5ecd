"""`crimeguard data`: snapshots to and from the team's remote, who saw them, what they lack."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crimeguard.cli.console import console, emit, progress
from crimeguard.cli.data_log import log
from crimeguard.cli.data_quarantine import quarantine

if TYPE_CHECKING:
    from rich.progress import Progress

    from crimeguard.ingest.exchange import Moved
    from crimeguard.ingest.exchange import Progress as OnFile
    from crimeguard.ingest.remote import Remote

POINTERS = Path("data/snapshots")

Chosen = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SNAPSHOT]...", help="Beginnings of ids; default: all."),
]
Pointers = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder of the pointers that git carries.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write the outcome to stdout.")]


def push(
    chosen: Chosen = None,
    pointers: Pointers = POINTERS,
    force: Annotated[
        bool, typer.Option("--force", help="Send also what the remote has already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Store snapshots of CRIMEGUARD_HOME in the remote, and write their pointers.

    Examples:
      crimeguard data push
      crimeguard data push 1f0c2a9b
      crimeguard data push --json

    CRIMEGUARD_DVC_URL names the remote. Commit the pointers: with them, `crimeguard data
    pull` finds the snapshots elsewhere.
    """
    from crimeguard.ingest import exchange
    from crimeguard.ingest.remote import open_remote
    from crimeguard.settings import Settings

    settings = Settings.load()
    moved = []
    with open_remote(settings) as remote, progress(quiet=as_json) as bars:
        for snapshot in exchange.snapshots_in(settings.home, chosen or ()):
            show = _shown(bars, "push")
            moved.append(
                exchange.push(snapshot, pointers, remote, force=force, on_progress=show)
            )  # fmt: skip
    _tell("pushed to", moved, remote, as_json=as_json)


def pull(chosen: Chosen = None, pointers: Pointers = POINTERS, as_json: AsJson = False) -> None:
    """Fetch the snapshots that the pointers name into CRIMEGUARD_HOME.

    Examples:
      crimeguard data pull
      crimeguard data pull 1f0c2a9b
      crimeguard data pull --pointers data/snapshots --json

    Every snapshot is verified before it is used. A pull that was interrupted goes on where
    it was.
    """
    from crimeguard.ingest import exchange
    from crimeguard.ingest.pointer import pointers as read
    from crimeguard.ingest.remote import open_remote
    from crimeguard.settings import Settings

    settings = Settings.load()
    moved = []
    with open_remote(settings) as remote, progress(quiet=as_json) as bars:
        for pointer in read(pointers, chosen or ()):
            show = _shown(bars, "pull")
            moved.append(exchange.pull(pointer, settings.home, remote, on_progress=show))
    _tell("pulled from", moved, remote, as_json=as_json)


def _shown(bars: Progress, verb: str) -> OnFile:
    task = bars.add_task(verb, total=None)

    def show(name: str, done: int, total: int) -> None:
        bars.update(task, description=f"{verb} {name}", completed=done, total=total)

    return show


def _tell(verb: str, moved: list[Moved], remote: Remote, *, as_json: bool) -> None:
    if as_json:
        emit({"remote": remote.shown, "snapshots": [_described(item) for item in moved]})
        return
    for item in moved:
        pointer = item.pointer
        files = f"{item.files} of {pointer.files} files" if item.files else "nothing to move"
        console.print(f"{pointer.snapshot}  {pointer.description}: {files}", markup=False,
                      soft_wrap=True)  # fmt: skip
        console.print(f"  {item.path}", markup=False, soft_wrap=True)
    console.print(f"{len(moved)} snapshots {verb} {remote.shown}", markup=False, soft_wrap=True)


def _described(item: Moved) -> dict[str, Any]:
    pointer = item.pointer
    return {"snapshot": pointer.snapshot, "path": str(item.path), "files": pointer.files,
            "bytes": pointer.size, "moved_files": item.files,
            "content_sha256": pointer.content_sha256}  # fmt: skip


data = typer.Typer(
    name="data", no_args_is_help=True, rich_markup_mode=None,
    help="""Snapshots: in a DVC remote (HTTP, S3, a folder), in models, and what they left out.

\b
Examples:
  crimeguard data push
  crimeguard data pull
  crimeguard data log
  crimeguard data quarantine
""",
)  # fmt: skip
for _verb in (push, pull, log, quarantine):
    data.command(
        help=inspect.cleandoc(_verb.__doc__ or "").replace("Examples:\n", "\b\nExamples:\n")
    )(_verb)
