import random
from pathlib import Path

import polars as pl
import pytest

from crimeguard.domain.codes import crime_codes
from crimeguard.domain.errors import GateRefusedError
from crimeguard.domain.field import EXPORT_COLUMNS, FORBIDDEN_FEATURES
from crimeguard.domain.incident import INCIDENT_FIELDS
from crimeguard.ingest.frame import canonical
from crimeguard.validate.finding import Severity
from crimeguard.validate.leakage import (
    check_leakage,
    check_names,
    explained,
    forbidden_names,
    refuse_forbidden,
)
from tests.validate.rows import incidents


def with_leaks(frame: pl.DataFrame) -> pl.DataFrame:
    codes = crime_codes()
    rng = random.Random(2)
    crm = pl.col("crm_cd")
    category = {code: crime.category.value for code, crime in codes.items()}
    part = crm.replace_strict({code: crime.part for code, crime in codes.items()})
    wrong = [rng.random() < 0.004 for _ in range(frame.height)]
    return frame.with_columns(
        crm_cd_1=crm,
        category_again=crm.replace_strict(category),
        sentence=pl.concat_str(pl.lit("it was "), crm.replace_strict(category)),
        part=part,
        part_text=pl.concat_str(pl.lit("Part "), part.cast(pl.String)),
        mostly=pl.when(pl.Series(wrong)).then(510).otherwise(crm),
    )


def many(times: int = 10) -> pl.DataFrame:
    # Twenty of the codes, so that each has the support of enough rows.
    codes = sorted(crime_codes())[::7]
    frame = pl.concat([incidents()] * times)
    rng = random.Random(4)
    return frame.with_columns(
        crm_cd=pl.Series([rng.choice(codes) for _ in range(frame.height)], dtype=pl.Int32)
    )


@pytest.mark.parametrize(
    "name",
    [
        "Crm Cd", "crm_cd", "Crm Cd 1", "crm_cd_4", "CRM-CD-2", " Crm Cd ", "Part 1-2",
        "part_1_2", "Status", "status_desc", "Status Desc", "DR_NO", "dr_no", "category",
        "Crm Cd Desc", "crm_cd=510", "status_IC", "premis_cd*crm_cd_1", "premis_cd \u00d7 Status",
        "premis_cd x status", "table:category", "Status|area",
    ],
)  # fmt: skip
def test_a_forbidden_name_is_found_in_every_spelling(name: str) -> None:
    assert forbidden_names(["area", name]) == (name,)


def test_every_forbidden_field_and_heading_is_found() -> None:
    assert forbidden_names(sorted(FORBIDDEN_FEATURES)) == tuple(sorted(FORBIDDEN_FEATURES))
    found = set(forbidden_names(EXPORT_COLUMNS))
    assert found == {
        "DR_NO", "Part 1-2", "Crm Cd", "Crm Cd Desc", "Status", "Status Desc",
        "Crm Cd 1", "Crm Cd 2", "Crm Cd 3", "Crm Cd 4",
    }  # fmt: skip


def test_honest_names_pass() -> None:
    honest = [
        *INCIDENT_FIELDS, "hour", "premis_cd*weapon_used_cd", "mocodes=344", "days_until_reported",
        "crossed", "partner", "statute",
    ]  # fmt: skip
    assert forbidden_names(honest) == ()
    refuse_forbidden(honest)
    assert check_names(honest) == []


def test_forbidden_features_are_refused() -> None:
    with pytest.raises(GateRefusedError, match=r"2 features would leak.*Crm Cd 1, status_IC"):
        refuse_forbidden(["area", "Crm Cd 1", "status_IC"])
    (found,) = check_names(["area", "Crm Cd 1", "status_IC", "hour"])
    assert (found.check, found.severity, found.count) == ("forbidden_features", "error", 2)
    assert found.share == 0.5
    assert [item.value for item in found.evidence] == ["Crm Cd 1", "status_IC"]


