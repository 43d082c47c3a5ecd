"""What POST /experiment takes: read strictly, and described in OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from crimeguard.domain.errors import UsageError
from crimeguard.evaluate.betting import MODES
from crimeguard.evaluate.experiment_plan import LEAST, METHODS, Plan, flaws_of, make_plan
from crimeguard.registry.contest import Wanted, wanted_of
from crimeguard.serve.problem import BAD_EXPERIMENT, Flaw, Problem, pointer

_LONGEST_WHY: Final = 500
_SHARES: Final = ("share", "alpha", "power", "effect", "discordance", "baseline")
_NUMBERS: Final = (*_SHARES, "maturity_days")
_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "mode": {"type": "string", "enum": list(MODES), "description": "`shadow`: the challenger "
             "scores every incident and is never answered. `split`: it answers a share."},
    "version": {"type": ["string", "integer"], "pattern": "^[1-9][0-9]{0,9}$", "minimum": 1,
                "maximum": 9_999_999_999, "description": "Registered version of the challenger."},
    "share": {"description": "Of the incidents; needed in a split, and only there."},
    "why": {"type": "string", "maxLength": _LONGEST_WHY, "description": "For the ledger."},
    "method": {"type": "string", "enum": list(METHODS), "description": "`sequential` (default) "
               "may be looked at at any time; `fixed` speaks once, at the horizon."},
    "alpha": {"description": "Chance of finding a difference that is not there."},
    "power": {"description": "Chance of finding `effect` by the horizon."},
    "effect": {"description": "Difference in accuracy that is to be found."},
    "horizon": {"type": "integer", "minimum": 1, "maximum": 1_000_000_000,
                "description": "Labelled incidents; by default as many as the effect needs."},
    "discordance": {"description": "Shadow: share of incidents that one of the two alone gets "
                    "right, as far as is known."},
    "baseline": {"description": "Split: accuracy of the champion, as far as is known."},
    "maturity_days": {"type": "number", "minimum": 0, "maximum": 3650, "description":
                      "A label counts once its prediction is so old."},
}  # fmt: skip
_EXAMPLE: Final = {"mode": "shadow", "version": "7", "effect": 0.02, "why": "trained on May"}
_SPLIT_EXAMPLE: Final = {"mode": "split", "share": 0.1, "version": "7", "method": "fixed"}
EXPERIMENT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "title": "ExperimentRequest",
                "properties": {
                    name: {
                        **({"type": "number", "minimum": LEAST, "exclusiveMaximum": 1}
                           if name in _SHARES else {}),
                        **said,
                    }
                    for name, said in _FIELDS.items()
                },
                "required": ["mode", "version"],
                "additionalProperties": False,
                "examples": [_EXAMPLE],
            },
            "examples": {
                "shadow": {"summary": "A shadow", "value": _EXAMPLE},
                "split": {"summary": "A tenth of the incidents", "value": _SPLIT_EXAMPLE},
            },
        }
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """An experiment as it was asked for."""

    wanted: Wanted
    plan: Plan
    why: str


def read_asked(document: Any) -> Asked:
    """Read the body of POST /experiment; Problem points at everything that is wrong."""
    if not isinstance(document, dict):
        raise _refusal([Flaw("", "must be an object with a mode and a version.")])
    flaws = [
        Flaw(pointer(key[:80]), f"is not a field of an experiment: {', '.join(_FIELDS)}.")
        for key in document
        if key not in _FIELDS
    ]
    flaws += [Flaw(pointer(name), "is missing.") for name in ("mode", "version")
              if name not in document]  # fmt: skip
    flaws += [Flaw(pointer(name), why) for name, value in document.items()
              if (why := _misfit(name, value))]  # fmt: skip
    if flaws:
        raise _refusal(flaws)
    return _settled(document)


def _settled(document: dict[str, Any]) -> Asked:
    figures: dict[str, Any] = {
        name: float(document[name]) for name in _NUMBERS if name in document and name != "share"
    }
    figures |= {name: document[name] for name in ("method", "horizon") if name in document}
    share = document.get("share")
    try:
        wanted = wanted_of(document["mode"], str(document["version"]), share)
    except UsageError as error:
        name = "version" if "version" in error.what else "share"
        raise _refusal([Flaw(pointer(name), f"{error.what} {error.why}".strip())]) from None
    plan = Plan(**{"horizon": 1, **figures})
    flaws = [Flaw(pointer(name), f"{why}.")
             for name, why in flaws_of(wanted.mode, wanted.share, plan)]  # fmt: skip
    if flaws:
        raise _refusal(flaws)
    why = document.get("why", "").strip() or "by the API"
    return Asked(wanted, make_plan(wanted.mode, wanted.share, **figures), why)


def _misfit(name: str, value: Any) -> str:
    """Say why a value is not of the kind that its field takes; '' if it is."""
    if name in _NUMBERS:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if known and abs(value) <= 3650 else "must be a number within its bounds."
    if name == "horizon":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if whole and 1 <= value <= 1_000_000_000 else "must be a whole number from 1 on."
    if name == "version":
        kind = isinstance(value, str | int) and not isinstance(value, bool)
        return "" if kind else "must be the number of a version."
    if name == "why":
        short = isinstance(value, str) and len(value) <= _LONGEST_WHY
        return "" if short else f"must be text of at most {_LONGEST_WHY} letters."
    choices = _FIELDS.get(name, {}).get("enum")
    return "" if choices is None or value in choices else f"must be one of {', '.join(choices)}."


def _refusal(flaws: list[Flaw]) -> Problem:
    return Problem(BAD_EXPERIMENT, "The body does not describe an experiment; `errors` says "
                   "where.", flaws=flaws)  # fmt: skip
