"""The manifest beside every file: what it is, what it was made from, how it was checked, and what it cost."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_atomic
from .on_device import DecodingRecord
from .parity import OutputParity, Parity

SCHEMA_VERSION = 1
_TOOLS = (
    *("blazeport", "tensorflow", "tf-keras", "ai-edge-litert", "litert-quantizer"),
    *("numpy", "opencv-python-headless"),
)


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """An input or output of a file. `scale` and `zero_point` are None where it is float."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, kw_only=True)
class WeightsRecord:
    """Where the weights are from."""

    file: str
    sha256: str
    official: bool
    licence: str
    author: str
    paper: str


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """What a quantized file was calibrated on.

    Attributes:
        media: file names of the photos and videos.
        sha256: over the contents of all of them.
        views: samples per frame or person, the first as it is and the others jittered.
        limit: at most so many samples.
        seed: of the jitter.
        demo: these are the few photos that blazeport brings itself.
        stored_sha256: of the stored ranges that were used; None where the photos were used themselves.
        samples: number of samples that were made; None where they were not counted.
        warnings: what the audit of the samples found missing, in sentences.
    """

    media: tuple[str, ...]
    sha256: str
    views: int
    limit: int
    seed: int
    demo: bool
    stored_sha256: str | None = None
    samples: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything known about one artifact. Written beside it as JSON.

    Attributes:
        file: the artifact's file name.
        variant: the network; for one that is none of blazeport's the name of the file it was made from, without ending.
        heads: names of the outputs, in the order of the file.
        precision: `fp32`, `fp16`, `dynamic`, `int8`, with `_io8` or `_iou8` where the input and outputs are integers.
        sha256: of the artifact.
        size_bytes: of the artifact.
        input: the image input; `meaning` tells the range.
        outputs: one record per output.
        ops: operators that run; of a Keras or SavedModel file, layers.
        params: weights and biases.
        macs: multiply-accumulates per inference.
        int8_mac_share: share of them that run in int8, read back from the file.
        weights: where the weights are from.
        calibration: None for float and dynamic-range files.
        method: how a calibrated file was quantized: `blazeport` by a recipe, `tflite` by TensorFlow's own quantizer,
            `litert` by the LiteRT quantizer, `onnx2tf` by onnx2tf.
        recipe: the recipe, where there is one.
        parity: the comparison that the file passed before it got its name.
        fingerprint: hash of everything that decides the file's content; with an equal one no rebuild is needed.
        tools: name → version of what made it.
        command: the command line that made it.
        decoding: how the outputs are decoded; None for a network that is none of blazeport's.
        accuracy: figures at the task on photos that were not calibrated on, where they were measured; a record of
            `quantize.evaluate` without its worst cases.
        schema_version: of this record.
    """

    file: str
    variant: str
    heads: tuple[str, ...]
    precision: str
    sha256: str
    size_bytes: int
    input: TensorRecord
    outputs: tuple[TensorRecord, ...]
    ops: int
    params: int
    macs: int
    int8_mac_share: float
    weights: WeightsRecord
    calibration: CalibrationRecord | None
    method: str | None
    recipe: dict[str, Any] | None
    parity: Parity
    fingerprint: str
    tools: dict[str, str]
    command: str
    decoding: DecodingRecord | None = None
    accuracy: dict[str, Any] | None = None
    schema_version: int = SCHEMA_VERSION

    def write(self, path: Path) -> None:
        """Writes the manifest as JSON, atomically."""
        write_atomic(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest.

    Raises:
        InputError: it is not there, is not JSON, or is not a manifest of this schema version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"Cannot read the manifest {path}: {error.strerror or error}. It is written together with its .tflite file."
        ) from error
    try:
        record = json.loads(content)
        version = record["schema_version"]
        if version != SCHEMA_VERSION:
            raise InputError(f"{path} has schema version {version}; this blazeport reads {SCHEMA_VERSION}.")
        return _manifest(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} is not a manifest of blazeport ({type(error).__name__}: {error}). Write its .tflite file again."
        ) from error


def tool_versions(also: Sequence[str] = ()) -> dict[str, str]:
    """Name → version of the installed packages that decide a file's content; `also` names further ones."""
    versions = {"python": platform.python_version()}
    for name in (*_TOOLS, *also):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _manifest(record: dict[str, Any]) -> Manifest:
    parity = record["parity"]
    calibration = record["calibration"]
    decoding = record.get("decoding")
    return Manifest(
        **{
            **record,
            "heads": tuple(record["heads"]),
            "input": _tensor(record["input"]),
            "outputs": tuple(_tensor(output) for output in record["outputs"]),
            "weights": WeightsRecord(**record["weights"]),
            "calibration": calibration and _calibration(calibration),
            "decoding": decoding and _decoding(decoding),
            "parity": Parity(**{**parity, "outputs": tuple(OutputParity(**output) for output in parity["outputs"])}),
        }
    )


def _calibration(record: dict[str, Any]) -> CalibrationRecord:
    media, warnings = tuple(record["media"]), tuple(record.get("warnings", ()))
    return CalibrationRecord(**{**record, "media": media, "warnings": warnings})


def _decoding(record: dict[str, Any]) -> DecodingRecord:
    pairs = {
        name: tuple(record[name]) for name in ("input_range", "keypoints", "roi_points") if record[name] is not None
    }
    return DecodingRecord(**{**record, **pairs})


def _tensor(record: dict[str, Any]) -> TensorRecord:
    return TensorRecord(**{**record, "shape": tuple(record["shape"])})
