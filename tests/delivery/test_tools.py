from __future__ import annotations

import json
import subprocess

import pytest

from tests.delivery.harness import ROOT, missing

LINT = ["node_modules/.bin/npm-groovy-lint", "--noserver", "--failon", "warning"]


def test_the_lock_holds_a_hash_of_everything_and_no_address_to_fetch_from() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    packages = {name: known for name, known in lock["packages"].items() if name}
    assert len(packages) > 50
    for name, known in packages.items():
        assert known["integrity"].startswith("sha512-"), name
        assert "resolved" not in known, name
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert "omit-lockfile-registry-resolved=true" in (ROOT / ".npmrc").read_text().splitlines()


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_the_jenkinsfile_is_linted() -> None:
    done = subprocess.run(
        [*LINT, "Jenkinsfile"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in \x1b[1m1\x1b[22m linted files" in done.stdout or "in 1 linted files" in done.stdout
