"""Named drifts that the simulator injects, each with a known truth."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from crimeguard.domain.category import Category
from crimeguard.domain.errors import UsageError


@dataclass(frozen=True, slots=True)
class Effect:
    """What changes on the first day of a drift: the truth that a monitor has to find.

    Attributes
    ----------
    shares : mapping
        How many times more (or less) often incidents of a category happen. What they
        look like stays, and so does the daily number of incidents in all.
    withheld : frozenset of Category
        Categories that do not happen at all *before* the drift; after it, with `returning`
        times their usual number.
    returning : float
        See `withheld`.
    volume : float
        Daily number of incidents against the usual.
    tilts : mapping
        By field (`area`, `premise`, `slot`): how many times more often incidents with
        this value happen, whatever their category.
    blanked : frozenset of str
        Export columns that are blank in a share `blank_share` of the rows, all together.
    blank_share : float
        See `blanked`.
    relabelled : mapping of int to int
        Crime codes recorded as another code in a share `relabel_share` of their rows.
    relabel_share : float
        See `relabelled`.
    """

    shares: Mapping[Category, float] = field(default_factory=dict)
    withheld: frozenset[Category] = frozenset()
    returning: float = 1.0
    volume: float = 1.0
    tilts: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    blanked: frozenset[str] = frozenset()
    blank_share: float = 0.0
    relabelled: Mapping[int, int] = field(default_factory=dict)
    relabel_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One drift of the catalogue: what it changes, and how strong it is unless told."""

    name: str
    summary: str
    usual: float
    effect: Callable[[float], Effect]


_VALLEY: Final = (9, 10, 15, 16, 17, 19, 21)
_OUTDOORS: Final = (101, 102, 103, 108)
_NIGHT: Final = (0, 1, 2, 3, 4, 22, 23)
_VICTIM: Final = frozenset({"Vict Age", "Vict Sex", "Vict Descent"})


def _covariate_shift(strength: float) -> Effect:
    more = 1 + 2 * strength
    return Effect(
        tilts={
            "area": dict.fromkeys(_VALLEY, more),
            "premise": dict.fromkeys(_OUTDOORS, more),
            "slot": dict.fromkeys(_NIGHT, more),
        }
    )


def _class_mix_shift(strength: float) -> Effect:
    more, fewer = 1 + 2 * strength, 1 - 0.8 * strength
    return Effect(
        shares={
            Category.VEHICLE_THEFT: more, Category.THEFT_FROM_VEHICLE: more,
            Category.FRAUD_IDENTITY_THEFT: fewer, Category.SIMPLE_ASSAULT: fewer,
        }
    )  # fmt: skip


def _new_category(strength: float) -> Effect:
    return Effect(withheld=frozenset({Category.FRAUD_IDENTITY_THEFT}), returning=strength)


def _missing_field(strength: float) -> Effect:
    return Effect(blanked=frozenset({"Mocodes"}), blank_share=strength)


def _relabelled_codes(strength: float) -> Effect:
    thefts = {330: 440, 331: 341, 410: 440, 420: 440, 421: 441}
    return Effect(relabelled=thefts, relabel_share=strength)


def _volume_change(strength: float) -> Effect:
    return Effect(volume=1 - 0.9 * strength)


def _nibrs_2024(strength: float) -> Effect:
    def towards(factor: float) -> float:
        return 1 + (factor - 1) * strength

    return Effect(
        shares={
            Category.COURT_ORDER_VIOLATION: towards(0.5),
            Category.THREATS_HARASSMENT: towards(0.6),
            Category.FRAUD_IDENTITY_THEFT: towards(0.6),
            Category.PUBLIC_ORDER_OTHER: towards(1.8),
            Category.THEFT: towards(1.25),
        },
        blanked=_VICTIM | {"Mocodes", "Crm Cd 2", "Crm Cd 3", "Crm Cd 4"},
        blank_share=strength,
    )


CATALOGUE: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("covariate_shift", "More incidents in the Valley, outdoors and at night, up to "
                 "three times each. p(category | everything recorded) stays exactly as it was; "
                 "category shares follow from where and when.", 0.5, _covariate_shift),
            Kind("class_mix_shift", "Vehicle theft and theft from vehicles up to three times more "
                 "frequent, fraud and simple assault down to a fifth. What an incident of a "
                 "category looks like stays.", 0.5, _class_mix_shift),
            Kind("new_category", "Fraud and identity theft do not happen before the date; from "
                 "it on, at `strength` times their usual number.", 1.0, _new_category),
            Kind("missing_field", "Mocodes are blank in a share `strength` of the rows; all else "
                 "stays.", 0.8, _missing_field),
            Kind("relabelled_codes", "A share `strength` of thefts from vehicles is recorded under "
                 "the codes of other thefts: the same incidents, another label.",
                 0.5, _relabelled_codes),
            Kind("volume_change", "Down to a tenth of the usual number of incidents a day at "
                 "strength 1; their mix stays.", 0.5, _volume_change),
            Kind("nibrs_2024", "The change of coding of 2024, in outline: victim, MO and secondary "
                 "code columns are blank, and the mix of categories changes (fewer violations of "
                 "court orders, threats and frauds, more public order and theft). The factors are "
                 "stylised, not measured.", 1.0, _nibrs_2024),
        )
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drift:
    """One drift of `CATALOGUE`, how strong (0 to 1) and from which day on.

    Without a strength it has the catalogue's, without a start it begins in the middle
    of the simulated days. UsageError for an unknown name or a strength out of range.
    """

    name: str
    strength: float = -1.0
    start: dt.date | None = None

    def __post_init__(self) -> None:
        if self.name not in CATALOGUE:
            raise UsageError(f"There is no drift {self.name!r}.",
                             fix=f"Choose one of {', '.join(CATALOGUE)}.")  # fmt: skip
        if self.strength == -1.0:
            object.__setattr__(self, "strength", CATALOGUE[self.name].usual)
        if not 0 <= self.strength <= 1:
            raise UsageError(f"A drift of strength {self.strength:g} cannot be.",
                             fix="Give a strength between 0 and 1.")  # fmt: skip

    @property
    def effect(self) -> Effect:
        """What changes on its first day."""
        return CATALOGUE[self.name].effect(self.strength)

    @classmethod
    def parse(cls, text: str) -> Drift:
        """Read `NAME[:STRENGTH][@DATE]`, say `missing_field:0.8@2023-02-15`."""
        head, _, day = text.partition("@")
        name, _, strength = head.partition(":")
        try:
            return cls(
                name.strip(),
                float(strength) if strength else -1.0,
                dt.date.fromisoformat(day) if day else None,
            )
        except ValueError:
            raise UsageError(
                f"{text!r} does not name a drift.",
                fix="Write NAME, NAME:STRENGTH, NAME@DATE or NAME:STRENGTH@DATE "
                "(missing_field:0.8@2023-02-15).",
            ) from None
