"""The tests' own adb server keeps to itself and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from testing.adb_server import AdbServer

TESTS = Path(__file__).parents[1]
KILLED_WHILE_RUNNING = """
import os, signal, sys
from pathlib import Path
from testing.adb_server import AdbServer
server = AdbServer(Path(sys.argv[1])).__enter__()
print(server.port, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def falls_silent(port: int) -> bool:
    """A server ends a moment after the process that holds it."""
    deadline = time.monotonic() + 20
    while (answering := answers(port)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not answering


def test_the_server_ends_with_a_killed_process(adb_server: AdbServer, tmp_path: Path):
    command = [sys.executable, "-c", KILLED_WHILE_RUNNING, str(adb_server.binary)]
    killed = subprocess.run(
        command, cwd=TESTS, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True
    )
    assert falls_silent(int(killed.stdout))


def test_two_servers_know_nothing_of_each_other(adb_server: AdbServer):
    with AdbServer(adb_server.binary) as other:
        assert other.port != adb_server.port
        assert other.env["HOME"] != adb_server.env["HOME"]
        assert other.states() == {}
    assert falls_silent(other.port)
    assert answers(adb_server.port)


def test_the_key_of_the_server_is_its_own(adb_server: AdbServer):
    assert adb_server.states() == {}
    assert (Path(adb_server.env["HOME"]) / ".android/adbkey").exists()
