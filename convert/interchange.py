"""Writes a network in other formats than TFLite, and TFLite by way of ONNX: each file is compared before it gets its
name, and has a manifest.
"""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import progress
from ..errors import InputError, OutputError
from ..files import sha256_of
from ..models.config import artifact_name, heads_label, resolve_heads
from ..models.cost import Cost, cost_of
from ..quiet import native_stderr
from ..weights.reader import read_tflite
from ..weights.sources import OFFICIAL
from .artifact import gate_limit
from .compare import ROUNDING, Comparison, compare, comparison_inputs, gate
from .describe import describe, fingerprint_of
from .manifest import CalibrationRecord, Manifest, WeightsRecord, read_manifest
from .model_file import ModelFile, Values, keras_model, onnx_model, open_model, tflite_model
from .onnx import DEFAULT_OPSET, Layout, cost_of_onnx, to_onnx
from .onnx import TOOLS as ONNX_TOOLS
from .onnx2tf import TOOLS as ONNX2TF_TOOLS
from .onnx2tf import onnx2tf_files
from .onnx_file import read_onnx
from .onnx_route import check_precision
from .parity import Budget
from .placing import kept_when_failed, manifest_beside, place, temporary_path
from .source import Source, open_source


class Interchange:
    """Writes one source in any number of formats; the network and the inputs are made once."""

    def __init__(
        self,
        source: Source,
        *,
        media: Sequence[Path] | None = None,
        command: str = "blazeport",
        keep_failed: bool = False,
    ) -> None:
        """Prepares nothing yet.

        Args:
            source: the weights.
            media: photos and videos to compare on; the demo photos by default.
            command: the command line, for the manifest.
            keep_failed: keep a file that fails the comparison as `*.failed`.
        """
        self.source = source
        self._media = media
        self._command = command
        self._keep_failed = keep_failed
        self._float_files: dict[tuple[str, ...], dict[str, bytes]] = {}

    def heads(self, spec: str) -> tuple[str, ...]:
        """The outputs that a heads spec names; `all` means all that a file of the user's has.

        Raises:
            ConfigError: there is no such head.
        """
        names = resolve_heads(self.source.config, spec)
        if spec != "all" or self.source.official:
            return names
        layers = {layer.name for layer in self._model.layers}
        return tuple(name for name in names if name in layers)

    def up_to_date(self, out: Path, heads: tuple[str, ...], *, opset: int, layout: Layout) -> Manifest | None:
        """The manifest of an ONNX file when writing it again would give the same, else None."""
        try:
            manifest = read_manifest(manifest_beside(out))
            unchanged = manifest.sha256 == sha256_of(out)
        except (InputError, OSError):
            return None
        fingerprint = fingerprint_of(self.source.sha256, [heads, "onnx", opset, layout], ONNX_TOOLS)
        return manifest if unchanged and manifest.fingerprint == fingerprint else None

    def write_onnx(
        self, out: Path, heads: tuple[str, ...], *, opset: int = DEFAULT_OPSET, layout: Layout = "nhwc"
    ) -> Manifest:
        """Writes `out` (.onnx) and its manifest, compared in onnxruntime with the official file or the Keras model.

        Raises:
            ConfigError: another opset or layout, or a package is missing.
            ConversionError: it cannot be converted.
            ParityError: an output is too far from its reference; nothing is written.
            OutputError: the folder cannot be written.
        """
        content = self._onnx(heads, opset, layout)
        with temporary_path(out) as path:
            path.write_bytes(content)
            file = read_onnx(path)
            candidate = onnx_model(file)
            comparison = self._compare(candidate, out, failed=content)
            manifest = self._manifest(
                out.name, content, candidate, comparison, "fp32", cost_of_onnx(file.proto), heads,
                ["onnx", opset, layout], ONNX_TOOLS,
            )  # fmt: skip
            place(path, out, manifest)
        return manifest

    def write_keras(self, out: Path, heads: tuple[str, ...]) -> Manifest:
        """Writes `out` (.keras) and its manifest, loaded again and compared. Raises as `write_onnx`."""
        with temporary_path(out) as path:
            self._pruned(heads).save(path)
            candidate = open_model(path)
            comparison = self._compare(candidate, out)
            manifest = self._manifest(
                out.name, path.read_bytes(), candidate, comparison, "fp32", self._keras_cost(heads), heads, ["keras"]
            )
            place(path, out, manifest)
        return manifest

    def write_saved_model(self, out: Path, heads: tuple[str, ...]) -> Manifest:
        """Writes `out`, a SavedModel folder with a static signature, and its manifest. Raises as `write_onnx`."""
        from ..models.keras_api import NATIVE_CHATTER, keras, tf

        if out.exists() and not (out / "saved_model.pb").is_file():
            raise OutputError(f"{out} exists and is no SavedModel. Choose another name.")
        model, shape = self._pruned(heads), self.source.config.input_shape
        with temporary_path(out) as path:
            with native_stderr(NATIVE_CHATTER), _without_warnings():
                archive = keras.export.ExportArchive()
                archive.track(model)
                archive.add_endpoint(
                    "serving_default",
                    lambda image: model(image, training=False),
                    input_signature=[tf.TensorSpec(shape, tf.float32, name="image")],
                )
                archive.write_out(str(path))
            candidate = open_model(path)
            comparison = self._compare(candidate, out)
            content = b"".join(each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file())
            manifest = self._manifest(
                out.name, content, candidate, comparison, "fp32", self._keras_cost(heads), heads, ["saved-model"]
            )
            place(path, out, manifest)
        return manifest

    def write_tflite(
        self,
        out: Path,
        heads: tuple[str, ...],
        precision: str,
        *,
        tolerance: float | None = None,
        samples: Sequence[np.ndarray] | None = None,
        calibration: CalibrationRecord | None = None,
    ) -> Manifest:
        """Writes `out` (.tflite) by Keras → ONNX → onnx2tf, compared with the official file or the Keras model.

        Args:
            out: the file.
            heads: names of the outputs to keep.
            precision: `fp32`, `fp16`, or with samples `int8` as onnx2tf makes it.
            tolerance: see `compare`.
            samples: `(1, S, S, 3)` float32, for int8.
            calibration: what they are from.

        Raises as `write_onnx`.
        """
        check_precision(precision, samples)
        files = self._by_onnx2tf(heads, samples)
        content = files[precision]
        if precision == "fp16" and not self._weights_are_fp16:
            self._compare(tflite_model(out, files["fp32"]), out, tolerance=tolerance, failed=content)
        with temporary_path(out) as path:
            path.write_bytes(content)
            candidate = tflite_model(out, content)
            comparison = self._compare(
                candidate, out, tolerance=tolerance, budget=self._budget_of(precision), failed=content
            )
            manifest = self._manifest(
                out.name, content, candidate, comparison, precision, cost_of(read_tflite(content)), heads,
                ["onnx2tf", precision], ONNX2TF_TOOLS, calibration,
            )  # fmt: skip
            place(path, out, manifest)
        return manifest

    @functools.cached_property
    def _model(self) -> Any:
        with progress.step(f"Building {self.source.config.name}"):
            return self.source.build()

    @functools.cached_property
    def _weights_are_fp16(self) -> bool:
        return self.source.official or all(
            np.array_equal(weights, weights.astype(np.float16)) for weights in self._model.get_weights()
        )

    def _budget_of(self, precision: str) -> Budget | Literal["float"] | None:
        if precision == "int8":
            return None
        return "float" if precision == "fp32" or self._weights_are_fp16 else ROUNDING

    def _pruned(self, heads: tuple[str, ...]) -> Any:
        from .tflite import prune_heads

        return prune_heads(self._model, heads)

    def _onnx(self, heads: tuple[str, ...], opset: int, layout: Layout) -> bytes:
        source = self.source
        facts = {
            "licence": source.licence,
            "author": source.author,
            "weights": source.path.name,
            "weights_sha256": source.sha256,
        }
        model = self._model
        with progress.step(f"Converting {source.config.name} to ONNX"):
            return to_onnx(model, source.config, heads, opset=opset, layout=layout, facts=facts)

    def _by_onnx2tf(self, heads: tuple[str, ...], samples: Sequence[np.ndarray] | None) -> dict[str, bytes]:
        """Precision → content; float files are made once."""
        if samples is None and heads in self._float_files:
            return self._float_files[heads]
        source = self.source
        with tempfile.TemporaryDirectory(prefix="blazeport-") as folder:
            path = Path(folder) / f"{source.config.name}.onnx"
            path.write_bytes(self._onnx(heads, DEFAULT_OPSET, "nhwc"))
            files = onnx2tf_files(
                read_onnx(path),
                keep_layout=True,
                config=source.config,
                licence=source.licence,
                author=source.author,
                calibration=None if samples is None else {"image": samples},
            )
        self._float_files[heads] = files
        return files

    def _keras_cost(self, heads: tuple[str, ...]) -> Cost:
        """Layers, parameters and multiply-accumulates; convolutions are all that multiplies in these networks."""
        model = self._pruned(heads)
        macs = 0
        for layer in model.layers:
            if layer.weights:
                kernel = layer.weights[0].shape  # (H, W, I, O); depthwise (H, W, C, 1)
                per_output = kernel[0] * kernel[1] * (1 if "depthwise" in type(layer).__name__.lower() else kernel[2])
                macs += int(np.prod(layer.output.shape[1:])) * int(per_output)
        return Cost(ops=len(model.layers), params=int(model.count_params()), macs=macs, int8_macs=0)

    @functools.cached_property
    def _reference(self) -> ModelFile:
        if self.source.path.suffix == ".tflite":
            return open_model(self.source.path)
        return keras_model(self.source.path, self._model)

    @functools.cached_property
    def _inputs(self) -> Sequence[Values]:
        macs = self._keras_cost(self.heads("all")).macs
        return comparison_inputs(self._reference, self._media, gate_limit(macs))

    def _compare(
        self,
        candidate: ModelFile,
        out: Path,
        *,
        tolerance: float | None = None,
        budget: Budget | Literal["float"] | None = "float",
        failed: bytes | None = None,
    ) -> Comparison:
        source = self.source
        whose = "the official" if source.official else "the source" if source.path.suffix == ".tflite" else "Keras with"
        comparison = compare(
            self._reference, candidate, self._inputs, tolerance=tolerance, reference_name=f"{whose} {source.path.name}"
        )
        with kept_when_failed(failed if self._keep_failed else None, out):
            gate(comparison, out.name, budget)
        return comparison

    def _manifest(
        self,
        file_name: str,
        content: bytes,
        model: ModelFile,
        comparison: Comparison,
        precision: str,
        cost: Cost,
        heads: tuple[str, ...],
        kind: list[Any],
        tools: Sequence[str] = (),
        calibration: CalibrationRecord | None = None,
    ) -> Manifest:
        source = self.source
        weights = WeightsRecord(
            file=source.path.name,
            sha256=source.sha256,
            official=source.official,
            licence=source.licence,
            author=source.author,
            paper=f"arXiv {OFFICIAL[source.config.name].paper}",
        )
        return describe(
            model,
            content,
            comparison.parity,
            file_name=file_name,
            precision=precision,
            cost=cost,
            network=source.config,
            weights=weights,
            decisive=[heads, *kind],
            tools=tools,
            command=self._command,
            calibration=calibration,
        )


def export_onnx(
    variant: str, heads: Sequence[tuple[str, ...]], out: Path, *, command: str = "blazeport"
) -> Iterator[tuple[Path, Manifest, bool]]:
    """Writes the ONNX files of a variant that are not up to date.

    Args:
        variant: its name.
        heads: the outputs of each file.
        out: the folder.
        command: the command line, for the manifests.
    Yields:
        Path, manifest, and whether it was written, as soon as a file stands.

    Raises as `Interchange.write_onnx`.
    """
    writer = Interchange(open_source(variant), command=command)
    for names in heads:
        path = out / f"{artifact_name(writer.source.config, heads_label(writer.source.config, names), 'onnx')}"
        manifest = writer.up_to_date(path, names, opset=DEFAULT_OPSET, layout="nhwc")
        yield path, manifest or writer.write_onnx(path, names), manifest is None


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
