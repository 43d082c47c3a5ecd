from crimeguard.domain.category import CATEGORIES, Category


def test_there_are_fifteen_categories_in_a_fixed_order() -> None:
    # Every probability vector is in this order: a change here breaks stored models.
    assert CATEGORIES == (
        "vehicle_theft",
        "theft_from_vehicle",
        "burglary",
        "theft",
        "robbery",
        "aggravated_assault",
        "simple_assault",
        "domestic_violence",
        "homicide_kidnapping",
        "sex_offense",
        "threats_harassment",
        "fraud_identity_theft",
        "vandalism_arson",
        "court_order_violation",
        "public_order_other",
    )


def test_a_category_is_its_own_text() -> None:
    assert Category("robbery") is Category.ROBBERY
    assert f"{Category.ROBBERY}" == "robbery"
    assert tuple(Category) == CATEGORIES
