import pytest

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.domain.level import InformationLevel
from crimeguard.ui import wording


def spaced(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_everything_has_words() -> None:
    assert tuple(wording.CATEGORY_NAMES) == CATEGORIES
    assert len(set(wording.CATEGORY_NAMES.values())) == 15
    assert wording.LEVEL_NAMES.keys() == wording.LEVEL_MEANINGS.keys() == set(InformationLevel)
    assert set(wording.FIELD_NAMES) == set(INCIDENT_FIELDS) - {"location", "cross_street"}


def test_a_category_that_is_new_is_still_shown() -> None:
    assert wording.category_name("piracy_at_sea") == "Piracy at sea"


@pytest.mark.parametrize(
    ("name", "words"),
    [("DATE OCC", "Date"), ("premis_cd", "Premise"), ("Cross Street", "Cross Street"),
     ("Colour", "Colour"), ("", "")],
)  # fmt: skip
def test_a_field_is_named_under_either_spelling(name: str, words: str) -> None:
    assert wording.field_name(name) == words


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.0004, "< 0.1 %"), (0.004, "0.4 %"), (0.0994, "9.9 %"), (0.0996, "10 %"),
     (0.87, "87 %"), (0.994, "99.4 %"), (0.9999, "> 99.9 %"), (1.0, "100 %")],
)  # fmt: skip
def test_a_share_is_never_rounded_to_certainty(share: float, text: str) -> None:
    assert spaced(wording.percent(share)) == text


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["theft"], "Only theft."),
        (["theft", "burglary"], "One of theft or burglary."),
        (["theft", "burglary", "robbery"], "One of theft, burglary or robbery."),
        ([], "No category is likely enough to name: this incident is unlike the usual ones."),
    ],
)
def test_a_set_is_said_as_a_sentence(names: list[str], sentence: str) -> None:
    assert wording.set_sentence(names) == sentence


def test_a_promise_is_made_only_with_its_figure() -> None:
    assert "of 90 % of incidents" in spaced(wording.coverage_sentence(0.9))
    assert "%" not in wording.coverage_sentence(None)


def test_a_number_stands_with_its_noun() -> None:
    assert wording.count(1, "row") == "1 row"
    assert wording.count(12000, "row") == "12,000 rows"
    assert wording.count(2, "category", "categories") == "2 categories"
