"""A PostgreSQL of the tests' own: a folder, a free port, and an end by process id."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")
USER = "postgres"
# A letter that ends a URL's password, so that it has to be quoted on its way.
PASSWORD = "se/cret"


def binaries() -> Path | None:
    """Return the folder with initdb and postgres, None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    for place in _PLACES:
        for folder in sorted(Path(place).glob("*/bin"), reverse=True):
            if (folder / "initdb").exists():
                return folder
    return None


class Postgres:
    """One server; it can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="crimeguard-pg-"))
        self._bin = folder
        # It refuses to run as root.
        self._before = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        if self._before:
            shutil.chown(self.home, USER, USER)
        password = self.home / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run("initdb", "-D", str(self.home / "data"), "-U", USER, "-A", "scram-sha-256",
                  f"--pwfile={password}", "-E", "UTF8", "--no-sync")  # fmt: skip
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port: int = taken.getsockname()[1]
        self._databases = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str) -> str:
        """Return the address of a database."""
        quoted = PASSWORD.replace("/", "%2F")
        return f"postgresql://{USER}:{quoted}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            [*self._before, str(self._bin / "postgres"), "-D", str(self.home / "data"),
             "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
             "-c", f"unix_socket_directories={self.home}",
             # A power cut is not among what is tested.
             "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.home,
        )  # fmt: skip
        end = time.monotonic() + 30
        while True:
            try:
                self._ask("SELECT 1")
            except psycopg.OperationalError:
                assert time.monotonic() < end, "PostgreSQL does not start"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it at once, as a crash would; what was committed is found again on start."""
        if self.process is None:
            return
        pid = int((self.home / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        self.process.wait(timeout=30)
        self.process = None

    def remove(self) -> None:
        """End it and remove its files."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def new_database(self) -> str:
        """Make an empty database and return its address."""
        self._databases += 1
        name = f"test_{os.getpid()}_{self._databases}"
        self._ask(f"CREATE DATABASE {name}")
        return self.url(name)

    def _ask(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [*self._before, str(self._bin / program), *words], check=True, cwd=self.home,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip


def reason_to_skip() -> str:
    """Say why there can be no PostgreSQL here, '' if there can."""
    if binaries() is None:
        return "PostgreSQL is not installed"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return f"PostgreSQL does not run as {getpass.getuser()}, and there is no runuser"
    return ""
