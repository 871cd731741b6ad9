"""ONNX → TFLite bytes by onnx2tf, in a process and an empty folder of its own.

The result is not yet compared with anything: this route has been seen to write a wrong file without an error, so
`convert.interchange` compares every one with the ONNX model before it gets a name.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, progress
from ..errors import ConversionError, InputError
from ..models.config import VariantConfig
from ..weights.fetch import demo_photos
from .flatbuffer import finish_foreign
from .inputs import ImageInput, network_inputs
from .metadata import METADATA_NAME, FileFacts, build_metadata
from .onnx import TOOLS as ONNX_TOOLS
from .onnx import require
from .onnx_file import OnnxFile, require_onnx2tf_operators

TOOLS = (*ONNX_TOOLS, "onnx2tf")
CALIBRATION_SAMPLES = 20  # as many as onnx2tf's own
_WORKER = Path(__file__).with_name("onnx2tf_worker.py")
# onnx2tf compares its operators with onnxruntime on this array, and downloads it when it is not in the folder.
_SAMPLE_FILE = "calibration_image_sample_data_20x128x128x3_float32.npy"
_RESULTS = {"fp32": "model_float32.tflite", "fp16": "model_float16.tflite", "int8": "model_integer_quant.tflite"}
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def onnx2tf_files(
    file: OnnxFile,
    *,
    keep_layout: bool,
    config: VariantConfig | None = None,
    licence: str,
    author: str,
    calibration: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> dict[str, bytes]:
    """Converts a model.

    Args:
        file: the model.
        keep_layout: the inputs keep their axes; otherwise onnx2tf turns images from NCHW to NHWC.
        config: the variant, for the metadata; None for a stranger's network.
        licence: of the weights, for the metadata.
        author: of the weights, for the metadata.
        calibration: input name → samples in the model's own shape, for int8 by onnx2tf's use of TensorFlow's quantizer.
    Returns:
        Precision (`fp32`, `fp16`, and with samples `int8`) → content of the file, its inputs and outputs named as in
        the ONNX model and in the same order. Maps that are NCHW in the ONNX model are NHWC in the file.
    Raises:
        ConfigError: onnx2tf is not installed.
        ConversionError: onnx2tf does not know an operator or fails.
    """
    require_onnx2tf_operators(file)
    inputs, outputs = list(file.inputs), list(file.outputs)
    with (
        tempfile.TemporaryDirectory(prefix="blazeport-onnx2tf-") as name,
        progress.step(f"Converting {file.path.name} by onnx2tf"),
    ):
        folder = Path(name)
        given = {f"input_{number}": origin for number, origin in enumerate(inputs)}
        _save_renamed(file.proto, {**{new: old for old, new in given.items()}, **_numbered(outputs)}, folder)
        np.save(folder / _SAMPLE_FILE, _sample_images())
        job = {
            "model": str(folder / "model.onnx"),
            "out": str(folder / "out"),
            "keep_shape": list(given) if keep_layout else [],
            "calibration": None if calibration is None else _save_samples(given, calibration, keep_layout, folder),
        }
        _run_worker(job, folder, file.path)
        metadata = {}
        if config is not None:
            facts = FileFacts(version=__version__, licence=licence, author=author, heads=tuple(outputs))
            metadata = {METADATA_NAME: build_metadata(config, facts)}
        order = {output: number for number, output in enumerate(outputs)}
        wanted = [precision for precision in _RESULTS if precision != "int8" or calibration is not None]
        files = {precision: folder / "out" / _RESULTS[precision] for precision in wanted}
        if missing := [precision for precision, path in files.items() if not path.is_file()]:
            raise ConversionError(f"onnx2tf wrote no {', '.join(missing)} file of {file.path}.")
        return {
            precision: finish_foreign(path.read_bytes(), given, order, metadata) for precision, path in files.items()
        }


def _numbered(outputs: Sequence[str]) -> dict[str, str]:
    return {name: f"output_{number}" for number, name in enumerate(outputs)}


def _save_renamed(proto: Any, names: Mapping[str, str], folder: Path) -> None:
    """Saves the model with plain names: onnx2tf trips over some characters, and on names that numbers tell apart."""
    onnx = require("onnx")
    copy = type(proto)()
    copy.CopyFrom(proto)
    taken = {name for node in copy.graph.node for name in (*node.input, *node.output)} - set(names)
    clashes = {name: f"blazeport_{name}" for name in taken & set(names.values())}
    renamed = {**names, **clashes}
    for value in (*copy.graph.input, *copy.graph.output, *copy.graph.value_info, *copy.graph.initializer):
        value.name = renamed.get(value.name, value.name)
    for node in copy.graph.node:
        for side in (node.input, node.output):
            side[:] = [renamed.get(name, name) for name in side]
    onnx.save(copy, folder / "model.onnx")


def _sample_images() -> np.ndarray:
    """`(20, 128, 128, 3)` float32 RGB in [0, 1]: the demo photos, as calibration sees them."""
    image = ImageInput(name="onnx2tf", height=128, width=128, input_range=(0.0, 1.0))
    samples = network_inputs(image, demo_photos(), views=20, limit=20)
    if len(samples) < 20:
        raise InputError(f"onnx2tf needs 20 sample images. The demo photos gave {len(samples)}.")
    return np.concatenate(samples)


def _save_samples(
    given: Mapping[str, str], calibration: Mapping[str, Sequence[np.ndarray]], keep_layout: bool, folder: Path
) -> list[tuple[str, str, list[float], list[float]]]:
    """Saves the samples of each input; mean 0 and standard deviation 1, since they are in the network's range."""
    entries = []
    for name, origin in given.items():
        samples = np.concatenate(list(calibration[origin]))
        if not keep_layout and samples.ndim == 4:
            samples = samples.transpose(0, 2, 3, 1)
        np.save(folder / f"{name}.npy", samples)
        entries.append((name, str(folder / f"{name}.npy"), [0.0], [1.0]))
    return entries


def _run_worker(job: Mapping[str, Any], folder: Path, path: Path) -> None:
    """Runs onnx2tf. `-P` keeps our own `onnx.py`, which lies beside the worker, from being imported as the package."""
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-P", str(_WORKER), str(folder / "job.json")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise ConversionError(f"onnx2tf cannot convert {path}: {_complaint(done.stdout, done.stderr)}")


def _complaint(stdout: str, stderr: str) -> str:
    """What onnx2tf says went wrong: its first line of error, or the last line of the traceback."""
    lines = [_COLOUR.sub("", line).strip() for line in (*stdout.splitlines(), *stderr.splitlines())]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return next((line for line in (*errors, *reversed(lines)) if line), "it gave no reason")[:300]
