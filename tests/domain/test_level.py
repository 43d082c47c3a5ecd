import pytest
from hypothesis import given
from hypothesis import strategies as st

from crimeguard.domain.field import BY_NAME
from crimeguard.domain.level import REPORT_FIELDS, VICTIM_FIELDS, InformationLevel, level_of

CALL, VICTIM, REPORT = InformationLevel


def test_each_level_is_contained_in_the_next() -> None:
    assert CALL < VICTIM < REPORT
    assert [level.label for level in InformationLevel] == ["call", "victim", "report"]


@pytest.mark.parametrize("text", ["victim", "VICTIM", " Victim "])
def test_a_level_is_read_by_its_name(text: str) -> None:
    assert InformationLevel.parse(text) is VICTIM


@pytest.mark.parametrize("text", ["", "suspect", "1"])
def test_another_word_is_refused_with_the_names_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="call, victim, report"):
        InformationLevel.parse(text)


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        (set(), CALL),
        ({"date_occ", "area", "premis_cd"}, CALL),
        ({"date_occ", "vict_age"}, VICTIM),
        ({"date_occ", "date_rptd"}, VICTIM),
        ({"date_occ", "weapon_used_cd"}, REPORT),
        ({"mocodes", "vict_sex"}, REPORT),
    ],
)
def test_the_highest_field_named_decides(fields: set[str], level: InformationLevel) -> None:
    assert level_of(fields) is level


@given(fields=st.sets(st.sampled_from(sorted(BY_NAME))), more=st.sampled_from(sorted(BY_NAME)))
def test_knowing_more_never_lowers_the_level(fields: set[str], more: str) -> None:
    assert level_of(fields | {more}) >= level_of(fields)


def test_levels_speak_of_fields_that_exist() -> None:
    assert BY_NAME.keys() >= VICTIM_FIELDS | REPORT_FIELDS
    assert VICTIM_FIELDS.isdisjoint(REPORT_FIELDS)
