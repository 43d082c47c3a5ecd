"""The list of stages and the Jenkinsfile say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crimeguard.delivery.stages import FLAG, PARAMETERS, STAGES

JENKINSFILE = (Path(__file__).parents[2] / "Jenkinsfile").read_text()
BLOCKS = dict(
    re.findall(
        r"^        stage\('(.*?)'\) \{\n(.*?)^        \}\n", JENKINSFILE, re.MULTILINE | re.DOTALL
    )
)


def test_the_jenkinsfile_has_the_same_seven_stages_in_the_same_order() -> None:
    assert list(BLOCKS) == [stage.title for stage in STAGES]
    assert len(STAGES) == 7
    assert len({stage.name for stage in STAGES}) == 7


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_runs_the_same_commands_on_the_same_conditions(stage: object) -> None:
    assert stage in STAGES
    (known,) = (one for one in STAGES if one is stage)
    block = BLOCKS[known.title]
    commands = [command for commands in known.work.values() for command in commands]
    assert re.findall(r"^ +sh '(.*)'$", block, re.MULTILINE) == commands
    assert re.findall(r"timeout\(time: (\d+), unit: 'MINUTES'\)", block) == [str(known.minutes)]
    conditions = re.findall(r"expression \{ fileExists\('(.*)'\) \}", block)
    assert conditions == ([known.when] if known.when else [])
    assert re.findall(r"^ {16}stage\('(.*)'\) \{$", block, re.MULTILINE) == list(known.branches)
    assert ("parallel {" in block) is ("failFast true" in block) is bool(known.branches)


def test_the_parameters_have_the_same_names_and_defaults() -> None:
    strings = dict(re.findall(r"string\(name: '(\w+)', defaultValue: '(.*?)'", JENKINSFILE))
    choices = dict(re.findall(r"choice\(name: '(\w+)', choices: \['(\w+)'", JENKINSFILE))
    assert choices | strings == PARAMETERS
    for name in PARAMETERS:
        assert f'{name} = "${{params.{name}}}"' in JENKINSFILE


def test_three_credentials_are_asked_for_and_no_secret_is_in_a_groovy_string() -> None:
    asked = re.findall(r"credentialsId: '(.*?)'", JENKINSFILE)
    assert set(asked) == {"docker-hub-credentials", "dagshub-credentials", "kubeconfig-secret"}
    bound = set(re.findall(r"[vV]ariable: '(\w+)'", JENKINSFILE))
    assert {"DOCKER_PASSWORD", "CRIMEGUARD_DVC_PASSWORD", "MLFLOW_TRACKING_PASSWORD",
            "KUBECONFIG"} < bound  # fmt: skip
    assert not re.findall(r'sh\b[^\'\n]*"', re.sub(r"'[^'\n]*'", "''", JENKINSFILE))
    for text in re.findall(r'(?<!sh \')"(.*?)"', JENKINSFILE):
        assert not bound & set(re.findall(r"\w+", text)), text


def test_the_flag_is_what_monitoring_leaves() -> None:
    from crimeguard.monitor.watch import FLAG as LEFT

    assert f"monitoring/{LEFT}" == FLAG
    assert f"rm -f {FLAG}" in JENKINSFILE
