"""The LiteRT quantizer, for comparison: files that run here, and reasons where there is none."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import real_networks
import strangers
from blazeport.errors import ConfigError, ConversionError
from blazeport.models.cost import cost_of
from blazeport.quantize.litert import litert_int8
from blazeport.runtime.interpreter import Model
from blazeport.weights.reader import read_tflite

FACE = "face_detection_short_range"


@pytest.mark.parametrize(("io_type", "dtype"), [("float", np.float32), ("int8", np.int8)])
def test_a_file_is_quantized_quietly(io_type, dtype: type, capfd: pytest.CaptureFixture):
    inputs = real_networks.real_inputs(FACE)[:3]
    content = litert_int8(real_networks.exported(FACE, "all", "fp32"), inputs, io_type)
    model = Model(content)
    assert model.input_dtype == dtype
    assert list(model.outputs) == ["boxes", "scores"]
    assert np.isfinite(model.run(inputs[0])["scores"]).all()
    assert cost_of(read_tflite(content)).int8_share == 1.0
    assert capfd.readouterr() == ("", "")


def test_an_operator_it_does_not_know_stays_in_float():
    sparse = "face_detection_full_range_sparse"
    content = litert_int8(real_networks.exported(sparse, "all", "fp32"), real_networks.real_inputs(sparse)[:1], "float")
    graph = read_tflite(content)
    dtypes = {graph.tensors[op.outputs[0]].dtype for op in graph.ops if op.kind == "DEPTH_TO_SPACE"}
    assert dtypes == {"float32"}
    assert cost_of(graph).int8_share == 1.0


def test_unsigned_input_is_not_to_be_had():
    with pytest.raises(ConfigError, match=r"float or int8 inputs and outputs\. Received: --io uint8"):
        litert_int8(b"", [], "uint8")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    with pytest.raises(ConfigError, match=r"needs litert-quantizer\. Install it: blazeport\[quantize\]"):
        litert_int8(b"", [], "float")


def test_what_it_refuses_is_an_error_with_its_reason():
    with pytest.raises(ConversionError, match=r"The LiteRT quantizer cannot quantize this network: .+ Use --method"):
        litert_int8(strangers.stranger(), [np.zeros((1, 2, 2, 3), np.float32)], "float")
