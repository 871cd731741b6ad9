"""Google's LiteRT quantizer, for comparison: static min-max int8, weights per channel."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ..convert.flatbuffer import SIGNATURE_KEY, pack
from ..convert.precisions import Io
from ..errors import ConfigError, ConversionError
from ..quiet import native_stderr
from ..runtime.interpreter import NATIVE_CHATTER


def litert_int8(content: bytes, samples: Sequence[np.ndarray], io_type: Io) -> bytes:
    """Quantizes a file.

    Args:
        content: an fp32 .tflite file with a signature whose input is `image`.
        samples: calibration inputs, float32 `(1, S, S, 3)` in the network's range.
        io_type: type of the image and the outputs; `uint8` is not to be had.
    Returns:
        The .tflite file. Operators that the quantizer does not know stay in float.
    Raises:
        ConfigError: litert-quantizer is not installed, or `io_type` is uint8.
        ConversionError: the quantizer refuses the file.
    """
    if io_type == "uint8":
        raise ConfigError("--method litert makes float or int8 inputs and outputs. Received: --io uint8.")
    try:
        from litert_quantizer import algorithm_manager, qtyping, quantizer, recipe
    except ImportError as error:
        raise ConfigError("--method litert needs litert-quantizer. Install it: blazeport[quantize].") from error
    try:
        with _quiet():
            chosen = quantizer.Quantizer(content, recipe.static_wi8_ai8())
            if io_type == "float":
                names = qtyping.TFLOperationName
                for name in (names.INPUT, names.OUTPUT):
                    chosen.update_quantization_recipe(
                        ".*", name, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
                    )
            seen = chosen.calibrate({SIGNATURE_KEY: [{"image": sample} for sample in samples]}, num_threads=1)
            made = chosen.quantize(seen, enable_progress_bar=False, enable_progress_report=False)
    except Exception as error:  # It raises whatever its algorithms raise.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConversionError(
            f"The LiteRT quantizer cannot quantize this network: {reason} Use --method blazeport."
        ) from error
    return _with_buffers_inside(bytes(made.quantized_model))


def _with_buffers_inside(content: bytes) -> bytes:
    """The same file with every constant in the flatbuffer; the quantizer appends them behind it."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return pack(model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the quantizer's progress bars, report and warnings about its own calls off the terminal."""
    with (
        native_stderr(NATIVE_CHATTER),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