def test_honest_fields_stay_silent() -> None:
    assert check_leakage(many()) == []


@pytest.mark.parametrize("name", ["crm_cd", "crm_cd_1", "category_again", "sentence", "mostly"])
def test_a_field_that_tells_the_category_is_reported(name: str) -> None:
    (found,) = check_leakage(with_leaks(many()), [name, "area", "premis_cd"])
    assert (found.check, found.severity) == ("leaks_category", Severity.ERROR)
    assert found.meaning.startswith(name)
    assert "mostly" in found.evidence[0].value
    assert found.share > 0.9


@pytest.mark.parametrize("name", ["part", "part_text"])
def test_a_field_that_the_crime_code_tells_is_reported(name: str) -> None:
    (found,) = check_leakage(with_leaks(many()), [name, "area"])
    assert found.check == "read_off_crime_code"
    assert name in found.fix


def test_a_number_in_many_steps_is_cut_into_bins() -> None:
    rng = random.Random(8)
    order = {code: n for n, code in enumerate(sorted(crime_codes()))}
    frame = many().with_columns(
        score=pl.col("crm_cd").replace_strict(order)
        + pl.Series([rng.random() / 2 for _ in range(6000)]),
        noise=pl.Series([rng.random() for _ in range(6000)]),
    )
    assert [found.fix for found in check_leakage(frame, ["score", "noise"])] == [
        "Leave score out of the features."
    ]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([f"{n}" for n in range(6000)], id="every value once"),
        pytest.param(["same"] * 6000, id="one value"),
        pytest.param([None] * 6000, id="blank"),
    ],
)
def test_a_field_without_support_proves_nothing(values: list[str | None]) -> None:
    frame = many().with_columns(field=pl.Series(values, dtype=pl.String))
    assert check_leakage(frame, ["field"]) == []


def test_without_labels_or_rows_nothing_can_be_said() -> None:
    leaky = with_leaks(many())
    assert check_leakage(leaky.drop("crm_cd"), ["part"]) == []
    assert check_leakage(leaky.head(100), ["part"]) == []
    unknown = leaky.with_columns(crm_cd=pl.lit(999, pl.Int32))
    assert check_leakage(unknown, ["part"]) == []


def test_each_field_is_announced() -> None:
    told: list[str] = []
    check_leakage(many(1), ["area", "absent", "lat"], on_check=told.append)
    assert told == ["area", "lat"]


def test_explained_is_nought_for_strangers_and_one_for_twins() -> None:
    table = pl.DataFrame({"a": ["x", "y"] * 50, "b": ["p", "p", "q", "q"] * 25})
    assert explained(table.with_columns(c="a"), "a", by="c") == pytest.approx(1)
    assert explained(table, "a", by="b") == pytest.approx(0)
    assert explained(table.with_columns(c=pl.lit("same")), "c", by="a") == 0


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["la_2023q1", "la_westla_2020_2021", "la_2020_biased"])
def test_on_real_rows_only_the_leaks_are_reported(realdata: Path, name: str) -> None:
    raw = pl.read_parquet(realdata / f"{name}.parquet")
    frame = canonical(raw).frame
    assert check_leakage(frame) == []
    texts = ["Part 1-2", "Crm Cd Desc", "Premis Desc", "Weapon Desc", "AREA NAME"]
    both = pl.concat([frame, raw.select(texts)], how="horizontal")
    found = check_leakage(both, [*frame.columns, *texts])
    assert {item.fix.split()[1] for item in found} == {"crm_cd", "crm_cd_1", "Part", "Crm"}


def test_simulated_rows_are_as_honest() -> None:
    from crimeguard.ingest.simulator import simulate

    frame = canonical(pl.concat(simulate(20_000, seed=3))).frame
    assert check_leakage(frame) == []
    found = check_leakage(with_leaks(frame), ["part", "crm_cd_1"])
    assert len(found) == 2
