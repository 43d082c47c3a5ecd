import pytest

from crimeguard.ui.client import Problem
from crimeguard.ui.shell import plain, problem_sentence


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (Problem("/2/AREA", "'x' is no code.", 3, "AREA"), "Row 3, Police area: 'x' is no code."),
        (Problem("/2/AREA", "is missing.", 12345, "AREA"), "Row 12,345, Police area is missing."),
        (Problem("/sex", "must be text.", None, "vict_sex"), "Victim sex must be text."),
        (Problem("", "must be an object."), "Must be an object."),
    ],
)  # fmt: skip
def test_a_problem_is_a_sentence_with_its_place(problem: Problem, sentence: str) -> None:
    assert problem_sentence(problem) == sentence


def test_foreign_text_is_never_markup_but_commands_keep_their_ticks() -> None:
    assert plain("**x** [a](b) <b> $1$ :red") == (r"\*\*x\*\* \[a\](b) \<b\> \$1\$ \:red")
    assert plain("run `crimeguard serve`") == "run `crimeguard serve`"
