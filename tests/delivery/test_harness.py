"""The harness that runs the Jenkinsfile refuses what Jenkins would refuse."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest

from tests.delivery.harness import Build, check_syntax, compile_harness, missing, run_build

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.xdist_group("harness"),
]  # fmt: skip

STAGE = "stage('one') { steps { echo 'one' } }"
SECRETS = {
    "login": {"user": "robot", "password": "p4ssw0rd"},
    "cluster": {"content": "its-content"},
}
LOGIN = "usernamePassword(credentialsId: 'login', usernameVariable: 'U', passwordVariable: 'P')"


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_harness(tmp_path_factory.mktemp("classes"))


def build(classes: str, folder: Path, body: str, **given: dict[str, str]) -> Build:
    """Run a pipeline whose sections are given."""
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    file = folder / "Jenkinsfile"
    file.write_text(f"pipeline {{\nagent any\n{textwrap.dedent(body)}\n}}\n")
    return run_build(classes, file, workspace, credentials=SECRETS, **given)


def steps(classes: str, folder: Path, body: str) -> Build:
    """Run one stage of these steps."""
    return build(classes, folder, f"stages {{ stage('one') {{ steps {{\n{body}\n}} }} }}")


REFUSED = [
        ("stages { " + STAGE + " }\nnonsense { }", "pipeline has no section nonsense"),
        ("options { timestamps() }", "pipeline has no stages"),
        ("stages { }", "stages holds no stage"),
        ("stages { stage('one') { echo 'one' } }", "stage has no section echo"),
        ("stages { stage('one') { when { expression { true } } } }", "exactly one of steps"),
        ("stages { stage('one') { steps { } } }", "steps holds no step"),
        ("stages { stage('one') { steps { unknown 'x' } } }", "no such step: unknown"),
        ("stages { stage('one') { steps { sh(scrip: 'x') } } }", "step sh does not take [scrip]"),
        ("stages { stage('one') { steps { if (true) { echo 'x' } } } }", "is no call"),
        ("stages { stage('one') { steps { withCredentials([]) { echo 'x' } } } }", "a list of bin"),
        (("stages { stage('one') { steps { withCredentials([file(variable: 'x')]) { echo 'x' }"
         "} } }"), "file lacks [credentialsId]"),
        ("stages {\n" + STAGE + "\n" + STAGE + "\n}", "two stages have one name"),
        ("stages { stage('one') {\nfailFast true\nsteps { echo 'x' } } }", "failFast without"),
        ("options { disableConcurrent() }\nstages { " + STAGE + " }", "no such option"),
        ("options { timeout(1) }\nstages { " + STAGE + " }", "option timeout does not take []"),
        ("options { timestamps() }\noptions { timestamps() }\nstages { " + STAGE + " }",
         "two sections options"),
        ("environment { A = params.B }\nstages { " + STAGE + " }", 'NAME = "text" only'),
        ("post { sometimes { echo 'x' } }\nstages { " + STAGE + " }", "no condition sometimes"),
        ("parameters { secret(name: 'A') }\nstages { " + STAGE + " }", "no such parameter"),
        ("stages { stage('one') {\nwhen { wednesday true }\nsteps { echo 'x' } } }",
         "when has no wednesday"),
        ("stages { stage('one' { } }", "startup failed"),
]  # fmt: skip


def test_what_is_no_declarative_pipeline_is_refused(classes: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{number:02}" for number in range(len(REFUSED))]
    for file, (body, _) in zip(files, REFUSED, strict=True):
        file.write_text(f"pipeline {{\nagent any\n{body}\n}}\n")
    good = tmp_path / "good"
    good.write_text(f"pipeline {{\nagent any\nstages {{ {STAGE} }}\n}}\n")
    other = tmp_path / "other"
    other.write_text("node { sh 'true' }\n")
    code, told = check_syntax(classes, *files, good, other)
    assert code == 2
    for file, (body, words) in zip(files, REFUSED, strict=True):
        mine = [line for line in told if line.startswith(f"{file}: ")]
        assert any(words in line for line in mine), (body, mine)
    assert [line for line in told if line.startswith(f"{good}: ")] == []
    assert any("one pipeline { } and nothing else" in line for line in told)
    assert check_syntax(classes, good) == (0, [])


def test_what_is_refused_does_not_run(classes: str, tmp_path: Path) -> None:
    refused = build(classes, tmp_path, "stages { stage('one') { steps { unknown 'x' } } }")
    assert (refused.code, refused.result, refused.events, refused.log) == (2, "", [], "")
    assert "no such step: unknown" in refused.said


def test_parameters_environment_when_and_what_a_command_returned(
    classes: str, tmp_path: Path
) -> None:
    done = build(classes, tmp_path, """\
        parameters {
            string(name: 'WHO', defaultValue: 'nobody')
            choice(name: 'WHERE', choices: ['here', 'there'])
        }
        environment {
            GREETING = "hello ${params.WHO} ${params.WHERE}"
            PLACE = "${env.WORKSPACE}/in"
        }
        stages {
            stage('one') {
                steps {
                    sh 'echo "$GREETING"; mkdir "$PLACE"; touch in/file'
                    script {
                        int code = sh(script: 'exit 4', returnStatus: true)
                        String said = sh(script: 'echo out; echo err >&2', returnStdout: true)
                        echo "code ${code}, said ${said.trim()}, ${fileExists('in/file')}"
                    }
                }
            }
            stage('two') {
                when { expression { fileExists('nothing') } }
                steps { sh 'false' }
            }
            stage('three') {
                environment { GREETING = 'bye' }
                steps { sh 'echo "$GREETING"' }
            }
        }
    """, params={"WHO": "world"})  # fmt: skip
    assert (done.result, done.code) == ("SUCCESS", 0), done.log
    lines = done.log.splitlines()
    assert "hello world here" in lines
    assert "code 4, said out, true" in lines
    assert "bye" in lines
    assert (done.ran, done.skipped) == (["one", "three"], {"two": "when"})


def test_secrets_are_bound_and_masked_only_where_they_are_bound(
    classes: str, tmp_path: Path
) -> None:
    done = steps(classes, tmp_path, f"""
        withCredentials([{LOGIN}, file(credentialsId: 'cluster', variable: 'F')]) {{
            sh 'echo "$U:$P"; cat "$F" > copy; echo "$F" > where; echo "$P" > kept'
        }}
        sh 'echo "[$P]"; test ! -e "$(cat where)"'
        sh 'cat kept'
    """)  # fmt: skip
    assert done.result == "SUCCESS", done.log
    lines = done.log.splitlines()
    assert "robot:****" in lines
    assert "[]" in lines
    assert (tmp_path / "workspace/copy").read_text() == "its-content"
    assert [event["id"] for event in done.of("credentials")] == ["login", "cluster"]
    # Out of its scope nothing is masked, as in Jenkins: what leaks must be seen to leak.
    assert "p4ssw0rd" in lines


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("withCredentials([" + LOGIN + "]) { sh \"echo ${env.P}\" }", "a secret stands in"),
        ("withCredentials([" + LOGIN.replace("'login'", "'other'") + "]) { sh 'true' }",
         "Could not find credentials entry with ID 'other'"),
        ("script { nothing() }", "No such DSL method 'nothing'"),
        ("script { slackSend 'x' }", "No such DSL method 'slackSend'"),
        ("script { echo nothing }", "No such property: nothing"),
        ("script { sh(script: 'exit 3') }", "script returned exit code 3"),
        ("error 'on purpose'", "on purpose"),
        ("junit 'nothing.xml'", "No test report files were found"),
        ("archiveArtifacts 'nothing/*'", "No artifacts found"),
    ],
)  # fmt: skip
def test_what_fails_in_a_step_fails_the_build(
    classes: str, tmp_path: Path, step: str, said: str
) -> None:
    done = steps(classes, tmp_path, step)
    assert (done.result, done.code) == ("FAILURE", 1)
    assert said in done.of("error")[0]["words"]


def test_a_failure_ends_it_and_post_runs_in_jenkins_order(classes: str, tmp_path: Path) -> None:
    done = build(classes, tmp_path, """\
        stages {
            stage('one') {
                steps { sh 'exit 1' }
                post {
                    success { echo 'not this' }
                    always { echo 'this' }
                }
            }
            stage('two') { steps { echo 'not this' } }
        }
        post {
            cleanup { echo 'last' }
            unsuccessful { echo 'so it is told' }
            failure { sh 'exit 1' }
            success { echo 'not this' }
            always { echo 'first' }
        }
    """)  # fmt: skip
    assert done.result == "FAILURE"
    assert (done.ran, done.skipped) == (["one"], {"two": "an earlier stage failed"})
    assert [(event["stage"], event["condition"]) for event in done.of("post")] == [
        ("one", "always"), ("", "always"), ("", "failure"), ("", "unsuccessful"), ("", "cleanup"),
    ]  # fmt: skip
    assert "not this" not in done.log


@pytest.mark.parametrize(("option", "last"), [("skipStagesAfterUnstable()", []),
                                              ("timestamps()", ["two"])])  # fmt: skip
def test_a_failed_test_in_a_report_makes_it_unstable(
    classes: str, tmp_path: Path, option: str, last: list[str]
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/junit.xml").write_text(
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase>'
        "</testsuite></testsuites>"
    )
    done = build(classes, tmp_path, f"""\
        options {{ {option} }}
        stages {{
            stage('one') {{ steps {{ junit 'junit.xml' }} }}
            stage('two') {{ steps {{ echo 'two' }} }}
        }}
        post {{ unstable {{ echo 'unstable' }} }}
    """)  # fmt: skip
    assert done.result == "UNSTABLE"
    assert done.ran == ["one", *last]
    assert {"tests": 2, "failed": 1, "skipped": 0}.items() <= done.of("junit")[0].items()
    assert done.log.endswith("unstable\n")


def test_branches_run_beside_each_other_and_one_that_fails_stops_the_others(
    classes: str, tmp_path: Path
) -> None:
    # Each waits for the other to have begun, which they could not one after the other.
    done = build(classes, tmp_path, """\
        stages {
            stage('both') {
                failFast true
                parallel {
                  stage('a') { steps { sh 'touch a; until [ -e b ]; do sleep .1; done; exit 1' } }
                  stage('b') { steps { sh 'touch b; until [ -e a ]; do sleep .1; done; sleep 90' } }
                }
            }
        }
        options { timeout(time: 1, unit: 'MINUTES') }
    """)  # fmt: skip
    assert done.result == "ABORTED"
    assert [event["stage"] for event in done.of("interrupted")] == ["b"]
    ends = {event["stage"]: event["result"] for event in done.of("stop")}
    assert (ends["a"], ends["b"]) == ("FAILURE", "ABORTED")


def test_what_takes_too_long_is_killed_with_all_that_it_started(
    classes: str, tmp_path: Path
) -> None:
    done = build(classes, tmp_path, """\
        stages {
            stage('one') {
                options { timeout(time: 1, unit: 'SECONDS') }
                steps { sh '(sleep 2; touch late) & sleep 90' }
            }
        }
        post { aborted { echo 'told' } }
    """)  # fmt: skip
    assert (done.result, len(done.of("timeout"))) == ("ABORTED", 1)
    assert done.log.endswith("told\n")
    time.sleep(2)
    assert not (tmp_path / "workspace/late").exists()
