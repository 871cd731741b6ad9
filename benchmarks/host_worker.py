"""One file in a fresh process: `python -m blazeport.benchmarks.host_worker FILE THREADS INPUTS|- RUNTIME PYTHON|-`.

INPUTS is a .npy of `(N, 1, S, S, 3)` float32; `-` is seeded noise. The first line on stdout tells how long loading and
the first inference took; then each line on stdin is a number of inferences, answered with their times. A file that
cannot be run is answered with its error. Times are those of the inference alone, as the runtime is left to take them.

A runtime that has a process of its own leaves CPU time and memory untold: they would be those of the wrong process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BlazeportError
from ..quiet import native_stderr
from ..runtime.engine import probe
from ..runtime.interpreter import NATIVE_CHATTER, Model
from ..runtime.runtimes import RUNTIMES
from .peer_worker import process_memory

NOISE_SEED = 0


def serve(file: str, num_threads: str, inputs: str, runtime: str, python: str) -> None:
    """Answers requests until stdin closes."""
    other_python = None if python == "-" else Path(python)
    is_here = RUNTIMES[runtime].in_process and RUNTIMES[runtime].python(other_python) is None
    if is_here:
        with native_stderr(NATIVE_CHATTER):
            probe(runtime)  # Loads the library, which is no part of loading the file.
    baseline = process_memory("VmRSS") if is_here else None
    start = time.perf_counter_ns()
    try:
        model = Model(Path(file), num_threads=int(num_threads), runtime=runtime, python=other_python)
    except BlazeportError as error:
        _answer({"error": str(error)})
        return
    init_us = _since(start)
    if inputs == "-":
        images = [np.random.default_rng(NOISE_SEED).random(model.input_shape, np.float32)]
    else:
        images = list(np.load(inputs, allow_pickle=False))
    model.run(images[0])
    _answer({"init_us": init_us, "first_us": model.invoke_us, "baseline_rss_bytes": baseline})
    position = 0
    for line in sys.stdin:
        times_us = []
        cpu_start = time.process_time_ns()
        for _ in range(int(line)):
            image = images[position % len(images)]
            model.run(image)
            times_us.append(model.invoke_us)
            position += 1
        cpu_us = (time.process_time_ns() - cpu_start) / 1000 if is_here else None
        peak = process_memory("VmHWM") if is_here else None
        _answer({"times_us": times_us, "cpu_us": cpu_us, "peak_rss_bytes": peak})


def _since(start_ns: int) -> float:
    return (time.perf_counter_ns() - start_ns) / 1000


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
