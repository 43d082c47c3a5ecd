import re
import subprocess
from pathlib import Path

import pytest

from crimeguard.cli.secrets import fill
from crimeguard.domain.errors import UsageError
from crimeguard.domain.secret import PLACEHOLDER, placeholder
from crimeguard.serve.keys import digest_of
from crimeguard.settings import SECRETS, VARIABLES, Settings
from tests.cli.world import crimeguard, refused

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"


def variables(text: str, *, commented: bool = True) -> dict[str, str]:
    mark = "#?" if commented else ""
    return dict(re.findall(rf"^{mark}([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


def in_shell(file: Path) -> dict[str, str]:
    """Return what a shell makes of a file of settings."""
    script = 'set -a; . "$1"; /usr/bin/env'
    done = subprocess.run(["env", "-i", "sh", "-c", script, "sh", str(file)],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_every_variable_of_the_example_is_known() -> None:
    compose = ROOT / "docker-compose.yml"
    elsewhere = compose.read_text() if compose.exists() else ""
    for name in variables(EXAMPLE.read_text()):
        if name.startswith("COMPOSE_"):  # Compose's own
            continue
        assert name in VARIABLES.values() or re.search(rf"\b{name}\b", elsewhere), name


def test_every_secret_of_the_example_is_a_placeholder() -> None:
    found = variables(EXAMPLE.read_text())
    # An address may carry none.
    wanted = {name for name in SECRETS if not name.endswith(("_URL", "_URI"))}
    assert wanted <= found.keys()
    for name, value in found.items():
        if name in wanted or re.search(r"PASSWORD|SECRET|TOKEN", name) or "@" in value:
            assert PLACEHOLDER in value or re.fullmatch(r"[a-z]+@example\.org", value), name
            assert placeholder(value) or "@example.org" in value, name


def test_the_example_is_refused_as_it_stands() -> None:
    with pytest.raises(UsageError, match="is still a placeholder"):
        Settings.load(in_shell(EXAMPLE))
    for name, value in variables(EXAMPLE.read_text()).items():
        if name in SECRETS and PLACEHOLDER in value:
            with pytest.raises(UsageError, match=name):
                Settings.load({name: value})


def test_what_is_made_is_taken_and_belongs_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    out = tmp_path / ".env"
    told = crimeguard("secrets", "--out", out)
    assert (told.code, told.out) == (0, "")
    assert out.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    found = in_shell(out)
    settings = Settings.load(found)
    assert settings.api_keys == f"console:predict+label:{digest_of(settings.api_key)}"
    made = variables(EXAMPLE.read_text(), commented=False)
    for name, before in made.items():
        if PLACEHOLDER not in before:
            assert found[name] == before
            continue
        assert len(found[name]) >= 43
        assert found[name] not in told.err
    left = variables(out.read_text()).keys() - variables(out.read_text(), commented=False).keys()
    assert left == variables(EXAMPLE.read_text()).keys() - made.keys()
    listed = told.err.split("to fill in, if you use it: ")[1].splitlines()[0].split(", ")
    assert set(listed) == {
        name for name in left if PLACEHOLDER in variables(EXAMPLE.read_text())[name]
    }


def test_no_two_are_the_same() -> None:
    one, other = (variables(fill(EXAMPLE.read_text())[0], commented=False) for _ in range(2))
    text = fill("A=changethis\nB=x://u:changethis@h\n")[0]
    values = [one["CRIMEGUARD_API_KEY"], other["CRIMEGUARD_API_KEY"],
              one["MLFLOW_TRACKING_PASSWORD"], other["MLFLOW_TRACKING_PASSWORD"],
              text.split("\n")[0][2:], text.split("u:")[1].split("@")[0]]  # fmt: skip
    assert len(set(values)) == 6


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    out = tmp_path / ".env"
    out.write_text("A=precious\n")
    refused(crimeguard("secrets", "--out", out, "--example", EXAMPLE), 1, "there already", "--out")
    assert out.read_text() == "A=precious\n"
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_what_cannot_be_read_written_or_made_is_said(tmp_path: Path) -> None:
    refused(crimeguard("secrets", "--example", tmp_path / "none"), 2, "cannot be read", "--example")
    to = tmp_path / "none" / ".env"
    refused(crimeguard("secrets", "--out", to, "--example", EXAMPLE), 1, "cannot be written")
    half = tmp_path / "half"
    half.write_text("CRIMEGUARD_API_KEY=changethis\n")
    out = tmp_path / "made"
    refused(crimeguard("secrets", "--out", out, "--example", half), 2, "only one is a placeholder")
    assert not out.exists()
