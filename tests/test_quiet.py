"""Holding back what native libraries write to stderr, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from blazeport.quiet import native_stderr

CHATTER = r"INFO: |\s*$"


def write(text: str) -> None:
    """Writes past `sys.stderr`, as a C++ library does."""
    os.write(2, text.encode())


def test_chatter_is_dropped_and_every_other_line_kept_in_order(capfd: pytest.CaptureFixture[str]):
    with native_stderr(CHATTER):
        write("first\nINFO: created a delegate\n\nsecond INFO: is no chatter here\n")
        write("INFO: without an end of line")
    assert capfd.readouterr().err == "first\nsecond INFO: is no chatter here\n"


def test_lines_written_before_and_after_are_not_touched(capfd: pytest.CaptureFixture[str]):
    write("INFO: before\n")
    with native_stderr(CHATTER):
        pass
    write("INFO: after\n")
    assert capfd.readouterr().err == "INFO: before\nINFO: after\n"


def test_what_python_writes_meanwhile_is_kept(capfd: pytest.CaptureFixture[str]):
    with native_stderr(CHATTER):
        print("WARNING: from Python", file=sys.stderr)
    assert capfd.readouterr().err == "WARNING: from Python\n"


def test_an_error_passes_and_what_was_written_before_it_is_kept(capfd: pytest.CaptureFixture[str]):
    def be_interrupted() -> None:
        with native_stderr(CHATTER):
            write("reason\nINFO: chatter\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    write("again\n")
    assert capfd.readouterr().err == "reason\nagain\n"


def test_blocks_may_be_nested(capfd: pytest.CaptureFixture[str]):
    with native_stderr("OUTER"):
        with native_stderr("INNER"):
            write("INNER\nOUTER\nkept\n")
        write("INNER\n")
    assert capfd.readouterr().err == "kept\nINNER\n"


def test_threads_take_turns(capfd: pytest.CaptureFixture[str]):
    def chat(number: int) -> None:
        for _ in range(20):
            with native_stderr(CHATTER):
                write(f"INFO: {number}\nline {number}\n")

    threads = [threading.Thread(target=chat, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == sorted(f"line {number}" for number in range(4) for _ in range(20))


def test_no_file_descriptor_is_left_open(capfd: pytest.CaptureFixture[str]):
    with native_stderr(CHATTER):
        pass
    before = os.dup(2)
    os.close(before)
    for _ in range(5):
        with native_stderr(CHATTER):
            pass
    after = os.dup(2)
    os.close(after)
    assert before == after


def test_a_process_without_a_stderr_runs_all_the_same():
    code = (
        "import os, sys\n"
        "from blazeport.quiet import native_stderr\n"
        "os.close(2)\n"
        "with native_stderr('INFO'):\n"
        "    print('ran')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "ran\n"
