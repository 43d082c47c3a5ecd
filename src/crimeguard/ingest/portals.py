"""The portals' data sets that `crimeguard pull` knows, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from crimeguard.domain.errors import UsageError
from crimeguard.ingest.chicago import CHICAGO
from crimeguard.ingest.los_angeles import LA_2010, LA_2020
from crimeguard.ingest.nibrs import LA_NIBRS
from crimeguard.ingest.portal import Portal

PORTALS: Final[Mapping[str, Portal]] = MappingProxyType(
    {portal.name: portal for portal in (LA_2020, LA_2010, LA_NIBRS, CHICAGO)}
)


def portal_named(name: str) -> Portal:
    """Return a source; UsageError lists those there are."""
    if name not in PORTALS:
        raise UsageError(f"There is no source {name!r}.",
                         fix=f"Choose one of {', '.join(PORTALS)}.")  # fmt: skip
    return PORTALS[name]
