"""Keras model → TFLite bytes: static batch of 1, builtin operators only, named outputs, a signature and metadata."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..errors import ConversionError, unknown
from ..models.config import VariantConfig
from ..models.keras_api import NATIVE_CHATTER, keras, tf
from ..quiet import native_stderr
from .flatbuffer import finish
from .metadata import METADATA_NAME, FileFacts, build_metadata
from .precisions import CONVERTER_PRECISIONS, Io

# The int8 converter also prints how it was called.
_CHATTER = rf"{NATIVE_CHATTER}|fully_quantize: "
_IO_DTYPES = {"float": tf.float32, "int8": tf.int8, "uint8": tf.uint8}


def prune_heads(model: Any, heads: Sequence[str]) -> Any:
    """The same model with only some of its outputs; layers that fed only the others are gone.

    Args:
        model: a Keras functional model of any variant, the user's own included.
        heads: names of the outputs to keep. They are found by the name of the layer that makes them.
    Raises:
        ConversionError: the model has no layer of that name.
    """
    layers = {layer.name: layer for layer in model.layers}
    if missing := [name for name in heads if name not in layers]:
        raise ConversionError(
            f"Expected a layer named after each head. Missing in {model.name}: {', '.join(missing)}. "
            "Keep the layer names of blazeport's models when you change them."
        )
    return keras.Model(model.inputs, {name: layers[name].output for name in heads}, name=model.name)


def to_tflite(
    model: Any,
    config: VariantConfig,
    heads: tuple[str, ...],
    precision: str,
    *,
    calibration: Iterable[np.ndarray] | None = None,
    io_type: Io = "float",
    licence: str = "Apache-2.0",
    author: str = "MediaPipe",
) -> bytes:
    """Converts a model; the result is not yet checked, see `convert.artifact`.

    Args:
        model: a Keras model of the variant, input `(1, S, S, 3)` float32 in `config.input_range`.
        config: the variant.
        heads: names of the outputs to keep, in the order they have in the file.
        precision: one of `CONVERTER_PRECISIONS`. fp16 files of sparse networks store their weights sparse.
        calibration: float32 inputs `(1, S, S, 3)`; required for int8.
        io_type: dtype of the input and outputs of an int8 file.
        licence: licence of the weights.
        author: who made the weights.
    Raises:
        ConfigError: unknown precision.
        ConversionError: the converter refused the model, or int8 without calibration.
    """
    if precision not in CONVERTER_PRECISIONS:
        raise unknown("precision", precision, CONVERTER_PRECISIONS)
    converter = _converter(prune_heads(model, heads), heads)
    if precision == "fp16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if config.sparse:
            converter.optimizations.append(tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
        converter.target_spec.supported_types = [tf.float16]
        # Writes `reduced_precision_support = fp16accfp32`, by which XNNPACK may run the file in fp16 on ARM.
        converter.target_spec._experimental_supported_accumulation_type = tf.float32
    elif precision == "dynamic":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    elif precision == "int8":
        if calibration is None:
            raise ConversionError("int8 needs calibration inputs. Received none.")
        samples = calibration
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = _IO_DTYPES[io_type]
    try:
        with _quiet():
            content = converter.convert()
    except Exception as error:  # The converter raises whatever its C++ and Python layers raise.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConversionError(f"TensorFlow cannot convert {config.name} to {precision}: {reason}") from error
    finally:
        _return_memory()
    facts = FileFacts(version=__version__, licence=licence, author=author, heads=heads)
    return finish(content, heads, {METADATA_NAME: build_metadata(config, facts)})


def _converter(model: Any, heads: tuple[str, ...]) -> Any:
    """A converter for the model's frozen graph, its outputs in the order of `heads`.

    Variables become constants first: freezing inside the converter takes ten times as long, and with Keras 3 writes
    uninitialised variables.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape = model.inputs[0].shape

    @tf.function(input_signature=[tf.TensorSpec((1, *shape[1:]), tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def serve(image: Any) -> list[Any]:
        outputs = model(image, training=False)
        return [tf.identity(outputs[name], name=name) for name in heads]

    frozen = convert_variables_to_constants_v2(serve.get_concrete_function())
    # The converter wants something that owns the function; a bare function takes a deprecated path.
    owner = tf.Module()
    owner.function = frozen
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen], owner)


def _return_memory() -> None:
    """Gives freed memory back to the system, where the C library can.

    The converter copies a network many times; a row of conversions of heavy peaks at 3.6 GB without this, 2.7 GB with.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the converter's chatter off the terminal; its Python warnings are about its own deprecated parts."""
    with native_stderr(_CHATTER), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
