"""Which model saw which snapshot.

The truth is a bundle's card: it lies in the bundle, whose sha256 stands for every byte of
it. What its run in MLflow says is only asked where the bundle cannot be had any more. A
retraining that ended before its model was registered is known by the ledger.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crimeguard.domain.errors import BundleError, DataError, RegistryError
from crimeguard.ingest.manifest import read_manifest
from crimeguard.ingest.pointer import SUFFIX, Pointer
from crimeguard.records.ledger import Ledger
from crimeguard.registry.store import Registry, Version

UNREGISTERED: Final = "Never registered"
OnVersion = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot as far as it is known here.

    `where` is "here" (its manifest lies in CRIMEGUARD_HOME), "pointer" (it can be pulled)
    or "gone". Only the first tells months and rows for sure.
    """

    id: str
    where: str
    content_sha256: str | None = None
    source: str | None = None
    rows: int | None = None
    first_month: str | None = None
    last_month: str | None = None
    months: int | None = None
    quarantined: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is known as JSON types."""
        return {
            "id": self.id, "where": self.where, "content_sha256": self.content_sha256,
            "source": self.source, "rows": self.rows, "first_month": self.first_month,
            "last_month": self.last_month, "months": self.months,
            "quarantined": self.quarantined,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sight:
    """A model and what it saw; `told_by` is "card", "run" or "ledger".

    `trained` holds the first and last day and the rows that were fitted on, where told.
    """

    at: dt.datetime
    version: str | None
    bundle: str
    stage: str
    aliases: tuple[str, ...]
    told_by: str
    snapshot: Seen | None
    trained: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "version": self.version, "bundle_sha256": self.bundle, "stage": self.stage,
            "aliases": list(self.aliases), "at": self.at.isoformat(), "told_by": self.told_by,
            "trained": dict(self.trained),
            "snapshot": None if self.snapshot is None else self.snapshot.to_dict(),
        }  # fmt: skip


def snapshots_known(home: Path, pointers: Path) -> dict[str, Seen]:
    """Return every snapshot that lies here or can be pulled, by its id.

    Only manifests and pointers are read. DataError if one of them is damaged.
    """
    found = {}
    for file in sorted(pointers.glob(f"*{SUFFIX}")):
        pointer = Pointer.read(file)
        found[pointer.snapshot] = Seen(
            pointer.snapshot, "pointer", pointer.content_sha256 or None, pointer.description
        )
    for file in sorted((home / "snapshots").glob("[!.]*/manifest.json")):
        manifest = read_manifest(file.parent)
        months = [str(part["month"]) for part in manifest["partitions"]]
        found[str(manifest["id"])] = Seen(
            str(manifest["id"]), "here", str(manifest["content_sha256"]),
            str(manifest.get("source", "")), int(manifest["rows"]), months[0], months[-1],
            len(months), int(manifest.get("quarantined", 0)),
        )  # fmt: skip
    return found


def lineage(
    registry: Registry | None, ledger: Ledger, bundles: Path, known: Mapping[str, Seen],
    *, on_version: OnVersion | None = None,
) -> list[Sight]:  # fmt: skip
    """Return every model with the snapshot that it saw, the newest first.

    Parameters
    ----------
    registry
        None if there is none yet.
    ledger
        Its lines of kind `training`.
    bundles
        Where bundles lie that were fetched; what is missing there is fetched into it.
    known
        What `snapshots_known` returns.
    on_version
        Called with the number of each version as its turn comes.
    """
    seen = []
    for version in registry.versions() if registry is not None else []:
        if on_version:
            on_version(version.number)
        seen.append(_of_version(registry, version, bundles, known))
    registered = {item.bundle for item in seen}
    seen += _of_ledger(ledger, registered, known)
    return sorted(seen, key=lambda item: item.at, reverse=True)


def who_saw(sights: Iterable[Sight], known: Mapping[str, Seen], named: str) -> tuple[
    Seen, list[Sight]
]:  # fmt: skip
    """Return the snapshot whose id begins as named, and the models that saw it.

    DataError if there is no such snapshot, or more than one.
    """
    sights = list(sights)
    every = {item.snapshot.id: item.snapshot for item in sights if item.snapshot} | dict(known)
    found = [seen for name, seen in sorted(every.items()) if named and name.startswith(named)]
    if len(found) != 1:
        raise DataError(f"There are {len(found)} snapshots that begin with {named!r}.",
                        why=f"Known are: {', '.join(sorted(every)[:10]) or 'none'}.",
                        fix="Name one of them.")  # fmt: skip
    (one,) = found
    return one, [item for item in sights if item.snapshot and item.snapshot.id == one.id]


def _of_version(
    registry: Registry | None, version: Version, bundles: Path, known: Mapping[str, Seen]
) -> Sight:
    card = _card(registry, version, bundles)
    if card is None:
        named, told_by, trained = version.snapshot, "run", {}
    else:
        named, told_by = str(card["data"]["snapshot"]), "card"
        trained = dict(card.get("trained", {}))
    return Sight(
        version.created, version.number, version.sha256, version.stage, version.aliases, told_by,
        _seen(named, known), trained,
    )  # fmt: skip


def _card(registry: Registry | None, version: Version, bundles: Path) -> dict[str, Any] | None:
    """Read the card out of a verified bundle; None if there is no such bundle to be had."""
    assert registry is not None  # noqa: S101 -- the version comes from it
    try:
        folder = registry.fetch_version(version.number, into=bundles)
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        return card if "snapshot" in card["data"] else None
    except (BundleError, RegistryError, KeyError, TypeError):
        return None


def _of_ledger(ledger: Ledger, registered: set[str], known: Mapping[str, Seen]) -> Iterator[Sight]:
    for line in ledger.entries("training"):
        if line.subject not in registered:
            told = line.evidence
            yield Sight(
                line.at, None, line.subject, UNREGISTERED, (), "ledger",
                _seen(str(told.get("snapshot", "")), known),
                {"last": told.get("train_until"), "rows": told.get("rows")},
            )  # fmt: skip


def _seen(named: str, known: Mapping[str, Seen]) -> Seen | None:
    return known.get(named, Seen(named, "gone")) if named else None
