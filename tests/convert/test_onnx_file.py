"""Reading .onnx files: what they hold, and one clear error for each fault, before anything of them is run."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import strangers_onnx as strangers
from blazeport.convert.onnx_file import read_onnx, require_onnx2tf_operators
from blazeport.errors import BlazeportError, ConversionError, InputError


def test_a_model_is_read_with_its_inputs_outputs_and_opset(tmp_path: Path):
    file = read_onnx(strangers.save(strangers.convolutional(), tmp_path / "x.onnx"))
    assert {name: spec.shape for name, spec in file.inputs.items()} == {"in/put.1": (1, 3, 48, 48)}
    assert {name: spec.shape for name, spec in file.outputs.items()} == {"heat map": (1, 5, 24, 24), "flag": (1, 2)}
    assert (file.opset, file.variant) == (17, None)
    require_onnx2tf_operators(file)


def test_external_data_in_its_folder_are_read(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "far.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    file = read_onnx(strangers.save(strangers.external("data/far.bin"), tmp_path / "x.onnx"))
    result = file.runner()({"x": np.ones((1, 4), np.float32)})["y"]
    np.testing.assert_array_equal(result, [[1, 2, 3, 4]])


FAULTS = {
    "empty": (lambda: b"", InputError, "it has no operators or no outputs"),
    "text": (lambda: b"this is no model at all", InputError, "is not an ONNX model"),
    "truncated": (
        lambda: strangers.convolutional().SerializeToString()[:3000],
        InputError,
        "is not an ONNX model",
    ),
    "dynamic batch": (lambda: strangers.one_node("Relu", shape=("batch", 4)), InputError, "[batch, 4]: static shapes"),
    "unknown operator": (lambda: strangers.one_node("Frobnicate"), ConversionError, "not standard ONNX: Frobnicate"),
    "foreign domain": (
        lambda: strangers.one_node("Magic", domain="com.example"),
        ConversionError,
        "not standard ONNX: com.example.Magic",
    ),
    "opset too new": (lambda: strangers.one_node("Relu", opset=999), ConversionError, "has opset 999; the installed"),
    "IR too new": (
        lambda: strangers.model(
            [strangers.helper.make_node("Relu", ["x"], ["y"])],
            [strangers.float_input("x", 1)],
            [strangers.float_input("y", 1)],
            ir_version=99,
        ),
        ConversionError,
        "has IR version 99",
    ),
    "huge constant": (lambda: strangers.huge_constant(1 << 20, 1 << 20), InputError, "which is too large"),
    "overflowing constant": (lambda: strangers.huge_constant(1 << 62, 1 << 62), InputError, "which is too large"),
    "negative constant": (lambda: strangers.huge_constant(-4), InputError, "which is too large"),
    "short constant": (lambda: strangers.huge_constant(64), InputError, "is malformed"),
    "huge map": (strangers.huge_map, InputError, "has the shape [1048576, 1048576], which is too large"),
    "absolute external data": (lambda: strangers.external("/etc/passwd"), InputError, "must lie in its folder"),
    "escaping external data": (lambda: strangers.external("../secret.bin"), InputError, "must lie in its folder"),
    "Windows external data": (lambda: strangers.external("C:\\secret.bin"), InputError, "must lie in its folder"),
    "no external location": (lambda: strangers.external(""), InputError, "must lie in its folder"),
    "missing external data": (lambda: strangers.external("far.bin"), InputError, "which is not there"),
    "short external data": (
        lambda: strangers.external("near.bin", length="4000"),
        InputError,
        "beyond the end of near.bin, which has 16 bytes",
    ),
    "negative external offset": (lambda: strangers.external("near.bin", offset="-8"), InputError, "beyond the end"),
    "external offset is a word": (lambda: strangers.external("near.bin", offset="x"), InputError, "are no numbers"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_clear_error(tmp_path: Path, fault: str):
    make, error, reason = FAULTS[fault]
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "near.bin").write_bytes(bytes(16))
    made = make()
    content = made if isinstance(made, bytes) else made.SerializeToString()
    (folder / "x.onnx").write_bytes(content)
    with pytest.raises(error) as caught:
        read_onnx(folder / "x.onnx")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_external_data_behind_a_link_out_of_the_folder_are_refused(tmp_path: Path):
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "near.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(InputError, match="must lie in its folder"):
        read_onnx(strangers.save(strangers.external("near.bin"), tmp_path / "models" / "x.onnx"))


def test_every_damaged_byte_is_an_error_of_ours_or_reads(tmp_path: Path):
    content = bytearray(strangers.convolutional(size=8).SerializeToString())
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "x.onnx").write_bytes(damaged)
        with contextlib.suppress(BlazeportError):
            read_onnx(tmp_path / "x.onnx")


def test_an_operator_that_only_onnx2tf_lacks_is_named(tmp_path: Path):
    file = read_onnx(strangers.save(strangers.one_node("DFT", shape=(1, 4, 2)), tmp_path / "x.onnx"))
    with pytest.raises(ConversionError, match="operators that onnx2tf does not know: DFT"):
        require_onnx2tf_operators(file)
