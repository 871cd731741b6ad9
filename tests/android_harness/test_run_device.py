"""`make test-device`."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from testing.adb_server import AdbServer
from testing.device_root import why_unavailable

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("adb_server", ["adb-36"], indirect=True)
def test_a_device_run_by_hand_says_how_to_connect_and_obeys(adb_server: AdbServer):
    if reason := why_unavailable("native"):
        pytest.skip(reason)
    command = [sys.executable, "-u", "-m", "testing.run_device", "--profile", "samsung"]
    with subprocess.Popen(
        command, cwd=TESTS, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        found = next(filter(None, (re.search(r"adb connect (\S+)", line) for line in running.stdout)))
        assert "connected to" in adb_server.run("connect", found[1]).stdout
        assert adb_server.run("-s", found[1], "shell", "getprop ro.product.model").stdout == "SM-A526B\n"
        running.stdin.write("melt\n")
        running.stdin.flush()
        assert running.stderr is not None
        assert "Expected a kind" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0
    adb_server.run("disconnect", found[1])
