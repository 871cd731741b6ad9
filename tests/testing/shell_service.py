"""The `shell:` and `exec:` services: a command in the device's root, its streams and its exit code."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .faults import Call
from .protocol import DroppedError, Stream

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = 0, 1, 2, 3, 4
MESSAGE = struct.Struct("<BI")
CHUNK = 32 * 1024
FORKED_WITHIN_S = 1.0


class ShellService:
    """One command.

    Args:
        stream: Where its input comes from and its output goes.
        start: Starts the command with Popen's `stdin`, `stdout`, `stderr` in the device's root.
        call: The fault that waits for it.
        v2: Separate stdout and stderr, and an exit code; else one stream of both and no exit code.
        newline: What a line ends with on the way out; a terminal of an old phone makes it CRLF.
    """

    def __init__(
        self,
        stream: Stream,
        start: Callable[..., subprocess.Popen[bytes]],
        call: Call,
        *,
        v2: bool,
        newline: bytes = b"\n",
    ) -> None:
        self._stream = stream
        self._start = start
        self._call = call
        self._v2 = v2
        self._newline = newline
        self._meter = threading.Lock()

    def serve(self) -> resource.struct_rusage:
        """Runs the command to its end, or until the connection goes. Returns what it used."""
        stderr = subprocess.PIPE if self._v2 else subprocess.STDOUT
        process = self._start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        assert process.stdin is not None
        assert process.stdout is not None
        outputs = [(STDOUT, process.stdout)] + ([(STDERR, process.stderr)] if process.stderr is not None else [])
        pumps = [threading.Thread(target=self._pump, args=(process, *output), daemon=True) for output in outputs]
        threading.Thread(target=self._feed, args=(process.stdin, process), daemon=True).start()
        try:
            self._call.started()
        except DroppedError:
            hang_up(process)
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if self._v2:
            code = process.returncode if process.returncode >= 0 else 128 - process.returncode
            with contextlib.suppress(DroppedError):
                self._stream.write(MESSAGE.pack(EXIT, 1) + bytes([code & 0xFF]))
        return usage

    def _pump(self, process: subprocess.Popen[bytes], kind: int, pipe: BinaryIO) -> None:
        try:
            while data := os.read(pipe.fileno(), CHUNK):
                with self._meter:
                    for piece in self._call.pieces(data):
                        text = piece.replace(b"\n", self._newline)
                        self._stream.write((MESSAGE.pack(kind, len(text)) if self._v2 else b"") + text)
        except DroppedError:
            hang_up(process)
        finally:
            pipe.close()

    def _feed(self, stdin: BinaryIO, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(DroppedError, OSError, ValueError):
            while True:
                if not self._v2:
                    data = self._stream.read()
                    if not data:
                        break
                else:
                    kind, length = MESSAGE.unpack(self._stream.read_exactly(MESSAGE.size))
                    data = self._stream.read_exactly(length)
                    if kind == CLOSE_STDIN:
                        stdin.close()
                    if kind != STDIN:
                        continue
                stdin.write(data)
                stdin.flush()
        with contextlib.suppress(OSError):
            stdin.close()
        if self._stream.ended and process.returncode is None:
            hang_up(process)


def hang_up(process: subprocess.Popen[bytes]) -> None:
    """Sends SIGHUP to the command, as adbd does when its client has gone: what ignores it runs on."""
    children: list[str] = []
    deadline = time.monotonic() + FORKED_WITHIN_S
    with contextlib.suppress(OSError):
        while not children and process.returncode is None and time.monotonic() < deadline:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            time.sleep(0 if children else 0.002)
        for child in children:
            os.kill(int(child), signal.SIGHUP)
