"""Images by digest: what is rolled out is what was built and tested, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from crimeguard.delivery.kubectl import DeployError

NAMES: Final = ("backend", "frontend", "trainer")
PUSHED: Final = Path("reports/images")
_BY_DIGEST: Final = re.compile(
    r"(?P<repository>[\w.:/-]+?)(?::[\w.-]+)?@(?P<digest>sha256:[0-9a-f]{64})"
)


def references(given: Mapping[str, str | None], pushed: Path = PUSHED) -> dict[str, str]:
    """Return each image's reference by digest: as given, or as the push has left it.

    DeployError for one that is missing or that only has a tag.
    """
    return {name: _checked(name, given.get(name) or _pushed(name, pushed)) for name in NAMES}


def parts(reference: str) -> tuple[str, str]:
    """Return repository and digest of a reference that `references` has let through."""
    found = _BY_DIGEST.fullmatch(reference)
    if found is None:
        raise ValueError(reference)
    return found["repository"], found["digest"]


def _pushed(name: str, pushed: Path) -> str:
    try:
        return (pushed / name).read_text().strip()
    except FileNotFoundError:
        raise DeployError(
            f"No image of the {name} is known.", why=f"{pushed / name} is not there.",
            fix=f"Push it (`make push-{name}`), or give --{name} REPOSITORY@sha256:...",
        ) from None  # fmt: skip


def _checked(name: str, reference: str) -> str:
    if _BY_DIGEST.fullmatch(reference) is None:
        raise DeployError(
            f"The image of the {name} is {reference!r}.",
            why="A tag can be moved to another image; only a digest says what will run.",
            fix=f"Give --{name} REPOSITORY@sha256:..., as `make push-{name}` prints it.",
        )
    return reference
