"""Errors that say what went wrong, why, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


class CrimeGuardError(Exception):
    """Base of every error that CrimeGuard raises on purpose.

    Parameters
    ----------
    what : str
        What went wrong, in one sentence.
    why : str
        The cause, with the evidence at hand.
    fix : str
        What the reader can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(" ".join(part for part in (what, why, fix) if part))
        self.what = what
        self.why = why
        self.fix = fix


class UsageError(CrimeGuardError):
    """The command or call was put together wrongly."""

    exit_code = 2


class GateRefusedError(CrimeGuardError):
    """A check that stands before a step said no."""

    exit_code = 3


class BundleError(CrimeGuardError):
    """A bundle is missing, damaged or not what its manifest says."""


class RegistryError(CrimeGuardError):
    """The model registry could not be reached or does not hold what was asked for."""


class NoVersionError(RegistryError):
    """The model registry holds no such version."""


class RemoteError(CrimeGuardError):
    """The remote store of snapshots could not be used, or does not hold what was asked for."""


class PortalError(CrimeGuardError):
    """An open-data portal could not be used; `status` is its HTTP status, 0 without one."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", status: int = 0) -> None:
        super().__init__(what, why=why, fix=fix)
        self.status = status


class RecordsError(CrimeGuardError):
    """The database of predictions, labels and the ledger cannot be used."""


@dataclass(frozen=True, slots=True)
class BadValue:
    """One value that could not be repaired, and where it stands.

    `row` counts data rows from 1, as a spreadsheet without its header does.
    """

    row: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column!r}: {self.value!r} {self.reason}"


class DataError(CrimeGuardError):
    """Input data are not what they should be; `bad` names the first offending values."""

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        fix: str = "",
        bad: tuple[BadValue, ...] = (),
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.bad = bad
