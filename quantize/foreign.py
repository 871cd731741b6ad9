"""Quantizes float .tflite files: a stranger's network, or an export of one of blazeport's.

The file itself is the reference: its graph is rewritten, and the result is compared with it in LiteRT.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import __version__, progress
from ..convert.artifact import (
    Quantizer,
    code_sha256,
    gate_inputs,
    gate_limit,
    manifest_path,
    tensor_record,
)
from ..convert.flatbuffer import add_metadata
from ..convert.inputs import ImageInput
from ..convert.manifest import Manifest, WeightsRecord, tool_versions
from ..convert.metadata import METADATA_NAME, FileFacts, build_metadata
from ..convert.on_device import anchors_beside, decoding_of
from ..convert.parity import EXACT, Parity, check, measure
from ..convert.precisions import CALIBRATED_PRECISIONS, IO_SUFFIX, Io
from ..convert.source import NOT_STATED
from ..errors import ConfigError, ConversionError, InputError, ParityError, unknown
from ..files import atomic_path, sha256_of, write_atomic
from ..models.config import VariantConfig, artifact_name, get_config, heads_label
from ..models.cost import cost_of
from ..runtime.interpreter import Model
from ..weights.reader import read_tflite
from ..weights.sources import OFFICIAL
from .graph import Graph, read_graph
from .post_training import node_precisions
from .recipes import Recipe, shipped_recipe
from .write import Plan, write_tflite

PRECISIONS = ("fp16", *CALIBRATED_PRECISIONS)
DEFAULT_RANGE = (0.0, 1.0)
# Recipes for networks that nobody tuned. `mixed` keeps the smallest maps in float, where landmark networks lose most.
_RECIPES = {
    "int8": Recipe(),
    "int16x8": Recipe(base="int16", head_margin=2.0),
    "mixed": Recipe(float_maps_px=4),
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TfliteSource:
    """A float .tflite file.

    Attributes:
        path: of the file.
        content: of the file; with metadata that names the variant, where it is one.
        graph: what it computes.
        config: the variant, or the image input of a network that is none.
        outputs: names of its outputs, in order.
        official: it is MediaPipe's own file.
    """

    path: Path
    content: bytes
    graph: Graph
    config: VariantConfig | ImageInput
    outputs: tuple[str, ...]
    official: bool

    def default_name(self, precision: str, io_type: Io = "float") -> str:
        """File name of the result: `<variant>[.<heads>].<precision>.tflite`, or `<stem>.<precision>.tflite`."""
        suffix = precision + IO_SUFFIX[io_type]
        if isinstance(self.config, VariantConfig):
            return artifact_name(self.config, heads_label(self.config, self.outputs), suffix) + ".tflite"
        return f"{self.path.stem}.{suffix}.tflite"

    def recipe(self, precision: str) -> Recipe:
        """The variant's shipped recipe, or for a stranger's network the usual one.

        Raises:
            ConfigError: there is none for this precision, or `mixed` would keep nothing in float.
        """
        if isinstance(self.config, VariantConfig):
            return shipped_recipe(self.config.name, precision)
        if precision not in _RECIPES:
            raise unknown("precision with a recipe", precision, _RECIPES)
        recipe = _RECIPES[precision]
        chosen = node_precisions(self.graph, recipe)
        if precision == "mixed" and all(chosen[node.output] == "int8" for node in self.graph.convolutions()):
            raise ConfigError(
                f"mixed keeps layers of maps up to {recipe.float_maps_px} px in float, and {self.path.name} has none. "
                "Name float_maps_px or float_layers in a --recipe of your own, or choose int8."
            )
        return recipe


def open_tflite(path: Path, variant: str | None = None, input_range: tuple[float, float] | None = None) -> TfliteSource:
    """Opens a float .tflite file: fp32, fp16, or sparse.

    Args:
        path: of the file.
        variant: which of blazeport's networks it is; None: found out by its content, its metadata, and its name.
        input_range: values that pixel 0 and pixel 255 are mapped to, for a network that is none of blazeport's; 0 to 1
            by default, with a note.
    Raises:
        InputError: it is missing, LiteRT cannot run it, or it has no image input.
        WeightsError: it is no readable .tflite file.
        ConversionError: it has an operator that cannot be quantized, dynamic shapes, or is quantized already.
        ConfigError: it is not that variant, or several could be meant; or a range is given for a variant.
    """
    if not path.is_file():
        raise InputError(f"Expected an existing .tflite file. {path} does not exist.")
    graph = read_graph(path)
    with Model(path) as model:
        if model.input_dtype != np.float32:
            raise InputError(f"Expected a float32 image input. {path} takes {model.input_dtype}.")
        name = _variant_of(model, path, variant)
        is_named = METADATA_NAME in graph.metadata and model.variant == name
        signed, (_, height, width, _) = set(model.outputs), model.input_shape
    outputs = tuple(graph.outputs)
    if set(outputs) != signed:
        raise InputError(f"Expected the signature of {path} to name all its outputs. It names: {', '.join(signed)}.")
    content = path.read_bytes()
    if name is None:
        if input_range is None:
            _log.warning("Pixels are mapped to 0 … 1 for %s. Say --input-range -1,1 if it was trained so.", path.name)
        config: VariantConfig | ImageInput = ImageInput(
            name=path.stem, height=height, width=width, input_range=input_range or DEFAULT_RANGE
        )
        return TfliteSource(path=path, content=content, graph=graph, config=config, outputs=outputs, official=False)
    config = get_config(name)
    if input_range is not None and input_range != config.input_range:
        low, high = config.input_range
        raise ConfigError(f"{path.name} is {name}, whose input range is {low:g},{high:g}. Leave --input-range away.")
    official = sha256_of(content) in OFFICIAL[name].sha256s
    if not is_named:
        known = OFFICIAL[name]
        facts = FileFacts(
            version=__version__,
            licence=known.licence if official else NOT_STATED,
            author=known.origin if official else NOT_STATED,
            heads=outputs,
        )
        content = add_metadata(content, {METADATA_NAME: build_metadata(config, facts)})
    return TfliteSource(path=path, content=content, graph=graph, config=config, outputs=outputs, official=official)


def takes(source: TfliteSource, precision: str, *, method: str, heads: str) -> bool:
    """Whether `quantize_tflite` can do this; otherwise it is left to blazeport's Keras model of the variant.

    Raises:
        ConfigError: it cannot, and the file is none of blazeport's networks.
    """
    if precision in PRECISIONS and method == "blazeport" and heads == "all":
        return True
    if isinstance(source.config, VariantConfig):
        return False
    raise ConfigError(
        f"{source.path.name} is none of blazeport's networks. Expected precision {', '.join(PRECISIONS)}, method "
        f"blazeport and heads all. Received: precision {precision}, method {method}, heads {heads}."
    )


def quantize_tflite(
    source: TfliteSource,
    out: Path,
    precision: str,
    *,
    quantizer: Quantizer | None = None,
    io_type: Io = "float",
    media: Sequence[Path] | None = None,
    command: str = "blazeport",
    keep_failed: bool = False,
) -> Manifest:
    """Quantizes a file, compares the result with it, and writes it and its manifest.

    Args:
        source: the file.
        out: path of the new .tflite file; the manifest stands beside it.
        precision: one of `PRECISIONS`.
        quantizer: makes the file of a calibrated precision.
        io_type: dtype of the input and outputs; integers only for int8.
        media: photos and videos for the gate's inputs; the demo photos by default.
        command: the command line, for the manifest.
        keep_failed: keep a file that fails the gate as `*.failed`.
    Raises:
        ConfigError: these arguments do not go together, or `out` is the source.
        CalibrationError: too few samples can be made.
        ConversionError: fp16 cannot hold the weights.
        ParityError: the result is not finite or constant, or an fp16 file of fp16 weights differs.
        OutputError: the folder cannot be written.
    """
    if precision not in PRECISIONS:
        raise unknown("precision for a .tflite file", precision, PRECISIONS)
    if (precision in CALIBRATED_PRECISIONS) != (quantizer is not None):
        raise ConfigError(f"A quantizer goes with {', '.join(CALIBRATED_PRECISIONS)} only. Received: {precision}.")
    if io_type != "float" and precision != "int8":
        raise ConfigError(f"--io {io_type} goes with precision int8 only. Received: precision {precision}.")
    if out.resolve() == source.path.resolve():
        raise ConfigError(f"The result needs another name than its source. Received: {out}.")
    if quantizer is not None:
        quantizer.prepare()
    with progress.step(f"Quantizing {source.path.name}"):
        content = _fp16(source) if quantizer is None else quantizer.quantize(lambda *_, **__: source.content, io_type)
    try:
        parity = _gate(source, content, precision, media, out.name)
    except ParityError:
        if keep_failed:
            kept = out.with_name(f"{out.name}.failed")
            write_atomic(kept, content)
            _log.warning("Kept for a look: %s", kept)
        raise
    manifest = _manifest(source, content, out.name, precision + IO_SUFFIX[io_type], quantizer, parity, command)
    with anchors_beside(out.parent, source.config), atomic_path(out) as temporary:
        temporary.write_bytes(content)
        manifest.write(manifest_path(out))
    return manifest


def _variant_of(model: Model, path: Path, variant: str | None) -> str | None:
    """The variant that a file is; None for a stranger's network."""
    if variant is not None:
        get_config(variant)
        if variant not in model.candidates:
            fitting = ", ".join(model.candidates) or "none of blazeport's networks"
            raise ConfigError(f"{path.name} is not {variant}: its input and outputs are those of {fitting}.")
        return variant
    digest = sha256_of(path)
    named = next((name for name in model.candidates if digest in OFFICIAL[name].sha256s), None) or model.variant
    if named is None and model.candidates:
        by_name = [name for name in model.candidates if path.name.startswith(name)]
        if not by_name:
            raise ConfigError(
                f"Which network is in {path.name}? Name it with --variant. "
                f"Its input and outputs are those of: {', '.join(model.candidates)}."
            )
        named = max(by_name, key=len)
    return named


