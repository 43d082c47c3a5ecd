"""Runs a Jenkinsfile as far as that is possible without Jenkins.

`jenkins/` holds a declarative pipeline in Groovy: it checks the syntax tree, then runs the
stages with real `sh` steps. The Groovy that it needs comes with npm-groovy-lint.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
JARS: Final = ROOT / "node_modules/npm-groovy-lint/lib/java/groovy/lib"
SOURCES: Final = Path(__file__).parent / "jenkins"
Event = dict[str, Any]


def missing() -> str:
    """Say what the harness lacks on this machine, if anything."""
    if shutil.which("java") is None:
        return "java is not installed"
    if not JARS.is_dir():
        return "npm-groovy-lint is not installed (`make tools`)"
    return ""


def compile_harness(folder: Path) -> str:
    """Compile the harness once; return the class path to run it with."""
    jars = [str(jar) for jar in sorted(JARS.glob("groovy-4*.jar"))]
    jars += [str(jar) for jar in sorted(JARS.glob("groovy-json-*.jar"))]
    sources = [str(path) for path in sorted(SOURCES.glob("*.groovy"))]
    subprocess.run(
        ["java", "-cp", os.pathsep.join(jars), "org.codehaus.groovy.tools.FileSystemCompiler",
         "-d", str(folder), *sources], check=True,
    )  # fmt: skip
    return os.pathsep.join([*jars, str(folder)])


def check_syntax(classes: str, *files: Path) -> tuple[int, list[str]]:
    """Check files without running them; return the exit code and a line for each error."""
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", classes, "main", "--check", *map(str, files)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


@dataclass(frozen=True)
class Build:
    """How a build went: what Jenkins would show, and what the harness wrote down."""

    code: int
    log: str
    said: str
    events: list[Event] = field(default_factory=list)

    @property
    def result(self) -> str:
        """SUCCESS, UNSTABLE, FAILURE or ABORTED; empty if the syntax was refused."""
        ends = [event["result"] for event in self.events if event["event"] == "end"]
        return str(ends[-1]) if ends else ""

    def of(self, kind: str, **known: Any) -> list[Event]:
        """Return the events of a kind that hold all that is given."""
        return [
            event for event in self.events
            if event["event"] == kind and known.items() <= event.items()
        ]  # fmt: skip

    @property
    def ran(self) -> list[str]:
        """The stages that began, in order."""
        return [event["stage"] for event in self.of("start")]

    @property
    def skipped(self) -> dict[str, str]:
        """The stages that did not run, and why."""
        return {event["stage"]: event["why"] for event in self.of("skipped")}

    def span(self, stage: str) -> tuple[float, float]:
        """Return when a stage began and ended, s since the build did."""
        (start,), (stop,) = self.of("start", stage=stage), self.of("stop", stage=stage)
        return start["at"], stop["at"]


def run_build(
    classes: str, jenkinsfile: Path, workspace: Path, *,
    credentials: Mapping[str, Mapping[str, str]] | None = None,
    params: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None,
) -> Build:  # fmt: skip
    """Run a Jenkinsfile in a workspace; `env` is all that the agent's environment holds."""
    place = workspace.with_name(f"{workspace.name}@harness")
    place.mkdir(exist_ok=True)
    log, events = place / "log", place / "events.jsonl"
    for file in (log, events):
        file.write_text("")
    config = {
        "jenkinsfile": str(jenkinsfile), "workspace": str(workspace), "log": str(log),
        "events": str(events), "params": dict(params or {}),
        "credentials": {name: dict(known) for name, known in (credentials or {}).items()},
        "env": {"PATH": os.environ["PATH"], **(env or {})},
    }  # fmt: skip
    (place / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", classes, "main", str(place / "config.json")],
        capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    (place / "config.json").unlink()  # the secrets
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return Build(done.returncode, log.read_text(), done.stdout + done.stderr, lines)
