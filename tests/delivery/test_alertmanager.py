from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from tests.delivery.watching import DEPLOY, ROOT, run, tool

CONFIG = DEPLOY / "alertmanager" / "alertmanager.yml"
ENTRYPOINT = DEPLOY / "alertmanager" / "entrypoint"
ADDRESS = "https://chat.invalid/hooks/T0/p4th?token=s3cret&x=1"


def started(folder: Path, **variables: str) -> tuple[int, str, str]:
    """Run the entry point with a stand-in for the program; return code, words, configuration."""
    stub = folder / "alertmanager"
    stub.write_text('#!/bin/sh\necho "$@"\nenv | grep -c s3cret\nexit 0\n')
    stub.chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), "ALERTMANAGER": str(stub)}
    told = run(ENTRYPOINT, "--cluster.listen-address=", env={**environ, **variables})
    made = folder / "alertmanager.yml"
    return told.returncode, told.stdout + told.stderr, made.read_text() if made.exists() else ""


def addresses(configuration: str) -> list[str]:
    return re.findall(r"url: '(.*)'", configuration)


def test_alertmanager_takes_the_configuration() -> None:
    told = run(tool("amtool"), "check-config", CONFIG)
    assert told.returncode == 0, told.stderr
    assert "2 receivers" in told.stdout


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["service=crimeguard", "severity=critical", "alertname=CrimeGuardDown"], "urgent"),
        (["service=crimeguard", "severity=warning", "alertname=CrimeGuardSlow"], "team"),
        (["service=others", "severity=critical"], "team"),
        (["alertname=Anything"], "team"),
    ],
)
def test_who_is_told(labels: list[str], receiver: str) -> None:
    told = run(tool("amtool"), "config", "routes", "test", f"--config.file={CONFIG}",
               f"--verify.receivers={receiver}", *labels)  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.split() == [receiver]


def test_the_addresses_in_the_repository_lead_nowhere() -> None:
    urls = re.findall(r"https?://[^\s'\"]+", CONFIG.read_text())
    assert urls == ["http://alert-webhook.invalid/", "http://urgent-alert-webhook.invalid/"]


@pytest.mark.parametrize("by_file", [False, True])
def test_the_addresses_come_from_the_environment_and_go_nowhere_else(
    tmp_path: Path, by_file: bool
) -> None:
    if by_file:
        (tmp_path / "secret").write_text(f"{ADDRESS}\n")
        code, told, made = started(tmp_path, ALERT_WEBHOOK_URL_FILE=str(tmp_path / "secret"))
    else:
        code, told, made = started(tmp_path, ALERT_WEBHOOK_URL=ADDRESS)
    assert code == 0, told
    assert addresses(made) == [ADDRESS, ADDRESS]
    assert "invalid/\n" not in made
    arguments, seen = told.splitlines()
    assert arguments == f"--config.file={tmp_path}/alertmanager.yml --cluster.listen-address="
    assert seen == "0"  # the program's own environment holds it no more
    assert stat.S_IMODE((tmp_path / "alertmanager.yml").stat().st_mode) == 0o600
    checked = run(tool("amtool"), "check-config", tmp_path / "alertmanager.yml")
    assert checked.returncode == 0, checked.stderr


def test_what_is_urgent_may_go_elsewhere(tmp_path: Path) -> None:
    other = "http://pager.invalid/a?b=$c&d"
    _, _, made = started(tmp_path, ALERT_WEBHOOK_URL=ADDRESS, ALERT_URGENT_WEBHOOK_URL=other)
    assert addresses(made) == [ADDRESS, other]
    _, _, made = started(tmp_path, ALERT_URGENT_WEBHOOK_URL=other)
    assert addresses(made) == [other, other]


def test_without_an_address_alerts_are_only_shown(tmp_path: Path) -> None:
    code, told, made = started(tmp_path)
    assert code == 0
    assert "ALERT_WEBHOOK_URL is not set: alerts are sent to nobody." in told
    assert "url:" not in made
    checked = run(tool("amtool"), "check-config", tmp_path / "alertmanager.yml")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    "address", ["chat.invalid/s3cret", "ftp://chat.invalid/s3cret", "http://a'\n- s3cret: 1",
                "http://x/ s3cret"],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    code, told, made = started(tmp_path, ALERT_WEBHOOK_URL=address)
    assert code == 2
    assert "ALERT_WEBHOOK_URL" in told
    assert "s3cret" not in told + made


def test_the_page_names_the_variables() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    known = {"ALERT_WEBHOOK_URL", "ALERT_URGENT_WEBHOOK_URL"}
    known |= {f"{name}_FILE" for name in known}
    assert known <= set(re.findall(r"`([A-Z_]+)`", page))
    assert {name for name in known if "_FILE" not in name} <= set(
        re.findall(r"of_variable ([A-Z_]+)\)", ENTRYPOINT.read_text())
    )
