"""`crimeguard secrets`: a file of settings with secrets of your own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, Final

import typer

from crimeguard.cli.console import console
from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.domain.secret import PLACEHOLDER

_EXAMPLE: Final = Path(".env.example")
_LINE: Final = re.compile(r"(?P<mark>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
_RANDOM_BYTES: Final = 32
# A key and what the server knows of it; one cannot be made without the other.
_SENT, _KNOWN = "CRIMEGUARD_API_KEY", "CRIMEGUARD_API_KEYS"


def secrets(
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")] = Path(".env"),
    example: Annotated[
        Path, typer.Option(metavar="FILE", help="File with placeholders to make it of.")
    ] = _EXAMPLE,
) -> None:
    """Make .env of .env.example, with a random secret for every placeholder that can have one.

    Examples:
      crimeguard secrets
      crimeguard secrets --out deploy/.env

    An existing file is never overwritten, and only you can read the new one. What is commented
    out stays so: it is for you to fill in, if you use it.
    """
    try:
        text = example.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{example} cannot be read.", why=f"{error.strerror}.",
                         fix="Run this at the root of the repository, or name the file with "
                         "--example.") from None  # fmt: skip
    filled, made, left = fill(text)
    _write(out, filled)
    console.print(f"{out}: made {', '.join(made) or 'nothing'}", markup=False, soft_wrap=True)
    if left:
        console.print(f"to fill in, if you use it: {', '.join(left)}", markup=False,
                      soft_wrap=True)  # fmt: skip
    console.print(f"to use it: set -a; . {out.absolute()}; set +a", markup=False, soft_wrap=True)


def fill(text: str) -> tuple[str, list[str], list[str]]:
    """Replace the placeholders in a file of settings by random secrets.

    Returns the new text, the names of what was made, and those of the placeholders that are
    commented out, which only their owner knows.
    """
    from crimeguard.serve.keys import Scope, make_key

    key, entry = make_key("console", {Scope.PREDICT, Scope.LABEL})
    pair = {_SENT: key, _KNOWN: entry.entry()}
    lines, made, left = [], [], []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is not None and PLACEHOLDER in found["value"]:
            name = found["name"]
            if found["mark"]:
                left.append(name)
            else:
                secret = pair.get(name) or token_urlsafe(_RANDOM_BYTES)
                line = f"{name}={found['value'].replace(PLACEHOLDER, secret)}"
                made.append(name)
        lines.append(line)
    if (_SENT in made) != (_KNOWN in made):
        raise UsageError(f"Of {_SENT} and {_KNOWN} only one is a placeholder.",
                         why="What the API knows of a key is made with the key.",
                         fix="Let both be a placeholder, or none.")  # fmt: skip
    return "\n".join(lines) + "\n", made, left


def _write(out: Path, text: str) -> None:
    """Write a file that only its owner can read, at once, and only if there is none."""
    work = out.with_name(f".{out.name}.{token_urlsafe(6)}")
    try:
        handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces what is there.
        os.link(work, out)
    except FileExistsError:
        raise CrimeGuardError(
            f"{out} is there already.",
            why="It may hold the only copy of a secret that is in use.",
            fix="Move it away, or name another file with --out.",
        ) from None
    except OSError as error:
        raise CrimeGuardError(f"{out} cannot be written.", why=f"{error.strerror}.",
                              fix="Choose a folder that can be written to.") from None  # fmt: skip
    finally:
        work.unlink(missing_ok=True)
