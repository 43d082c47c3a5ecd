import shutil
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from crimeguard.cli import health
from crimeguard.cli.health import Outcome
from crimeguard.serve.keys import Scope, make_key
from crimeguard.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in {"/livez", "/health"} else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def only(outcomes: Iterable[Outcome]) -> Outcome:
    (outcome,) = outcomes
    return outcome


def test_an_old_python_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(health.check_python(settings)).status == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    assert only(health.check_python(settings)) == Outcome(
        "python", "fail", "3.10.4", "Install Python 3.11 or newer."
    )


def test_a_package_that_does_not_load_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "SERVING", ("json", "no_such_package"))
    monkeypatch.setattr(health, "PARTS", {"console": ("json", "no_such_part"), "tests": ("json",)})
    serving, console, tests = health.check_packages(settings)
    assert (serving.status, "no_such_package" in serving.found) == ("fail", True)
    assert "make up" in serving.fix
    assert (console.status, console.found) == ("warn", "no_such_part missing")
    assert tests.status == "ok"


def test_other_versions_than_locked_are_named() -> None:
    from importlib.metadata import version

    pins = f"httpx=={version('httpx')}\nrich==0.0.1\nno-such-package==1\n\n"
    other, same = health.compare_versions(pins)
    assert same == 1
    assert other == [f"rich {version('rich')}, locked 0.0.1"]


def test_the_environment_is_as_locked(settings: Settings) -> None:
    outcome = only(health.check_versions(settings))
    assert outcome.status == "ok", outcome.found


@pytest.mark.parametrize("existing", [True, False])
def test_a_state_folder_is_tried_without_a_trace(tmp_path: Path, existing: bool) -> None:
    home = tmp_path / "a" / "b"
    if existing:
        home.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    outcome = only(health.check_home(Settings(home=home)))
    assert outcome.status == "ok"
    assert ("will be made" in outcome.found) is not existing
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_where_the_state_folder_should_be_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = only(health.check_home(Settings(home=tmp_path / "file")))
    assert outcome.status == "fail"
    assert "CRIMEGUARD_HOME" in outcome.fix


@pytest.mark.parametrize(("free", "status"), [(10**8, "fail"), (10**9, "warn"), (10**11, "ok")])
def test_disk_is_judged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert only(health.check_disk(settings)).status == status


@pytest.mark.parametrize(
    ("free", "status"), [(10**8, "fail"), (2 * 10**9, "warn"), (10**11, "ok"), (None, "ok")]
)
def test_memory_is_judged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int | None, status: str
) -> None:
    monkeypatch.setattr(health, "available_memory", lambda: free)
    assert only(health.check_memory(settings)).status == status


def test_memory_is_read_from_the_system(tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:  2000 kB\nMemAvailable:    1000 kB\n")
    assert health.available_memory(table) == 1_024_000
    table.write_text("MemTotal:  2000 kB\n")
    assert health.available_memory(table) is None
    assert health.available_memory(tmp_path / "none") is None


def test_free_ports_are_fine() -> None:
    outcomes = list(health.check_ports(Settings(port=free_port(), ui_port=free_port())))
    assert [item.status for item in outcomes] == ["ok", "ok"]


def test_a_taken_port_fails_unless_the_api_itself_answers(
    taken: int, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_PATIENCE", 0.2)
    api, console = health.check_ports(Settings(port=server, ui_port=taken))
    assert (api.status, api.found) == ("ok", f"{server}: already answering")
    assert console.status == "fail"
    assert "CRIMEGUARD_UI_PORT" in console.fix
    stranger, _ = health.check_ports(Settings(port=taken, ui_port=free_port()))
    assert stranger.status == "fail"


def test_a_port_that_cannot_be_fails() -> None:
    outcome, _ = health.check_ports(Settings(port=99_999, ui_port=free_port()))
    assert outcome.status == "fail"


def test_a_database_that_is_not_there_yet_is_fine(settings: Settings) -> None:
    outcome = only(health.check_registry(settings))
    assert (outcome.status, "will be made" in outcome.found) == ("ok", True)
    assert not settings.home.exists()


def test_a_database_is_opened(settings: Settings) -> None:
    file = settings.home / "mlflow" / "mlflow.db"
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE runs (id)")
    assert only(health.check_registry(settings)).status == "ok"
    file.write_bytes(b"this is no database " * 100)
    outcome = only(health.check_registry(settings))
    assert (outcome.status, "not a database" in outcome.found) == ("fail", True)


def test_a_server_must_answer(settings: Settings, server: int, taken: int) -> None:
    def at(uri: str) -> Outcome:
        return only(health.check_registry(Settings(mlflow_tracking_uri=uri)))

    assert at(f"http://127.0.0.1:{server}").status == "ok"
    assert at(f"http://127.0.0.1:{server}/").status == "ok"
    assert at(f"http://127.0.0.1:{free_port()}").status == "fail"
    assert at(f"postgresql://u:secret@127.0.0.1:{taken}/mlflow").status == "ok"
    lost = at(f"postgresql://u:secret@127.0.0.1:{free_port()}/mlflow")
    assert lost.status == "fail"
    assert "secret" not in lost.found
    assert at("somewhere").status == "fail"


def test_the_records_are_opened(settings: Settings) -> None:
    assert only(health.check_records(settings)).status == "ok"
    assert not settings.home.exists()
    settings.home.mkdir()
    (settings.home / "records.db").write_bytes(b"this is no database " * 100)
    outcome = only(health.check_records(settings))
    assert (outcome.status, "not a database" in outcome.found) == ("fail", True)


def test_the_environment_of_a_gate_is_looked_for(tmp_path: Path) -> None:
    python = tmp_path / "python"
    outcome = only(health.check_deepchecks(Settings(deepchecks_python=str(python))))
    assert outcome.status == "warn"
    assert "make .venv/.deepchecks" in outcome.fix
    python.touch()
    assert only(health.check_deepchecks(Settings(deepchecks_python=str(python)))).status == "ok"


@pytest.mark.parametrize(("found", "status"), [("/usr/bin/chromium", "ok"), (None, "warn")])
def test_a_browser_is_optional(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, found: str | None, status: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: found)
    assert only(health.check_browser(settings)).status == status


def test_keys_are_named_and_a_lack_of_them_is_told() -> None:
    secret, key = make_key("console", [Scope.PREDICT])
    keyed = Settings(host="0.0.0.0", api_keys=key.entry())

    def found(settings: Settings) -> tuple[str, str]:
        outcome = only(health.check_keys(settings))
        return outcome.status, outcome.found

    assert found(Settings()) == ("ok", "none: the API listens on 127.0.0.1 only")
    assert found(keyed) == ("ok", "console (predict)")
    assert found(replace(keyed, api_key=secret)) == ("ok", "console (predict)")
    status, words = found(replace(keyed, api_key=make_key("x", [Scope.PREDICT])[0]))
    assert (status, "CRIMEGUARD_API_KEY is none of them" in words) == ("warn", True)
    assert found(Settings(host="0.0.0.0"))[0] == "fail"
    assert found(Settings(api_keys="nonsense"))[0] == "fail"


@pytest.mark.parametrize(("why", "status"), [("", "ok"), ("it was not compiled", "warn")])
def test_the_kernel_is_optional(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, why: str, status: str
) -> None:
    from crimeguard.native import library as module

    monkeypatch.setattr(module, "library", lambda: module.Library(None, (), why))
    outcome = only(health.check_kernel(settings))
    assert outcome.status == status
    assert why in outcome.found
    assert ("native.build" in outcome.fix) == bool(why)