def _fp16(source: TfliteSource) -> bytes:
    graph = read_graph(source.content)
    for node in graph.convolutions():
        if np.abs(graph.constants[node.inputs[1]]).max(initial=0) > np.finfo(np.float16).max:
            raise ConversionError(f"fp16 cannot hold the weights of {graph.names[node.output]!r}: they exceed 65504.")
    return write_tflite(graph, Plan(precision={node.output: "float" for node in graph.nodes}))


def _gate(source: TfliteSource, content: bytes, precision: str, media: Sequence[Path] | None, file_name: str) -> Parity:
    kernels = [source.graph.constants[node.inputs[1]] for node in source.graph.convolutions()]
    keeps_weights = all(np.array_equal(kernel, kernel.astype(np.float16)) for kernel in kernels)
    budget = EXACT if precision == "fp16" and keeps_weights else None
    inputs = gate_inputs(source.config, media, gate_limit(cost_of(read_tflite(content)).macs))
    with Model(source.path) as reference, Model(content) as candidate:
        parity = measure(
            reference.run, candidate.run, inputs, source.outputs, reference_name=f"the source {source.path.name}"
        )
    check(parity, budget, file_name)
    return parity


def _manifest(
    source: TfliteSource,
    content: bytes,
    file_name: str,
    precision: str,
    quantizer: Quantizer | None,
    parity: Parity,
    command: str,
) -> Manifest:
    config, graph = source.config, read_tflite(content)
    known = OFFICIAL[config.name] if isinstance(config, VariantConfig) else None
    assert graph.signature is not None  # `write_tflite` gives it one.
    tensors = graph.signature["outputs"]
    meanings = {head.name: head.meaning for head in config.heads} if isinstance(config, VariantConfig) else {}
    low, high = config.input_range
    cost = cost_of(graph)
    used = quantizer.calibration if quantizer else None
    source_sha256 = sha256_of(source.path)
    decisive = [
        *(source_sha256, precision, low, high),
        used and [used.sha256, used.seed, used.views, used.limit],
        quantizer and [quantizer.method, quantizer.recipe],
        *(tool_versions(), code_sha256()),
    ]
    return Manifest(
        file=file_name,
        variant=config.name,
        heads=source.outputs,
        precision=precision,
        sha256=sha256_of(content),
        size_bytes=len(content),
        input=tensor_record(graph, graph.inputs[0], "image", f"RGB, pixel 0 is {low:g} and pixel 255 is {high:g}"),
        outputs=tuple(
            tensor_record(graph, tensors[name], name, meanings.get(name, NOT_STATED)) for name in source.outputs
        ),
        ops=cost.ops,
        params=cost.params,
        macs=cost.macs,
        int8_mac_share=cost.int8_share,
        weights=WeightsRecord(
            file=source.path.name,
            sha256=source_sha256,
            official=source.official,
            licence=known.licence if known and source.official else NOT_STATED,
            author=known.origin if known and source.official else NOT_STATED,
            paper=f"arXiv {known.paper}" if known else NOT_STATED,
        ),
        calibration=used,
        method=quantizer.method if quantizer else None,
        recipe=quantizer.recipe if quantizer else None,
        parity=parity,
        fingerprint=hashlib.sha256(json.dumps(decisive).encode()).hexdigest(),
        tools=tool_versions(),
        command=command,
        decoding=decoding_of(config) if isinstance(config, VariantConfig) else None,
    )
