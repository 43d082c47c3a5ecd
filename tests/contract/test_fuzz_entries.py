"""Keys, labels, experiments, settings and manifests: read, or refused in our own words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import BundleError, UsageError
from crimeguard.registry.bundle import MANIFEST, verify
from crimeguard.serve.experiment_body import EXPERIMENT_BODY, read_asked
from crimeguard.serve.keys import KeysError, Scope, make_key, parse_entry, parse_lines, parse_list
from crimeguard.serve.problem import BAD_EXPERIMENT, BAD_LABEL
from crimeguard.serve.routes_labels import read_labels
from crimeguard.settings import VARIABLES, Settings
from tests.contract.fuzzing import DOCUMENTS, SCALARS, damaged, fuzz, refused, require_own_words

SECRET, KEY = make_key("someone", [Scope.PREDICT, Scope.LABEL])
ENTRIES = damaged(st.sampled_from([
    KEY.entry().encode(), f"name:predict:{'0' * 64}".encode(), b"# a comment", b"", b"a:b:c",
])).map(lambda found: found.decode("utf-8", "replace"))  # fmt: skip


@pytest.mark.parametrize("read", [parse_lines, parse_list])
@fuzz(300)
@given(entries=st.lists(ENTRIES, max_size=3), between=st.sampled_from(["\n", ",", "\r\n", " "]))
def test_entries_of_keys_are_read_or_refused_unseen(
    read: Callable[[str, str], Any], entries: list[str], between: str
) -> None:
    text = between.join(entries)
    try:
        keys = read(text, "the place")
    except KeysError as error:
        said = str(error)
        require_own_words(error, [said])
        # A digest, or what may be a secret, is never repeated.
        assert not any(text[at : at + 20] in said for at in range(max(0, len(text) - 19)))
        return
    for key in keys:
        assert parse_entry(key.entry(), "again") == key


def test_a_secret_in_place_of_an_entry_is_not_shown() -> None:
    with pytest.raises(KeysError) as caught:
        parse_list(SECRET, "the place")
    assert SECRET not in str(caught.value)


LABELS = st.fixed_dictionaries(
    {},
    optional={
        "prediction_id": st.sampled_from(["0" * 32, "g" * 32, "0" * 31]) | DOCUMENTS,
        "category": st.sampled_from(CATEGORIES) | DOCUMENTS,
        "crm_cd": st.sampled_from([210, 510, 1]) | DOCUMENTS,
        "other": SCALARS,
    },
)


@fuzz(400)
@given(LABELS | st.lists(LABELS | DOCUMENTS, max_size=3) | DOCUMENTS)
def test_labels_are_read_or_refused(document: Any) -> None:
    problem = refused(lambda: read_labels(document))
    if problem is not None:
        assert problem.kind is BAD_LABEL
        assert problem.flaws
        return
    for label in read_labels(document):
        again = {"prediction_id": label.prediction_id, "category": label.category}
        (found,) = read_labels({**again, "crm_cd": label.crm_cd})
        assert found == label


FIELDS = sorted(EXPERIMENT_BODY["content"]["application/json"]["schema"]["properties"])
NUMBERS = st.floats(0, 1) | st.sampled_from([5e-324, 1e-300, 1 - 1e-16, 0.05, 0.5]) | SCALARS
EXPERIMENTS = st.builds(
    lambda start, more: {**start, **more},
    st.sampled_from([{}, {"mode": "shadow", "version": "7"},
                     {"mode": "split", "share": 0.1, "version": 7}]),
    st.dictionaries(st.sampled_from(FIELDS), NUMBERS | DOCUMENTS, max_size=4),
)  # fmt: skip


@fuzz(500)
@given(EXPERIMENTS | DOCUMENTS)
def test_experiments_are_read_or_refused(document: Any) -> None:
    problem = refused(lambda: read_asked(document))
    if problem is not None:
        assert problem.kind is BAD_EXPERIMENT
        assert problem.flaws


TEXTS = (
    st.text(max_size=20)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(["1e999", "-0", "0x10", "\u0661", "1_000", "json", "shadow:7"])
)


@fuzz(400)
@given(st.dictionaries(st.sampled_from(sorted(set(VARIABLES.values()))), TEXTS, max_size=4))
def test_settings_are_read_or_refused_by_name(environ: dict[str, str]) -> None:
    try:
        settings = Settings.load(environ)
    except UsageError as error:
        said = str(error)
        assert any(name in said for name in environ), said
        require_own_words(error, [said])
        return
    assert settings == Settings.load(environ)


def test_a_damaged_manifest_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    right = (folder / MANIFEST).read_bytes()
    _, sha256 = verify(folder)
    document = json.loads(right)

    @fuzz(150)
    @given(
        damaged(st.just(right))
        | st.dictionaries(st.sampled_from(sorted(document)), DOCUMENTS, max_size=2).map(
            lambda other: json.dumps(document | other).encode()
        )
        | DOCUMENTS.map(lambda other: json.dumps(other).encode())
    )
    def check(content: bytes) -> None:
        (folder / MANIFEST).write_bytes(content)
        try:
            _, found = verify(folder)
        except BundleError:
            return
        # What still verifies is a bundle of its own: its digest says that it is another.
        assert (found == sha256) is (content == right)

    check()
