from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from crimeguard.serve.supervisor import PROGRAM, environment
from crimeguard.settings import Settings


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [({}, 1, "manifest"), ({"CRIMEGUARD_LOG_DAYS": "-1"}, 2, "CRIMEGUARD_LOG_DAYS")],
)
def test_it_says_why_it_does_not_start(
    tmp_path: Path, options: dict[str, str], code: int, said: str
) -> None:
    alive, supervisor = os.pipe()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        given = {"listener": listener.fileno(), "folder": str(tmp_path), "place": 0,
                 "again": False, "bundle": str(tmp_path)}  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", PROGRAM, json.dumps(given)], stdin=alive,
            stderr=subprocess.PIPE, pass_fds=[listener.fileno()], text=True, check=False,
            env={**os.environ, **environment(Settings(home=tmp_path)), **options},
        )  # fmt: skip
    os.close(alive)
    os.close(supervisor)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
