"""What is held against the reference: a window of the log, or a file of incidents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crimeguard.domain.level import InformationLevel
from crimeguard.evaluate.watched import watched_frame
from crimeguard.features.columns import Floats, Ints

UNKNOWN: int = -1


@dataclass(frozen=True, slots=True)
class Observed:
    """`n` incidents with the champion's answers.

    `fields` holds `watched_frame` of them, `level` what was known of each, shape (n,),
    `probabilities` the answers, shape (n, 15), `label` the true category's place in
    CATEGORIES where it is known and mature, else -1, shape (n,). `older` holds incidents
    from before the window whose labels are mature by now. `share` is the champion's of what
    came in: in an experiment another may answer the rest.
    """

    fields: pl.DataFrame
    level: Ints
    probabilities: Floats
    label: Ints
    older: Observed | None = None
    share: float = 1.0

    @classmethod
    def of(cls, frame: pl.DataFrame, level: Ints, probabilities: Floats, label: Ints) -> Observed:
        """Lay out a canonical frame with its answers."""
        return cls(watched_frame(frame), level, probabilities, label)

    def __len__(self) -> int:
        return len(self.level)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Where the truth is known, shape (n,)."""
        known: NDArray[np.bool_] = self.label != UNKNOWN
        return known

    @property
    def matured(self) -> Observed:
        """The incidents whose truth is known: those from before the window, and its own."""
        own = self.take(self.labelled)
        if self.older is None:
            return own
        first = self.older.matured
        return Observed(
            pl.concat([first.fields, own.fields]),
            np.concatenate([first.level, own.level]),
            np.concatenate([first.probabilities, own.probabilities]),
            np.concatenate([first.label, own.label]),
        )

    def known_from(self, level: InformationLevel) -> pl.DataFrame:
        """Return the fields of the incidents of which a level, or more, is known."""
        if (self.level >= int(level)).all():
            return self.fields
        return self.fields.filter(pl.Series(self.level >= int(level)))

    def take(self, rows: NDArray[np.bool_]) -> Observed:
        """Return a part of the window's own incidents."""
        return Observed(
            self.fields.filter(pl.Series(rows)),
            self.level[rows],
            self.probabilities[rows],
            self.label[rows],
        )
