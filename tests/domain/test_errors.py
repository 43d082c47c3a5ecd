import pytest

from crimeguard.domain.errors import (
    BadValue,
    BundleError,
    CrimeGuardError,
    DataError,
    GateRefusedError,
    RegistryError,
    UsageError,
)


def test_an_error_says_what_why_and_what_to_do() -> None:
    error = CrimeGuardError("It broke.", why="The disk is full.", fix="Free some space.")
    assert str(error) == "It broke. The disk is full. Free some space."
    assert (error.what, error.why, error.fix) == (
        "It broke.",
        "The disk is full.",
        "Free some space.",
    )


def test_what_is_not_known_leaves_no_gap() -> None:
    assert str(CrimeGuardError("It broke.", fix="Try again.")) == "It broke. Try again."


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (CrimeGuardError, 1),
        (DataError, 1),
        (BundleError, 1),
        (RegistryError, 1),
        (UsageError, 2),
        (GateRefusedError, 3),
    ],
)
def test_exit_codes(kind: type[CrimeGuardError], code: int) -> None:
    assert kind("No.").exit_code == code
    assert issubclass(kind, CrimeGuardError)


def test_a_bad_value_names_row_column_and_reason() -> None:
    bad = BadValue(7, "TIME OCC", "25:61", "is not a time of day")
    assert str(bad) == "row 7, column 'TIME OCC': '25:61' is not a time of day"


def test_a_data_error_carries_the_bad_values() -> None:
    bad = (BadValue(1, "AREA", "x", "is not a code"),)
    error = DataError("Bad rows.", why="Damage.", bad=bad)
    assert error.bad == bad
    assert DataError("Bad rows.").bad == ()
