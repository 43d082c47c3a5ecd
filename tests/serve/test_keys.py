from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from crimeguard.domain.errors import UsageError
from crimeguard.serve import keys
from crimeguard.serve.keys import Key, KeyRing, KeysError, Scope, make_key, open_keys
from crimeguard.serve.limits import Rate
from crimeguard.settings import API_KEY, Settings

PREDICT = frozenset({Scope.PREDICT})
DIGEST = "0123456789abcdef" * 4


def ring(file: Path) -> KeyRing:
    """A ring that looks at its file each time it is asked."""
    seconds: Iterator[int] = count(0, 2)
    return KeyRing([], file, clock=lambda: float(next(seconds)))


def test_a_key_is_256_random_bits_and_its_entry_holds_only_its_sha256() -> None:
    secret, key = make_key("console", [Scope.LABEL, Scope.PREDICT])
    assert API_KEY.fullmatch(secret)
    assert key.entry() == (f"console:predict+label:{hashlib.sha256(secret.encode()).hexdigest()}")
    assert keys.parse_entry(key.entry(), "it") == key
    assert make_key("console", [Scope.PREDICT])[0] != secret


@pytest.mark.parametrize(
    ("text", "rate"),
    [("20/40", Rate(20, 40)), ("20", Rate(20)), ("0", Rate(0)), ("0.5/3", Rate(0.5, 3)),
     ("999999.125/999999", Rate(999_999.125, 999_999)), ("", None)],
)  # fmt: skip
def test_a_key_may_have_a_rate_of_its_own(text: str, rate: Rate | None) -> None:
    _, key = make_key("partner", [Scope.PREDICT], text)
    assert key.rate == rate
    assert key.entry() == f"partner:predict:{key.digest}" + (f":{text}" if text else "")
    assert keys.parse_entry(key.entry(), "it") == key


@pytest.mark.parametrize(
    "text", ["-1", "20/0", "20/", "/5", "20/40/60", "many", "1e3", "\u0663", " 5"]
)
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no rate"):
        make_key("partner", [Scope.PREDICT], text)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a,b", "-a", "ä", "a\n", "a" * 65])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        make_key(name, [Scope.PREDICT])


def test_a_key_that_may_do_nothing_is_not_made() -> None:
    with pytest.raises(UsageError, match="without a scope"):
        make_key("console", [])


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("console", "none of predict, label, admin"),
        (f"console::{DIGEST}", "none of predict, label, admin"),
        (f"console:predict+all:{DIGEST}", "none of predict, label, admin"),
        (f":predict:{DIGEST}", "does not begin with a name"),
        (f"the console:predict:{DIGEST}", "does not begin with a name"),
        ("console:predict:", "has no SHA-256"),
        (f"console:predict:{DIGEST[:-1]}", "has no SHA-256"),
        (f"console:predict:{DIGEST}0", "has no SHA-256"),
        (f"console:predict:{DIGEST.upper()}", "has no SHA-256"),
        (f"console:predict:{DIGEST}:x", "ends with a rate that is none"),
        (f"console:predict:{DIGEST}:", "ends with a rate that is none"),
        (f"console:predict:{DIGEST}:-1", "ends with a rate that is none"),
        (f"console:predict:{DIGEST}:1e9", "ends with a rate that is none"),
        (f"console:predict:{DIGEST}:5/0", "ends with a rate that is none"),
        (f"console:predict:{DIGEST}:5:5", "ends with a rate that is none"),
        (f"console:predict:{DIGEST}:inf", "ends with a rate that is none"),
    ],
)
def test_an_entry_that_is_none_is_refused_and_never_shown(entry: str, why: str) -> None:
    with pytest.raises(KeysError) as refused:
        keys.parse_list(f"ok:predict:{'0' * 64}, {entry}", "CRIMEGUARD_API_KEYS")
    assert refused.value.why.startswith("Entry 2 of CRIMEGUARD_API_KEYS")
    assert why in refused.value.why
    assert entry not in str(refused.value)
    assert DIGEST not in str(refused.value)


def test_a_secret_among_the_entries_is_refused_and_called_lost() -> None:
    secret, _ = make_key("console", [Scope.PREDICT])
    with pytest.raises(KeysError, match="holds a key itself") as refused:
        keys.parse_list(f"console:predict:{secret}", "CRIMEGUARD_API_KEYS")
    assert "out of use" in refused.value.fix
    assert secret not in str(refused.value)


def test_a_file_may_have_comments_and_blank_lines() -> None:
    text = f"# who\r\n\r\n  a:predict:{DIGEST}  \r\nb:admin:{'0' * 64}"
    assert [key.name for key in keys.parse_lines(text, "f")] == ["a", "b"]


def test_two_entries_of_one_name_or_digest_are_refused() -> None:
    one = Key("a", PREDICT, DIGEST)
    with pytest.raises(KeysError, match="twice"):
        KeyRing([one, Key("a", PREDICT, "0" * 64)])
    with pytest.raises(KeysError, match="two names"):
        KeyRing([one, Key("b", PREDICT, DIGEST)])


def test_a_key_is_found_by_its_secret_alone() -> None:
    made = [make_key(name, [Scope.PREDICT]) for name in ("a", "b", "c")]
    found = KeyRing([key for _, key in made])
    for secret, key in made:
        assert found.find(secret) is key
        for wrong in (secret[:-1], secret + "a", secret.swapcase(), key.digest, key.entry(),
                      f" {secret}", "", "cg_", "ä" * 46):  # fmt: skip
            assert found.find(wrong) is None
    assert found.find(make_key("d", [Scope.PREDICT])[0]) is None


