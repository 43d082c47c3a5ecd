from __future__ import annotations

from crimeguard.domain.errors import BadValue
from crimeguard.serve.problem import BAD_FORM, KINDS, MOST_FLAWS, Flaw, Problem, flaw_of, pointer


def test_pointers_escape_as_rfc_6901_says() -> None:
    assert pointer(3, "a/b~c") == "/3/a~1b~0c"
    assert pointer() == ""


def test_a_bad_value_becomes_a_pointer_and_a_sentence() -> None:
    flaw = flaw_of(BadValue(1, "TIME OCC", "25:61", "is not a time of day"), 4)
    assert flaw.as_member() == {
        "pointer": "/4/TIME OCC",
        "detail": "'25:61' is not a time of day.",
    }


def test_what_is_missing_has_no_value_to_show() -> None:
    assert flaw_of(BadValue(1, "DATE OCC", "", "is missing")).detail == "is missing."


def test_a_flaw_of_a_file_names_row_and_column() -> None:
    member = Flaw("/0/AREA", "is bad.", row=1, column="AREA").as_member()
    assert (member["row"], member["column"]) == (1, "AREA")


def test_a_problem_names_a_bounded_number_of_flaws() -> None:
    problem = Problem(BAD_FORM, "No.", flaws=[Flaw("", "x")] * 100)
    assert len(problem.flaws) == MOST_FLAWS


def test_kinds_have_names_of_their_own() -> None:
    assert len({kind.slug for kind in KINDS}) == len(KINDS)
