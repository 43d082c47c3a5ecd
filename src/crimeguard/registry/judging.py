"""Hold a registered version against every gate, and keep what they said."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crimeguard.domain.errors import DataError, RegistryError
from crimeguard.evaluate.evaluation import Evaluation, evaluate_model
from crimeguard.evaluate.gate import Case, Contender
from crimeguard.evaluate.gates import Judgement, judge
from crimeguard.ingest.snapshot import Snapshot
from crimeguard.ingest.writer import write_text
from crimeguard.records.ledger import Ledger
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.golden import load_checked
from crimeguard.registry.signature import trusted
from crimeguard.registry.store import PRODUCTION, Registry
from crimeguard.settings import Settings
from crimeguard.train.params import Params, params_from_dict
from crimeguard.train.split import split_by_time

OnGate = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and why; `decision_id` ties the lines of one decision together."""

    who: str
    why: str
    decision_id: str | None = None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a bundle was trained on, what it was scored on, and its scores there."""

    train: pl.DataFrame
    test: pl.DataFrame
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Court:
    """Everything that a judgement needs besides the challenger."""

    registry: Registry
    ledger: Ledger
    settings: Settings
    params: Params

    @property
    def bundles(self) -> Path:
        """Where fetched bundles lie."""
        return self.settings.home / "bundles"

    def judge(
        self, number: str, actor: Actor, *, held_out: HeldOut | None = None,
        on_gate: OnGate = lambda _: None,
    ) -> Judgement:  # fmt: skip
        """Ask every gate about a version; the outcome is in the ledger and in MLflow.

        Without `held_out` the rows are read from the snapshot that the version's card
        names. Raises BundleError if the version does not verify, RegistryError or
        DataError if it cannot be judged.
        """
        challenger = self.load(number)
        if held_out is None:
            on_gate("hold-out")
            held_out = self._held_out(challenger)
        judgement = judge(self._case(challenger, held_out), on_gate)
        self._keep(number, challenger, judgement, actor)
        return judgement

    def champion(self) -> Bundle | None:
        """Load what is in production, None if nothing is."""
        folder = self.registry.fetch(PRODUCTION, into=self.bundles)
        # Not asked who signed it: what was promoted before there were keys can be replaced.
        return None if folder is None else load_checked(folder)

    def load(self, number: str) -> Bundle:
        """Fetch a version and check it as a server would; BundleError if it is refused."""
        folder = self.registry.fetch_version(number, into=self.bundles)
        return load_checked(folder, trusted(self.settings))

    def _case(self, challenger: Bundle, held_out: HeldOut) -> Case:
        champion = self.champion()
        # What is in production already is not held against itself.
        rival = None if champion is None or champion.sha256 == challenger.sha256 else champion
        return Case(
            challenger=_contender("challenger", challenger),
            champion=None if rival is None else _contender("champion", rival),
            train=held_out.train,
            test=held_out.test,
            evaluation=held_out.evaluation,
            params=self.params,
            settings=self.settings,
        )

    def _held_out(self, bundle: Bundle) -> HeldOut:
        snapshot = self._snapshot(str(bundle.card["data"]["snapshot"]), bundle)
        trained = params_from_dict(bundle.card["params"], source="the model card")
        days = (bundle.card["trained"]["last"], bundle.card["tested"]["last"])
        split = split_by_time(snapshot.frame(), trained.split, *map(dt.date.fromisoformat, days))
        evaluation = evaluate_model(bundle.model, split.test, seed=trained.seed)
        return HeldOut(split.train, split.test, evaluation)

    def _snapshot(self, name: str, bundle: Bundle) -> Snapshot:
        try:
            return Snapshot.load(self.settings.home / "snapshots" / name)
        except DataError as error:
            raise RegistryError(
                f"Version {bundle.version} cannot be judged.",
                why=f"It was trained on snapshot {name}, which is not here: {error.what}",
                fix="Bring the snapshot back (`dvc pull`, or `crimeguard prepare` on the same "
                "file), or train again.",
            ) from error

    def _keep(self, number: str, bundle: Bundle, judgement: Judgement, actor: Actor) -> None:
        folder = self.settings.home / "reports" / bundle.version
        pages = {"gates.html": judgement.to_html()}
        pages |= {f"{item.gate}.html": item.page for item in judgement.verdicts if item.page}
        for name, page in pages.items():
            write_text(folder / name, page)
            self.registry.attach(number, folder / name)
        self.ledger.append(
            "gates", subject=bundle.sha256, who=actor.who, why=actor.why,
            evidence={"version": number, **judgement.to_dict(), "page": folder / "gates.html"},
            decision_id=actor.decision_id,
        )  # fmt: skip


def _contender(name: str, bundle: Bundle) -> Contender:
    return Contender(name, bundle.sha256, bundle.model, bundle.card, bundle.size)