def test_every_entry_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [make_key(name, [Scope.PREDICT]) for name in ("a", "b", "c")]
    found = KeyRing([key for _, key in made])
    compared: list[str] = []

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    for secret, _ in made:
        compared.clear()
        found.find(secret)
        assert compared == [key.digest for _, key in made]


def test_without_settings_there_are_no_keys() -> None:
    assert open_keys(Settings()) is None


@pytest.mark.parametrize("text", [",", " ", "nonsense"])
def test_settings_without_an_entry_are_no_way_to_have_no_keys(text: str) -> None:
    with pytest.raises(KeysError):
        open_keys(Settings(api_keys=text))


@pytest.mark.parametrize("content", [b"", b"# none yet\n", b"nonsense", b"\xff\xfe", b"#" * 2**20])
def test_a_file_without_a_valid_entry_is_refused_at_the_start(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(KeysError):
        open_keys(Settings(api_keys_file=str(file)))


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    entry = Key("a", PREDICT, DIGEST).entry()
    with pytest.raises(KeysError, match="crimeguard key"):
        open_keys(Settings(api_keys=entry, api_keys_file=str(tmp_path / "none")))


def test_keys_come_from_both_places(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(Key("b", PREDICT, "0" * 64).entry())
    settings = Settings(
        api_keys=Key("a", PREDICT, DIGEST).entry(), api_keys_file=str(tmp_path / "keys")
    )
    found = open_keys(settings)
    assert found is not None
    assert [key.name for key in found.keys] == ["a", "b"]


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    (old, old_key), (new, new_key) = (make_key(name, [Scope.PREDICT]) for name in ("a", "b"))
    file = tmp_path / "keys"
    file.write_text(old_key.entry())
    found = ring(file)
    assert (found.find(old), found.find(new)) == (old_key, None)
    file.write_text(f"{old_key.entry()}\n{new_key.entry()}\n")
    assert (found.find(old), found.find(new)) == (old_key, new_key)
    file.write_text(new_key.entry())
    assert (found.find(old), found.find(new)) == (None, new_key)


def test_a_file_is_not_read_for_every_request(tmp_path: Path) -> None:
    secret, key = make_key("a", [Scope.PREDICT])
    file = tmp_path / "keys"
    file.write_text(key.entry())
    found = KeyRing([], file, clock=lambda: 0.0)
    file.unlink()
    assert found.find(secret) == key


def test_an_emptied_file_takes_every_key_out_of_use(tmp_path: Path) -> None:
    secret, key = make_key("a", [Scope.PREDICT])
    file = tmp_path / "keys"
    file.write_text(key.entry())
    found = ring(file)
    file.write_text("")
    assert found.find(secret) is None


@pytest.mark.parametrize("broken", ["nonsense", "", "twice"])
def test_a_broken_file_leaves_the_last_good_keys_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    secret, key = make_key("a", [Scope.PREDICT])
    file = tmp_path / "keys"
    file.write_text(key.entry())
    found = ring(file)
    if broken:
        file.write_text(f"{key.entry()}\n{key.entry() if broken == 'twice' else broken}")
    else:
        file.unlink()
    with caplog.at_level(logging.INFO):
        assert [found.find(secret) for _ in range(3)] == [key] * 3
    assert len(caplog.records) == 1
    assert "last good API keys" in caplog.text
    assert key.digest not in caplog.text
    caplog.clear()
    other, other_key = make_key("b", [Scope.PREDICT])
    file.write_text(other_key.entry())
    with caplog.at_level(logging.INFO):
        assert (found.find(secret), found.find(other)) == (None, other_key)
    assert "the API keys have changed: b" in caplog.text


def test_an_entry_is_appended_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "keys"
    made = [make_key(name, [Scope.PREDICT])[1] for name in ("a", "b")]
    keys.append_key(file, made[0])
    file.write_text(f"# ours\n{made[0].entry()}")  # edited by hand, the last line left open
    keys.append_key(file, made[1])
    assert file.read_text() == f"# ours\n{made[0].entry()}\n{made[1].entry()}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    lock = file.with_name(".keys.lock")
    assert set(file.parent.iterdir()) == {file, lock}
    assert lock.stat().st_mode & 0o777 == 0o600


def test_a_name_that_is_there_is_not_appended(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    keys.append_key(file, make_key("a", [Scope.PREDICT])[1])
    before = file.read_text()
    with pytest.raises(UsageError, match="has a key 'a' already"):
        keys.append_key(file, make_key("a", [Scope.ADMIN])[1])
    assert file.read_text() == before


def test_a_broken_file_is_not_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("nonsense")
    with pytest.raises(KeysError):
        keys.append_key(file, make_key("a", [Scope.PREDICT])[1])
    assert file.read_text() == "nonsense"


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeysError, match="cannot be written"):
        keys.append_key(tmp_path / "file" / "keys", make_key("a", [Scope.PREDICT])[1])


_APPENDS = """
import sys
from pathlib import Path
from crimeguard.serve.keys import Scope, append_key, make_key
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
for place in range(10):
    append_key(Path(sys.argv[1]), make_key(f"{sys.argv[2]}-{place}", [Scope.PREDICT])[1])
"""


def test_processes_that_add_keys_at_the_same_moment_lose_none(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    writers = [
        subprocess.Popen([sys.executable, "-c", _APPENDS, str(file), name], text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("a", "b", "c")
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    names = {key.name for key in keys.parse_lines(file.read_text(), "it")}
    assert names == {f"{name}-{place}" for name in "abc" for place in range(10)}


def test_a_folder_without_room_for_the_lock_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(KeysError, match="No locks available"):
        keys.append_key(tmp_path / "keys", make_key("a", [Scope.PREDICT])[1])
    assert not (tmp_path / "keys").exists()
