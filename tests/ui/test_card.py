from typing import Any

import pytest

from crimeguard.domain.level import InformationLevel
from crimeguard.ui.card import Section, coverage_of, sections, value_text, words
from tests.ui.fake_api import CARD


def test_a_card_becomes_titled_tables_in_the_order_people_ask() -> None:
    found = {section.title: section for section in sections(CARD)}
    assert list(found) == [
        "Measured, by information level", "Measured, by category, at the highest level",
        "Importance of fields", "Measured on", "Training window",
        "Data", "Parameters", "Parameters: xgboost",
    ]  # fmt: skip
    assert found["Training window"].rows[0] == ("Incidents", "31,500")
    assert [name for name, _ in found["Importance of fields"].rows] == [
        "MO codes", "Premise", "Measured as",
    ]  # fmt: skip
    levels = found["Measured, by information level"]
    assert levels.columns[:3] == ("", "Incidents", "Accuracy")
    assert levels.rows[1][:3] == ("Report", "15,600", "0.876")
    by_category = found["Measured, by category, at the highest level"]
    assert by_category.columns == ("", "Incidents", "Precision", "Recall", "F1", "ROC-AUC")
    assert by_category.rows[1] == ("Robbery", "0", "0.750", "0.790", "0.770", "not measured")
    assert [section.detail for section in found.values()] == [False] * 6 + [True] * 2


def test_fields_are_listed_in_words() -> None:
    (model,) = sections({"fields": ["date_occ", "premis_cd", "something_new"]})
    assert model.rows == (("Fields", "Date, Premise, something_new"),)


def test_rows_that_lack_a_figure_show_a_gap() -> None:
    (table,) = sections({"per_category": {"theft": {"f1": 0.5}, "robbery": {"recall": 0.25}}})
    assert table == Section("Per category", ("", "Recall", "F1"),
                            (("Theft", "", "0.500"), ("Robbery", "0.250", "")))  # fmt: skip


def test_a_list_of_groups_is_numbered_where_nothing_names_them() -> None:
    (table,) = sections({"folds": [{"rows": 3}, {"rows": 4}]})
    assert table.rows == (("1", "3"), ("2", "4"))
    (table,) = sections({"folds": [{"rows": 3, "name": "early"}]})
    assert table.rows == (("Early", "3"),)


def test_groups_within_groups_are_titled_by_their_way() -> None:
    titles = [section.title for section in sections({"a": {"b": {"c": {"d": 1}}, "e": 2}})]
    assert titles == ["A", "A: b: c"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.87654, "0.877"), (0.00004, "4e-05"), (31500, "31,500"), (31500.0, "31,500"),
     (True, "yes"), (None, "not measured"), (["a", 1], "a, 1"), ("x", "x")],
)  # fmt: skip
def test_values_are_written_for_people(value: Any, text: str) -> None:
    assert value_text(value) == text


def test_keys_are_read_as_words() -> None:
    assert words("ece") == "Expected calibration error"
    assert words("theft_from_vehicle") == "Theft from vehicle"
    assert words("training_rows") == "Training rows"


@pytest.mark.parametrize(
    ("card", "coverage"),
    [(CARD, 0.9043), ({"coverage": 0.8}, None), ({}, None), ({"levels": {"report": 1}}, None),
     ({"levels": {"report": {"coverage": "high"}}}, None)],
)  # fmt: skip
def test_the_measured_coverage_of_a_level_is_found(
    card: dict[str, Any], coverage: float | None
) -> None:
    assert coverage_of(card, InformationLevel.REPORT) == coverage
