"""Bundles that need no training, judgements that need no gate, and a home with three versions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from crimeguard.evaluate.gate import Contender, GateVerdict
from crimeguard.evaluate.gates import GATES, Judgement
from crimeguard.pipeline import Trained
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.registry.bundle import Bundle, write_bundle
from crimeguard.registry.golden import golden_answers
from crimeguard.registry.judging import Actor, Court
from crimeguard.registry.store import PRODUCTION, Run, open_registry
from crimeguard.settings import Settings
from crimeguard.train.params import Params

ACTOR = Actor("ada@tests", "to see")


def other_bundle(trained: Trained, folder: Path, note: str, *, lean: float = 0.0) -> Bundle:
    """Write the same members with another card, and another pool if they are to `lean`.

    With `lean` the first category becomes exp(lean) times as likely, against each other.
    """
    old = trained.bundle
    offsets = old.model.pool.offsets.copy()
    offsets[0] += lean
    model = replace(old.model, pool=replace(old.model.pool, offsets=offsets))
    return write_bundle(model, folder, card={**old.card, "note": note},
                        golden=golden_answers(model), reference=old.reference)  # fmt: skip


@contextmanager
def sitting(settings: Settings, params: Params) -> Iterator[Court]:
    """Open a court over a home."""
    database = open_database(settings)
    try:
        yield Court(open_registry(settings), Ledger(database), settings, params)
    finally:
        database.close()


def judged(court: Court, number: str, refused: Collection[str] = ()) -> Judgement:
    """Return what the gates would say of a version against what is in production now."""
    before = court.registry.version_of(PRODUCTION)
    champion = None if before in (None, number) else before
    verdicts = tuple(
        GateVerdict(name, name not in refused, (), f"{name} found it so", 0.0) for name in GATES
    )
    rival = None if champion is None else _contender(court, champion)
    return Judgement(_contender(court, number), rival, verdicts)


def _contender(court: Court, number: str) -> Contender:
    bundle = Bundle.load(court.registry.fetch_version(number, into=court.bundles))
    return Contender(number, bundle.sha256, bundle.model, bundle.card, bundle.size)


def add_versions(settings: Settings, trained: Trained, work: Path) -> None:
    """Register versions 2, which leans to the first category, and 3; 3 is in staging."""
    registry = open_registry(settings)
    for note, lean in (("second", 1.0), ("third", 0.0)):
        registry.register(other_bundle(trained, work, note, lean=lean), Run({}, {}, {}))
