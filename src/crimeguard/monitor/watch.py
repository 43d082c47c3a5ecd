"""One look at the champion: judge a window, and tell everybody who should know."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.reference import Reference
from crimeguard.evaluate.watched import WATCHED
from crimeguard.features.columns import Floats
from crimeguard.ingest.writer import write_text
from crimeguard.monitor.alerts import Alert, Alerter, Outcome, Severity
from crimeguard.monitor.observed import UNKNOWN, Observed
from crimeguard.monitor.page import drift_page
from crimeguard.monitor.report import Kind, drift_report
from crimeguard.monitor.verdict import Verdict, judge_window
from crimeguard.records.ledger import Ledger
from crimeguard.registry.bundle import Bundle
from crimeguard.train.params import MonitorParams

FLAG: Final = "drift_detected"
PAGE: Final = "drift.html"
EVIDENTLY: Final = "evidently.html"
DOCUMENT: Final = "drift.json"
_NAMED: Final = 5  # components in a sentence
_SEVERITY: Final[Mapping[str, Severity]] = {
    "ok": "resolved", "warning": "warning", "critical": "critical",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """A verdict, as it was told; `alerts` holds what was sent anew."""

    verdict: Verdict
    document: Mapping[str, Any]
    alerts: tuple[Outcome, ...]
    folder: Path

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        return str(self.document["sentence"])


@dataclass(frozen=True, slots=True)
class Watcher:
    """What a look needs besides the window.

    `folder` is where the flag, the JSON document and the pages are written; `who` stands
    in the ledger.
    """

    ledger: Ledger
    alerter: Alerter
    params: MonitorParams
    folder: Path
    who: str

    def look(self, observed: Observed, champion: Bundle, *, source: str, now: dt.datetime) -> Look:
        """Judge a window and tell: document, page, flag, ledger, alerts."""
        verdict = judge_window(champion.reference, observed, self.params)
        document = {
            "at": now.isoformat(timespec="seconds"), "bundle": champion.sha256,
            "source": source, "sentence": sentence(verdict), **verdict.to_dict(),
            "shares": _shares(champion.reference, observed), "daily": _daily(observed),
        }  # fmt: skip
        self._write(document)
        self.ledger.append(
            "verdict", subject=champion.sha256, who=self.who, why=document["sentence"],
            evidence=document, at=now,
        )  # fmt: skip
        return Look(verdict, document, tuple(self._alert(verdict, document, now)), self.folder)

    def compare(self, observed: Observed, champion: Bundle, document: Mapping[str, Any]) -> Path:
        """Write Evidently's page on the same window, and link it from ours."""
        reference, current = _columns(champion.reference, observed)
        kinds: dict[str, Kind] = {
            field.name: field.kind for field in WATCHED if field.kind != "codes"
        }
        kinds |= {"prediction": "categorical", "label": "categorical"}
        # What lies above an incident's level was not asked for, and so is not missing.
        lowest = int(observed.level.min())
        sparse = ["label", *(field.name for field in WATCHED if field.level > lowest)]
        page = self.folder / EVIDENTLY
        measures = drift_report(reference, current, kinds, html=page, sparse=sparse)
        write_text(self.folder / DOCUMENT, _json({**document, "evidently": measures}))
        write_text(self.folder / PAGE, drift_page(document, _facts(document), evidently=EVIDENTLY))
        return page

    def _write(self, document: Mapping[str, Any]) -> None:
        write_text(self.folder / DOCUMENT, _json(document))
        write_text(self.folder / PAGE, drift_page(document, _facts(document)))
        flag = self.folder / FLAG
        if document["status"] == "critical":
            write_text(flag, f"{document['sentence']}\n")
        elif document["status"] != "too few":  # which does not say that it is over
            flag.unlink(missing_ok=True)

    def _alert(
        self, verdict: Verdict, document: Mapping[str, Any], now: dt.datetime
    ) -> list[Outcome]:
        severity = _SEVERITY.get(verdict.status)
        if severity is None:
            return []  # too few incidents to say anything, not even that all is well
        details = {name: document[name] for name in ("bundle", "source", "rows", "score")}
        details["moved"] = {item.name: item.words for item in verdict.drifted[:_NAMED]}
        return self.alerter.notify(
            Alert("drift", severity, str(document["sentence"]), details, now)
        )


def sentence(verdict: Verdict) -> str:
    """Say a verdict in one line."""
    if verdict.status == "too few":
        return f"{verdict.rows:,} incidents are too few to say anything ({verdict.params.min_rows})"
    moved = verdict.drifted or sorted(
        (item for item in verdict.components if item.score > verdict.params.warning),
        key=lambda item: -item.score,
    )
    named = "; ".join(f"{item.name} {item.score:.2f} ({item.words})" for item in moved[:_NAMED])
    more = f"; and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    head = f"{verdict.status}: drift score {verdict.score:.2f} on {verdict.rows:,} incidents"
    return f"{head}: {named}{more}" if named else head


def _facts(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"bundle": document["bundle"], "looked at": document["at"], "from": document["source"]}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _expected(reference: Reference, observed: Observed) -> Floats:
    """Return the predicted shares of the reference at the window's mix of levels."""
    total = np.zeros(len(CATEGORIES))
    for level in InformationLevel:
        counts = np.array(reference.levels[level.label].predicted, np.float64)
        total += (observed.level == int(level)).sum() * counts / max(counts.sum(), 1.0)
    return total / max(len(observed), 1)


def _shares(reference: Reference, observed: Observed) -> dict[str, dict[str, dict[str, float]]]:
    best = observed.probabilities.argmax(axis=1)
    shares = {"prediction": (_expected(reference, observed), _share(best))}
    known = observed.matured.label
    if len(known):
        labels = np.array(reference.labels, np.float64)
        shares["label"] = (labels / labels.sum(), _share(known))
    return {
        name: {"reference": _named(before), "current": _named(now)}
        for name, (before, now) in shares.items()
    }


def _share(places: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    counts: Floats = np.bincount(places, minlength=len(CATEGORIES)).astype(np.float64)
    return counts / max(len(places), 1)


def _named(shares: Floats) -> dict[str, float]:
    return dict(zip(CATEGORIES, np.round(shares, 5).tolist(), strict=True))


def _daily(observed: Observed) -> dict[str, int]:
    counts = observed.fields["date_occ"].drop_nulls().value_counts().sort("date_occ")
    return {str(day): int(count) for day, count in counts.tail(90).iter_rows()}


def _columns(reference: Reference, observed: Observed) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lay out both sides as Evidently compares them: column by column."""
    before = reference.sample
    # Only the shares of the reference's predictions are kept; as a column of its own that
    # is all that is needed.
    places = np.searchsorted(
        np.cumsum(_expected(reference, observed)), (np.arange(before.height) + 0.5) / before.height
    )
    predicted = np.minimum(places, len(CATEGORIES) - 1)
    before = before.with_columns(_category("prediction", predicted))
    # Labels may be of older incidents; as a column of its own theirs stand side by side.
    known = observed.matured.label[-len(observed) :]
    label = np.append(known, np.full(len(observed) - len(known), UNKNOWN))
    now = observed.fields.with_columns(
        _category("prediction", observed.probabilities.argmax(axis=1)), _category("label", label)
    )
    return before, now


def _category(name: str, places: np.ndarray[Any, np.dtype[np.int64]]) -> pl.Series:
    return pl.Series(name, [CATEGORIES[place] if place >= 0 else None for place in places],
                     dtype=pl.String)  # fmt: skip
