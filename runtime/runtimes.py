"""The runtimes there are, which Python each is in, and whether it works there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import RuntimeUnavailable, unknown
from . import engine

PROBE_TIMEOUT_S = 180  # importing TensorFlow takes long on a small computer


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What runs files.

    Attributes:
        name: as users write it.
        title: as it calls itself.
        suffix: ending of the files it runs.
        in_process: it gets on with everything else in one process; otherwise it always has a process of its own.
        install: how to get it.
    """

    name: str
    title: str
    suffix: str
    in_process: bool
    install: str

    @property
    def variable(self) -> str:
        """The environment variable that names the Python it is in, where that is not this one."""
        return f"BLAZEPORT_{self.name.replace('-', '_').upper()}_PYTHON"

    def python(self, chosen: Path | None = None) -> Path | None:
        """The Python it is in: the chosen one, or that of the environment variable; None: this one."""
        named = os.environ.get(self.variable)
        return chosen or (Path(named).expanduser() if named else None)


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime(
            name="litert",
            title="LiteRT",
            suffix=".tflite",
            in_process=True,
            install="pip install ai-edge-litert",
        ),
        Runtime(
            name="tflite-runtime",
            title="tflite-runtime",
            suffix=".tflite",
            in_process=False,
            install="it needs Python 3.9 to 3.11 and numpy below 2: pip install 'blazeport[tflite-runtime]', or make "
            "it an environment (python3.11 -m venv DIR && DIR/bin/pip install tflite-runtime==2.14.0 'numpy<2') and "
            "set BLAZEPORT_TFLITE_RUNTIME_PYTHON=DIR/bin/python",
        ),
        Runtime(
            name="tf-lite",
            title="tf.lite",
            suffix=".tflite",
            in_process=False,
            install="pip install 'tensorflow>=2.21,<2.22', or set BLAZEPORT_TF_LITE_PYTHON to a Python that has it",
        ),
        Runtime(
            name="onnxruntime",
            title="onnxruntime",
            suffix=".onnx",
            in_process=True,
            install="pip install onnxruntime",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class RuntimeStatus:
    """What was found of a runtime.

    Attributes:
        runtime: its name.
        files: ending of the files it runs.
        usable: it loaded and ran a file.
        version: its version; None where it is not installed.
        python: the program of the Python that was asked.
        python_version: that Python's version; None where it could not be run.
        own_process: it runs in a process of its own.
        problem: why it is not usable and what to do; None where it is.
    """

    runtime: str
    files: str
    usable: bool
    version: str | None
    python: str
    python_version: str | None
    own_process: bool
    problem: str | None


def get_runtime(name: str) -> Runtime:
    """The runtime of that name. Raises `ConfigError`, which lists those there are."""
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES)
    return RUNTIMES[name]


def runtime_for(path: Path | None) -> Runtime:
    """The runtime a file runs in when nothing else is said: onnxruntime for .onnx files, LiteRT for all others."""
    return RUNTIMES["onnxruntime" if path is not None and path.suffix == ".onnx" else "litert"]


def unavailable(runtime: Runtime, python: Path | None, reason: str) -> RuntimeUnavailable:
    """The error for a runtime that does not work in a Python, with what to do."""
    return RuntimeUnavailable(
        f"{runtime.name} cannot be used in {python or sys.executable}: {_advised(runtime, reason)}"
    )


def environment_for(python: Path | None) -> dict[str, str]:
    """Environment variables for a process of another Python: what configures this one is not for it."""
    if python is None:
        return dict(os.environ)
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def probe(runtime: Runtime, python: Path | None = None) -> RuntimeStatus:
    """Loads and runs a small file in the runtime, in a process of its own.

    Args:
        runtime: the runtime.
        python: the Python it is in; None: see `Runtime.python`.
    """
    python = runtime.python(python)
    command = [str(python or sys.executable), engine.__file__, "probe", runtime.name]
    found, problem = {}, ""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
            env=environment_for(python),
            stdin=subprocess.DEVNULL,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        problem = found["problem"]
    except OSError as error:
        problem = f"this Python cannot be run ({error.strerror or error})"
    except subprocess.TimeoutExpired:
        problem = f"it did not answer within {PROBE_TIMEOUT_S} s"
    except (ValueError, IndexError, KeyError, TypeError):
        said = done.stderr.strip().splitlines()
        problem = f"its process ended with {done.returncode}" + (f" ({said[-1].strip()})" if said else "")
    return RuntimeStatus(
        runtime=runtime.name,
        files=runtime.suffix,
        usable=not problem,
        version=found.get("version") or None,
        python=command[0],
        python_version=found.get("python"),
        own_process=not runtime.in_process or python is not None,
        problem=_advised(runtime, problem) if problem else None,
    )


def probe_all(runtimes: Iterable[Runtime] = RUNTIMES.values()) -> list[RuntimeStatus]:
    """Probes runtimes side by side."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(probe, runtimes))


def _advised(runtime: Runtime, problem: str) -> str:
    return f"{problem.rstrip('.')}. To use {runtime.name}: {runtime.install}."
