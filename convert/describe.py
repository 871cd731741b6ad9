"""What the manifest of a file says that was made for other tools, or by way of ONNX."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ..files import sha256_of
from ..models.config import VariantConfig
from ..models.cost import Cost
from ..weights.reader import read_tflite
from .artifact import code_sha256, tensor_record
from .manifest import CalibrationRecord, Manifest, TensorRecord, WeightsRecord, tool_versions
from .model_file import ModelFile
from .on_device import decoding_of
from .parity import Parity
from .source import NOT_STATED


def fingerprint_of(weights_sha256: str, decisive: list[Any], tools: Sequence[str]) -> str:
    """Hash of everything that decides a file's content."""
    parts = [weights_sha256, decisive, tool_versions(tools), code_sha256()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def describe(
    model: ModelFile,
    content: bytes,
    parity: Parity,
    *,
    file_name: str,
    precision: str,
    cost: Cost,
    network: VariantConfig | str,
    weights: WeightsRecord,
    decisive: list[Any],
    tools: Sequence[str],
    command: str,
    calibration: CalibrationRecord | None = None,
) -> Manifest:
    """The manifest of a file.

    Args:
        model: the file, opened.
        content: its bytes, or those of all files of a folder.
        parity: the comparison that it passed.
        file_name: the name it gets.
        precision: of its weights.
        cost: what an inference costs.
        network: the variant, or the name of a network that is none of blazeport's.
        weights: where they are from.
        decisive: what decides the file's content besides the weights, the tools and the code.
        tools: packages that had a part in it, besides the usual ones.
        command: the command line.
        calibration: what an int8 file was calibrated on.
    """
    known = isinstance(network, VariantConfig)
    meanings = {head.name: head.meaning for head in network.heads} if isinstance(network, VariantConfig) else {}
    low, high = network.input_range if isinstance(network, VariantConfig) else (0.0, 1.0)
    meaning = f"RGB, pixel 0 is {low:g} and pixel 255 is {high:g}" if known else NOT_STATED
    name, spec = next(iter(model.inputs.items()))
    if content[4:8] == b"TFL3":
        graph = read_tflite(content)
        assert graph.signature is not None  # `finish_foreign` gives it one.
        tensors = graph.signature["outputs"]
        image = tensor_record(graph, graph.inputs[0], name, meaning)
        outputs = [tensor_record(graph, tensors[each], each, meanings.get(each, NOT_STATED)) for each in model.outputs]
    else:
        image = TensorRecord(name=name, shape=spec.shape, dtype=str(spec.dtype), meaning=meaning)
        outputs = [
            TensorRecord(name=each, shape=shape, dtype="float32", meaning=meanings.get(each, NOT_STATED))
            for each, shape in model.outputs.items()
        ]
    return Manifest(
        file=file_name,
        variant=network.name if isinstance(network, VariantConfig) else network,
        heads=tuple(model.outputs),
        precision=precision,
        sha256=sha256_of(content),
        size_bytes=len(content),
        input=image,
        outputs=tuple(outputs),
        decoding=decoding_of(network) if isinstance(network, VariantConfig) else None,
        ops=cost.ops,
        params=cost.params,
        macs=cost.macs,
        int8_mac_share=cost.int8_share,
        weights=weights,
        calibration=calibration,
        method="onnx2tf" if calibration else None,
        recipe=None,
        parity=parity,
        fingerprint=fingerprint_of(weights.sha256, decisive, tools),
        tools=tool_versions(tools),
        command=command,
    )
