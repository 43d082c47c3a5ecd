from __future__ import annotations

import pytest

from crimeguard.domain.errors import NoVersionError, RegistryError, UsageError
from crimeguard.registry.contest import Wanted, contest_of, parse_wanted
from tests.registry.contests import FakeVersions, contest, sha256_of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", None),
        ("  ", None),
        ("shadow:7", Wanted("shadow", "7")),
        (" split:0.1:7 ", Wanted("split", "7", 0.1)),
    ],
)
def test_the_setting_names_an_experiment(text: str, wanted: Wanted | None) -> None:
    assert parse_wanted(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "shadow", "7", "shadow:", "shadow:x", "shadow:0", "shadow:-1", "shadow:7.0", "shadow:1:2",
        "split:7", "split:0.1", "split:0:7", "split:1:7", "split:nan:7", "split:a:7", "split:.1:",
        "split:0.1:7:8", "mirror:7", ":::", "shadow:" + "9" * 20,
    ],
)  # fmt: skip
def test_nonsense_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_wanted(text)
    assert refused.value.exit_code == 2
    assert refused.value.fix


def test_both_bundles_are_looked_up() -> None:
    registry = FakeVersions()
    assert contest_of(registry, Wanted("shadow", "2")) == contest()
    served = contest_of(registry, Wanted("shadow", "2"), sha256_of("3"))
    assert served.champion == sha256_of("3")


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(NoVersionError, match="no version 9"):
        contest_of(FakeVersions(), Wanted("shadow", "9"))
    with pytest.raises(UsageError, match="is what is in production"):
        contest_of(FakeVersions(), Wanted("shadow", "1"))
    with pytest.raises(RegistryError, match="nothing in production"):
        contest_of(FakeVersions(production=None), Wanted("shadow", "2"))
