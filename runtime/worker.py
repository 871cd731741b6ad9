"""An engine in a process of its own, of this Python or of another one, which need not have blazeport."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import socket
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import WorkerError
from . import engine
from .engine import EngineError, RawTensor, UnusableRuntimeError, lay_out
from .runtimes import Runtime, environment_for

START_TIMEOUT_S = 180.0  # importing TensorFlow takes long on a small computer
RUN_TIMEOUT_S = 120.0
MAX_ANSWER_BYTES = 1 << 20
_STOP_TIMEOUT_S = 5.0


class WorkerEngine:
    """See `Engine`. Tensors are written once, into memory that both processes share; the socket carries only signals.

    The process ends with this object, and by itself when this process ends. What it prints is kept for messages.
    """

    def __init__(self, runtime: Runtime, source: Path | bytes, num_threads: int, python: Path | None) -> None:
        """Starts the process and loads the file there.

        Args:
            runtime: the runtime.
            source: path or content of the file.
            num_threads: CPU threads.
            python: the Python to start; None: this one.
        Raises:
            UnusableRuntimeError: it does not work there.
            EngineError: it does not take the file.
            WorkerError: the process broke off or did not answer.
        """
        self._what = f"{runtime.name} in {python or sys.executable}"
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._connection, theirs = socket.socketpair()
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            memory = stack.enter_context(_shared_memory())
            path = stack.enter_context(_as_path(source, runtime.suffix))
            fds = (theirs.fileno(), memory.fileno())
            command = [python or sys.executable, engine.__file__, "serve", runtime.name, path, num_threads, *fds]
            try:
                self._process = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    pass_fds=fds,
                    env=environment_for(python),
                    start_new_session=True,  # Ctrl-C is for this process, which then ends the other.
                )
            except OSError as error:
                self._connection.close()
                self._log.close()
                raise UnusableRuntimeError(f"this Python cannot be run ({error.strerror or error})") from error
            self.close = weakref.finalize(self, _stop, self._process, self._connection, self._log)
            theirs.close()
            try:
                self._describe(self._receive(START_TIMEOUT_S), memory.fileno())
            except (KeyError, TypeError, ValueError) as error:
                raise self._broken("gave an answer that makes no sense") from error
            except BaseException:
                self.close()
                raise
        self.invoke_us = 0.0

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """See `Engine`. Raises `WorkerError` when the process broke off or does not answer, and ever after."""
        if not self.close.alive:
            raise WorkerError(
                f"The process of {self._what} has ended.", returncode=self._process.returncode or 0, stderr=""
            )
        self._views[0][...] = image
        try:
            self._connection.sendall(b"r")
        except OSError as error:
            raise self._broken("broke off") from error
        self.invoke_us = float(self._receive(RUN_TIMEOUT_S)["invoke_us"])
        return [view.copy() for view in self._views[len(self.inputs) :]]

    def _describe(self, record: dict[str, Any], memory_fd: int) -> None:
        self.inputs, self.outputs = ([_tensor(values) for values in record[key]] for key in ("inputs", "outputs"))
        self.names = {int(position): str(name) for position, name in record["names"]}
        self.metadata: dict[str, str] = record["metadata"]
        places, size = lay_out([*self.inputs, *self.outputs])
        memory = mmap.mmap(memory_fd, size)
        self._views: list[np.ndarray]
        self._views = [np.ndarray(tensor.shape, tensor.dtype, memory, place) for tensor, place in places]

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        self._connection.settimeout(timeout_s)
        try:
            (length,) = struct.unpack(">I", self._read(4))
            if length > MAX_ANSWER_BYTES:
                raise self._broken(f"gave an answer of {length} bytes")
            record: dict[str, Any] = json.loads(self._read(length))
        except TimeoutError as error:
            self._process.kill()
            raise self._broken(f"did not answer within {timeout_s:g} s") from error
        except (OSError, ValueError) as error:
            raise self._broken("broke off") from error
        if "error" in record:
            raise (UnusableRuntimeError if record["missing"] else EngineError)(record["error"])
        return record

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._connection.recv(size - len(data))
            if not part:
                raise self._broken("broke off")
            data += part
        return bytes(data)

    def _broken(self, what: str) -> WorkerError:
        """The error for a process that is of no use any more; it is ended, and its last words are in the message."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_S)
        self._process.kill()
        returncode = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip()
        self.close()
        how = f"ended by signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
        last = f": {said.splitlines()[-1].strip()}" if said else ""
        return WorkerError(f"The process of {self._what} {what} ({how}){last}", returncode=returncode, stderr=said)


def _stop(process: subprocess.Popen[bytes], connection: socket.socket, log: IO[bytes]) -> None:
    """A process whose socket is closed ends by itself; one that is stuck is killed."""
    connection.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()


def _shared_memory() -> IO[bytes]:
    """A file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("blazeport"), "w+b")
    return tempfile.TemporaryFile()


@contextlib.contextmanager
def _as_path(source: Path | bytes, suffix: str) -> Iterator[Path]:
    """A file's path; content lies in a temporary file while it is loaded."""
    if isinstance(source, Path):
        yield source
        return
    with tempfile.NamedTemporaryFile(suffix=suffix) as stream:
        stream.write(source)
        stream.flush()
        yield Path(stream.name)


def _tensor(values: Any) -> RawTensor:
    name, shape, dtype, scale, zero_point = values
    return RawTensor(str(name), tuple(int(size) for size in shape), str(dtype), float(scale), int(zero_point))
