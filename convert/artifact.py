"""Writes artifacts: converts, measures against the reference, and only then gives the file its name and manifest."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import progress
from ..errors import ConfigError, InputError, ParityError
from ..files import atomic_path, sha256_of, write_atomic
from ..models.config import PoseLandmarkConfig, VariantConfig, artifact_name, heads_label
from ..models.cost import cost_of, head_tensors
from ..runtime.interpreter import Model
from ..weights.fetch import demo_photos
from ..weights.reader import TfliteGraph, read_tflite
from ..weights.sources import OFFICIAL
from .inputs import ImageInput, network_inputs
from .manifest import CalibrationRecord, Manifest, TensorRecord, WeightsRecord, read_manifest, tool_versions
from .on_device import anchors_beside, decoding_of, has_anchors
from .parity import EXACT, FLOAT_NOISE, Budget, Parity, Runner, check, measure, require_outputs
from .precisions import CALIBRATED_PRECISIONS, FLOAT_PRECISIONS, IO_SUFFIX, Io
from .source import KerasRunner, Source

# Enough inputs to see an error, few enough for the largest network: 40, or 10 for heavy.
_GATE_MACS = 20_000_000_000
_MIN_GATE_INPUTS, _MAX_GATE_INPUTS = 10, 40
_GATE_VIEWS = 6
_CODE_FOLDERS = ("weights", "models", "runtime", "pipeline", "convert", "quantize")

_log = logging.getLogger(__name__)
_Convert = Callable[..., bytes]


class Quantizer(Protocol):
    """Makes calibrated files; `quantize.quantizer` has them.

    Attributes:
        calibration: what the samples are from.
        method: name of the method, for the manifest.
        recipe: its settings, for the manifest; None where it has none.
    """

    calibration: CalibrationRecord
    method: str
    recipe: dict[str, Any] | None

    def prepare(self) -> None:
        """Raises what stands in the way, before anything is converted."""

    def quantize(self, convert: _Convert, io_type: Io) -> bytes:
        """The quantized file; `convert(precision, **options)` makes files of the network with the heads in question."""


class ArtifactWriter:
    """Writes any number of artifacts from one source; the network and the gate's inputs are made once."""

    def __init__(
        self,
        source: Source,
        *,
        media: Sequence[Path] | None = None,
        command: str = "blazeport",
        keep_failed: bool = False,
    ) -> None:
        """Prepares nothing yet, so that looking whether a file is up to date stays fast.

        Args:
            source: the weights.
            media: photos and videos for the gate's inputs; the demo photos by default.
            command: the command line, for the manifest.
            keep_failed: keep a file that fails the gate as `*.failed`.
        """
        self.source = source
        self._media = media
        self._command = command
        self._keep_failed = keep_failed
        self._inputs: dict[int, list[np.ndarray]] = {}

    def up_to_date(
        self,
        out: Path,
        heads: tuple[str, ...],
        precision: str,
        *,
        io_type: Io = "float",
        quantizer: Quantizer | None = None,
    ) -> Manifest | None:
        """The manifest of `out` when writing it again would give the same file, else None."""
        try:
            manifest = read_manifest(manifest_path(out))
            unchanged = manifest.sha256 == sha256_of(out) and has_anchors(out.parent, self.source.config)
        except (InputError, OSError):
            return None
        fingerprint = self._fingerprint(heads, precision, io_type, quantizer)
        return manifest if unchanged and manifest.fingerprint == fingerprint else None

    def write(
        self,
        out: Path,
        heads: tuple[str, ...],
        precision: str,
        *,
        io_type: Io = "float",
        quantizer: Quantizer | None = None,
    ) -> Manifest:
        """Converts, checks and writes one file and its manifest, and beside a detector its anchors.

        Args:
            out: path of the .tflite file; the manifest stands beside it.
            heads: names of the outputs to keep.
            precision: one of `convert.precisions.PRECISIONS`.
            io_type: dtype of the input and outputs; integers only for int8.
            quantizer: makes the file of a calibrated precision.
        Raises:
            ConfigError: `io_type` does not go with `precision`, or a calibrated precision comes without a quantizer.
            CalibrationError: too few samples can be made.
            ConversionError: TensorFlow cannot convert it.
            InputError: the source does not fit its variant, or no input for the gate can be made of the media.
            ParityError: the file is over its budget. Nothing is written under its name.
            OutputError: the folder cannot be written.
        """
        if io_type != "float" and precision != "int8":
            raise ConfigError(f"--io {io_type} goes with precision int8 only. Received: precision {precision}.")
        if (precision in CALIBRATED_PRECISIONS) != (quantizer is not None):
            raise ConfigError(f"A quantizer goes with {', '.join(CALIBRATED_PRECISIONS)} only. Received: {precision}.")
        if quantizer is not None:
            quantizer.prepare()
        model = self._model
        with progress.step(f"Converting {out.stem}"):
            if quantizer is None:
                content = self._convert(model, heads, precision)
            else:
                content = quantizer.quantize(functools.partial(self._convert, model, heads), io_type)
        try:
            parity = self._gate(content, heads, precision, out.name)
        except ParityError:
            if self._keep_failed:
                kept = out.with_name(f"{out.name}.failed")
                write_atomic(kept, content)
                _log.warning("Kept for a look: %s", kept)
            raise
        manifest = self._manifest(content, out.name, heads, precision, io_type, quantizer, parity)
        # When there is no room for the manifest, there is no file either.
        with anchors_beside(out.parent, self.source.config), atomic_path(out) as temporary:
            temporary.write_bytes(content)
            manifest.write(manifest_path(out))
        return manifest

    @functools.cached_property
    def _model(self) -> Any:
        with progress.step(f"Building {self.source.config.name}"):
            return self.source.build()

    @functools.cached_property
    def _heads(self) -> tuple[str, ...]:
        """The heads the network has; a user's own may lack some."""
        layers = {layer.name for layer in self._model.layers}
        return tuple(name for name in self.source.config.head_names if name in layers)

    def _convert(self, model: Any, heads: tuple[str, ...], precision: str, **options: Any) -> bytes:
        from .tflite import to_tflite  # Imports TensorFlow, which looking whether a file is up to date does not need.

        source = self.source
        return to_tflite(
            model, source.config, heads, precision, licence=source.licence, author=source.author, **options
        )

    def _gate_inputs(self, macs: int) -> list[np.ndarray]:
        limit = gate_limit(macs)
        if limit not in self._inputs:
            self._inputs[limit] = gate_inputs(self.source.config, self._media, limit)
        return self._inputs[limit]

    def _gate(self, content: bytes, heads: tuple[str, ...], precision: str, file_name: str) -> Parity:
        """Runs the file in LiteRT against its reference; raises `ParityError` when it is too far off."""
        candidate = Model(content)
        require_outputs(heads, candidate.outputs, file_name)
        reference, reference_name, budget = self._reference(precision)
        inputs = self._gate_inputs(cost_of(read_tflite(content)).macs)
        parity = measure(reference, candidate.run, inputs, heads, reference_name=reference_name)
        check(parity, budget, file_name)
        return parity

    def _reference(self, precision: str) -> tuple[Runner, str, Budget | None]:
        """What a file of this precision is compared with, its name, and the budget.

        Official weights are fp16, so both float precisions must equal the official file. A user's own fp32 weights are
        rounded by fp16: such a file must equal the fp32 file of the rounded weights.
        """
        exact = EXACT if precision in FLOAT_PRECISIONS else None
        if self.source.official:
            return Model(self.source.path).run, f"the official {self.source.path.name}", exact
        if precision == "fp16":
            return Model(self._rounded_content).run, "the fp32 file of the weights rounded to fp16", EXACT
        from .tflite import prune_heads

        pruned = prune_heads(self._model, self._heads)
        return KerasRunner(pruned), f"Keras with {self.source.path.name}", FLOAT_NOISE if exact else None

    @functools.cached_property
    def _rounded_content(self) -> bytes:
        from ..models.keras_api import keras

        rounded = keras.models.clone_model(self._model)
        rounded.set_weights([w.astype(np.float16).astype(np.float32) for w in self._model.get_weights()])
        return self._convert(rounded, self._heads, "fp32")

    def _fingerprint(self, heads: tuple[str, ...], precision: str, io_type: Io, quantizer: Quantizer | None) -> str:
        calibrated_on: list[Any] | None = None
        if quantizer is not None:
            used = quantizer.calibration
            drawn = [used.sha256, used.seed, used.views, used.limit, used.stored_sha256]
            calibrated_on = [*drawn, quantizer.method, quantizer.recipe]
        parts = [self.source.sha256, heads, precision, io_type, calibrated_on, tool_versions(), code_sha256()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _manifest(
        self,
        content: bytes,
        file_name: str,
        heads: tuple[str, ...],
        precision: str,
        io_type: Io,
        quantizer: Quantizer | None,
        parity: Parity,
    ) -> Manifest:
        config, graph = self.source.config, read_tflite(content)
        cost = cost_of(graph)
        low, high = config.input_range
        tensors = head_tensors(graph, config)
        meanings = {head.name: head.meaning for head in config.heads}
        official = OFFICIAL[config.name]
        return Manifest(
            file=file_name,
            variant=config.name,
            heads=heads,
            precision=precision + IO_SUFFIX[io_type],
            sha256=sha256_of(content),
            size_bytes=len(content),
            input=tensor_record(graph, graph.inputs[0], "image", f"RGB, pixel 0 is {low:g} and pixel 255 is {high:g}"),
            outputs=tuple(tensor_record(graph, tensors[name], name, meanings[name]) for name in heads),
            ops=cost.ops,
            params=cost.params,
            macs=cost.macs,
            int8_mac_share=cost.int8_share,
            weights=WeightsRecord(
                file=self.source.path.name,
                sha256=self.source.sha256,
                official=self.source.official,
                licence=self.source.licence,
                author=self.source.author,
                paper=f"arXiv {official.paper}",
            ),
            calibration=quantizer.calibration if quantizer else None,
            method=quantizer.method if quantizer else None,
            recipe=quantizer.recipe if quantizer else None,
            parity=parity,
            fingerprint=self._fingerprint(heads, precision, io_type, quantizer),
            tools=tool_versions(),
            command=self._command,
            decoding=decoding_of(config),
        )


def gate_limit(macs: int) -> int:
    """How many real inputs the gate runs: the fewer the larger the network."""
    return min(max(_GATE_MACS // max(macs, 1), _MIN_GATE_INPUTS), _MAX_GATE_INPUTS)


def gate_inputs(config: VariantConfig | ImageInput, media: Sequence[Path] | None, limit: int) -> list[np.ndarray]:
    """Inputs for the gate: real ones, and one blank one, since without a person presence must differ.

    Args:
        config: the network.
        media: photos and videos; None takes the demo photos.
        limit: at most so many real ones.
    Raises:
        InputError: none can be made.
    """
    media = demo_photos() if media is None else media
    inputs = network_inputs(config, media, views=_GATE_VIEWS, limit=limit)
    if not inputs:
        what = "a person" if isinstance(config, PoseLandmarkConfig) else "a photo that can be read"
        raise InputError(
            f"The parity gate needs photos or videos with {what}. Received: none in {len(media)} files. "
            "Add some, or leave the folder away for the demo photos."
        )
    return [*inputs, np.full(config.input_shape, np.mean(config.input_range), np.float32)]


def manifest_path(artifact: Path) -> Path:
    """Where the manifest of an artifact stands."""
    return artifact.with_suffix(".json")


def default_name(source: Source, heads: tuple[str, ...], precision: str, io_type: Io = "float") -> str:
    """File name of an artifact, e.g. `pose_landmark_lite.landmarks.int8_io8.tflite`."""
    label = heads_label(source.config, heads)
    return artifact_name(source.config, label, precision + IO_SUFFIX[io_type]) + ".tflite"


@functools.cache
def code_sha256() -> str:
    """One hash of the code that decides a file's content."""
    root = Path(__file__).parent.parent
    files = sorted(path for folder in _CODE_FOLDERS for path in (root / folder).rglob("*.py"))
    return hashlib.sha256("".join(sha256_of(path) for path in files).encode()).hexdigest()


def tensor_record(graph: TfliteGraph, index: int, name: str, meaning: str) -> TensorRecord:
    """What a manifest says of an input or output of a file."""
    tensor = graph.tensors[index]
    quantized = len(tensor.scale) == 1
    return TensorRecord(
        name=name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        meaning=meaning,
        scale=tensor.scale[0] if quantized else None,
        zero_point=tensor.zero_point[0] if quantized else None,
    )
