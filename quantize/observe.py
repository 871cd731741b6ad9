"""What the tensors of a file really hold on real inputs.

The file is run in a process of its own, because it may be anybody's: what brings the interpreter down does not bring
the caller down.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

TIMEOUT_S = 600
_TAIL = 0.5  # percent of the values left out at either end of the typical range


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Values of one tensor over all inputs, dequantized where it is quantized.

    Attributes:
        lowest: of all.
        highest: of all.
        low: what 0.5 % of the values lie below; the median over the inputs.
        high: what 0.5 % of the values lie above; the median over the inputs.
        finite: there is no NaN or infinity.
    """

    lowest: float
    highest: float
    low: float
    high: float
    finite: bool


def observe(path: Path, inputs: Sequence[np.ndarray], tensors: Sequence[int]) -> dict[int, Seen]:
    """Runs a file of one input on the CPU, without delegates.

    Args:
        path: the .tflite file.
        inputs: float32 arrays of the input's shape; quantized here when the file's input is.
        tensors: indices of the computed tensors to look at.
    Returns:
        Tensor index → what it held.
    Raises:
        InputError: the interpreter refuses the file, crashes on it, or takes longer than 10 minutes.
    """
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder, "inputs.npz")
        np.savez(request, inputs=np.stack(inputs), tensors=np.array(tensors, np.int64))
        command = [sys.executable, "-m", __name__, str(path.resolve()), str(request)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise InputError(f"Running {path} took longer than {TIMEOUT_S} s.") from error
    if done.returncode < 0:
        raise InputError(f"The interpreter crashed while running {path} (signal {-done.returncode}).")
    if done.returncode > 0:
        reason = " ".join(done.stderr.strip().splitlines()[-1:])
        raise InputError(f"The interpreter cannot run {path}: {reason}.")
    return {int(index): Seen(**seen) for index, seen in json.loads(done.stdout).items()}


def _run(path: str, request: str) -> dict[int, Seen]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with np.load(request) as given:
        inputs, tensors = given["inputs"], given["tensors"].tolist()
    interpreter = Interpreter(
        model_path=path,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (target,) = interpreter.get_input_details()
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    runs: dict[int, list[np.ndarray]] = {index: [] for index in tensors}
    for image in inputs:
        interpreter.set_tensor(target["index"], _stored(image, target["dtype"], *target["quantization"]))
        interpreter.invoke()
        for index, kept in runs.items():
            kept.append(_summary(_real(interpreter.get_tensor(index), *details[index]["quantization"])))
    return {index: _seen(np.array(kept)) for index, kept in runs.items()}


def _stored(image: np.ndarray, dtype: type[Any], scale: float, zero_point: int) -> np.ndarray:
    if dtype == np.float32:
        return image
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(image / scale) + zero_point, limits.min, limits.max).astype(dtype))


def _real(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return (values.astype(np.float64) - zero_point) * scale if scale else values.astype(np.float64)


def _summary(values: np.ndarray) -> np.ndarray:
    """Lowest, highest, low, high of the finite values, and 1 if all are finite."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(5)
    low, high = np.percentile(finite, [_TAIL, 100 - _TAIL])
    return np.array([finite.min(), finite.max(), low, high, finite.size == values.size])


def _seen(runs: np.ndarray) -> Seen:
    """Joins the summaries `(inputs, 5)`."""
    return Seen(
        lowest=float(runs[:, 0].min()),
        highest=float(runs[:, 1].max()),
        low=float(np.median(runs[:, 2])),
        high=float(np.median(runs[:, 3])),
        finite=bool(runs[:, 4].all()),
    )


if __name__ == "__main__":
    json.dump({index: asdict(seen) for index, seen in _run(*sys.argv[1:]).items()}, sys.stdout)
