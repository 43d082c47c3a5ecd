"""`crimeguard key`: make an API key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crimeguard.cli.console import console, emit
from crimeguard.serve.keys import Scope


def key(
    name: Annotated[
        str | None,
        typer.Option(help="Who will use it; shown in logs and refusals.", show_default=False),
    ] = None,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may do; may be given again.", show_default=False),
    ] = None,
    rate: Annotated[
        str,
        typer.Option(
            help="Requests a second, and how many at once if need be: 20/40; 0 is no "
            "limit. Without it CRIMEGUARD_RATE_PER_SECOND counts.",
            show_default=False,
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(help="Append the entry to this file of keys; it is made if need be."),
    ] = None,
    signing: Annotated[
        Path | None,
        typer.Option(
            help="Make a pair of keys for bundles instead: the private one goes into "
            "this new file.",
            metavar="FILE",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write both to stdout as JSON.")] = False,
) -> None:
    """Make an API key: the secret for its user, the entry for the server. Or keys for bundles.

    Examples:
      crimeguard key --name console --scope predict
      crimeguard key --name records --scope predict --scope label
      crimeguard key --name partner --scope predict --rate 20/40
      crimeguard key --name console --scope predict --file keys.txt --json
      crimeguard key --signing bundles.pem

    The secret is shown once and kept nowhere: the entry holds only its SHA-256. A running
    server reads CRIMEGUARD_API_KEYS_FILE again by itself. To replace a key, add another
    under a new name, give it to the caller, then delete the old line: none is turned away.

    With --signing, what trains signs its bundles with the private key, and a server that is
    given the public one serves no others.
    """
    if signing is not None:
        _make_signing(signing, as_json=as_json)
        return
    if name is None or not scope:
        raise typer.BadParameter("an API key needs --name and --scope")
    from crimeguard.serve.keys import append_key, make_key

    secret, made = make_key(name, scope, rate)
    if file is not None:
        append_key(file, made)
    if as_json:
        emit({"name": made.name, "scopes": [item for item in Scope if item in made.scopes],
              "key": secret, "entry": made.entry()})  # fmt: skip
        return
    # To stdout, and the words around to stderr: the two lines can be redirected.
    typer.echo(f"CRIMEGUARD_API_KEY={secret}")
    typer.echo(f"CRIMEGUARD_API_KEYS={made.entry()}")
    where = "CRIMEGUARD_API_KEYS" if file is None else f"{file}, which has its entry now"
    console.print(f"The first line is for the caller and is not shown again; the second is for "
                  f"the server: {where}.", markup=False, soft_wrap=True)  # fmt: skip


def _make_signing(file: Path, *, as_json: bool) -> None:
    from crimeguard.registry.signature import make_signing_key

    public = make_signing_key(file).public
    if as_json:
        emit({"file": str(file), "public": public})
        return
    typer.echo(f"CRIMEGUARD_BUNDLE_SIGNING_KEY_FILE={file}")
    typer.echo(f"CRIMEGUARD_BUNDLE_PUBLIC_KEYS={public}")
    console.print("The first line is for what trains, the second for what serves.", markup=False)
