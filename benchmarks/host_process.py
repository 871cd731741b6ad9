"""A process that has loaded one file and runs it when it is asked to."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BlazeportError, InputError
from . import host_worker


class HostProcess:
    """A fresh process with one file, ready to run.

    Attributes:
        first: `init_us`, `first_us` and `baseline_rss_bytes` of its start.
    """

    def __init__(self, process: subprocess.Popen[str], file: Path) -> None:
        self._process, self._file = process, file
        self.first = self._answer()

    def ask(self, runs: int) -> dict[str, Any]:
        """Lets it run inferences; returns `times_us`, `cpu_us` and `peak_rss_bytes`."""
        self.begin(runs)
        return self.end()

    def begin(self, runs: int) -> None:
        """Lets it run inferences, without waiting for them."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # It broke off; what it does not answer tells that better.
            self._process.stdin.write(f"{runs}\n")
            self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Waits for what `begin` asked for; returns as `ask`."""
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except ValueError:
            raise BlazeportError(
                f"The process that measured {self._file} broke off (exit code {self._process.wait()}). Its last words "
                "are above; free memory helps when there are none."
            ) from None
        if "error" in answer:
            raise InputError(answer["error"])
        return answer


@contextlib.contextmanager
def host_process(file: Path, *, num_threads: int = 1, inputs: Path | None = None) -> Iterator[HostProcess]:
    """Starts a process with a file, and ends it.

    Args:
        file: a .tflite file with one image input.
        num_threads: of its interpreter.
        inputs: a .npy of `(N, 1, S, S, 3)` float32, used in turn; None is seeded noise.
    Raises:
        InputError: the file cannot be run.
        BlazeportError: the process broke off.
    """
    command = [sys.executable, "-m", host_worker.__name__, str(file), str(num_threads), str(inputs or "-")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield HostProcess(process, file)
    finally:
        process.kill()
        with contextlib.suppress(OSError):  # What a process that broke off did not read cannot be flushed any more.
            process.communicate()
