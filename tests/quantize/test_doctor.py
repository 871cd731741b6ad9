"""The doctor on official files, int8 files, and files broken by hand: every rule fires, and keeps quiet."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tflite_surgery as surgery
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from blazeport.cli.main import main
from blazeport.errors import BlazeportError, ConfigError, WeightsError
from blazeport.quantize.delegates import DELEGATES, HEXAGON_INT8, Support, support_table
from blazeport.quantize.doctor import RULES, Diagnosis, code_table, doctor
from blazeport.weights.reader import Op, read_tflite
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
NAME = "face_detection_short_range"
KINDS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
NO_MEDIA: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Ward:
    """Files to examine: official ones, and an int8 one that blazeport wrote."""

    short: bytes
    dense: bytes
    pose: bytes
    lite: bytes
    int8: bytes


@pytest.fixture(scope="session")
def ward(official: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Ward:
    path = tmp_path_factory.mktemp("int8") / "face.tflite"
    command = ["quantize", NAME, "--method", "tflite", "--samples", "5", "-o", str(path)]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return Ward(
        short=official(NAME).read_bytes(),
        dense=official("face_detection_full_range").read_bytes(),
        pose=official("pose_detection").read_bytes(),
        lite=official("pose_landmark_lite").read_bytes(),
        int8=path.read_bytes(),
    )


def edited(data: bytes, edit: Callable[[schema.ModelT], None]) -> bytes:
    model = surgery.read(data)
    edit(model)
    return surgery.write(model)


def kind_of(model: schema.ModelT, op: schema.OperatorT) -> str:
    code = model.operatorCodes[op.opcodeIndex]
    return KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)]


def ops(model: schema.ModelT, kind: str) -> list[schema.OperatorT]:
    return [op for op in model.subgraphs[0].operators if kind_of(model, op) == kind]


def new_code(model: schema.ModelT, builtin: int, custom: str | None = None) -> int:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
    code.customCode = custom and custom.encode()
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def copied(model: schema.ModelT, index: int, dtype: int) -> int:
    """A new computed tensor of the shape of another."""
    tensors = model.subgraphs[0].tensors
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.buffer = tensors[index].shape, dtype, 0
    tensor.name = f"added_{len(tensors)}".encode()
    if dtype == schema.TensorType.INT8:
        tensor.quantization = tensors[index].quantization
    tensors.append(tensor)
    return len(tensors) - 1


def chain_before_last_pool(model: schema.ModelT, kinds: list[int]) -> None:
    """Puts a chain of unary operators before the last MAX_POOL_2D; floats between DEQUANTIZE and QUANTIZE."""
    graph, pool = model.subgraphs[0], ops(model, "MAX_POOL_2D")[-1]
    position, source = graph.operators.index(pool), int(pool.inputs[0])
    for offset, kind in enumerate(kinds):
        last = kind == schema.BuiltinOperator.QUANTIZE
        target = copied(model, int(pool.inputs[0]), schema.TensorType.INT8 if last else schema.TensorType.FLOAT32)
        op = schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = new_code(model, kind), [source], [target]
        graph.operators.insert(position + offset, op)
        source = target
    pool.inputs = [source]


def ping_pong(model: schema.ModelT) -> None:
    chain_before_last_pool(model, [schema.BuiltinOperator.DEQUANTIZE, schema.BuiltinOperator.QUANTIZE])


def float_island(model: schema.ModelT) -> None:
    builtin = schema.BuiltinOperator
    chain_before_last_pool(model, [builtin.DEQUANTIZE, builtin.RELU, builtin.QUANTIZE])


def flex_op(model: schema.ModelT) -> None:
    ops(model, "RELU")[0].opcodeIndex = new_code(model, schema.BuiltinOperator.CUSTOM, "FlexErf")


def stride_of_four(model: schema.ModelT) -> None:
    options = ops(model, "CONV_2D")[0].builtinOptions
    options.strideH = options.strideW = 4


def one_weight_scale(model: schema.ModelT) -> None:
    kernel = model.subgraphs[0].tensors[ops(model, "CONV_2D")[3].inputs[1]]
    kernel.quantization.scale, kernel.quantization.zeroPoint = [kernel.quantization.scale[0]], [0]


def kernel_values(model: schema.ModelT) -> np.ndarray:
    """The stored kernel of the fourth convolution of an fp16 file, writable: `(channels, weights)` float16."""
    graph = model.subgraphs[0]
    unpack = next(op for op in graph.operators if op.outputs[0] == ops(model, "CONV_2D")[3].inputs[1])
    tensor = graph.tensors[unpack.inputs[0]]
    buffer = model.buffers[tensor.buffer]
    values = np.array(buffer.data, np.uint8)
    buffer.data = values
    return values.view(np.float16).reshape(tensor.shape[0], -1)


def wide_channel(model: schema.ModelT) -> None:
    kernel_values(model)[0] *= 200


def add_of_the_photo(model: schema.ModelT) -> None:
    add = ops(model, "ADD")[2]
    add.inputs = [add.inputs[0], model.subgraphs[0].inputs[0]]


def nan_weight(model: schema.ModelT) -> None:
    kernel_values(model)[:] = np.nan


def int8_weights_only(model: schema.ModelT) -> None:
    """Gives one float convolution an int8 kernel."""
    graph, conv = model.subgraphs[0], ops(model, "CONV_2D")[3]
    kernel = copied(model, int(conv.inputs[1]), schema.TensorType.INT8)
    buffer = schema.BufferT()
    buffer.data = np.ones(np.prod(graph.tensors[kernel].shape), np.uint8)
    model.buffers.append(buffer)
    graph.tensors[kernel].buffer = len(model.buffers) - 1
    graph.tensors[kernel].quantization = schema.QuantizationParametersT()
    graph.tensors[kernel].quantization.scale, graph.tensors[kernel].quantization.zeroPoint = [0.01], [0]
    conv.inputs = [conv.inputs[0], kernel, conv.inputs[2]]


def int16_pool(model: schema.ModelT) -> None:
    model.subgraphs[0].tensors[ops(model, "MAX_POOL_2D")[0].inputs[0]].type = schema.TensorType.INT16


def scores_of_scale(scale: float) -> Callable[[schema.ModelT], None]:
    """Gives every int8 tensor of the scores this scale, and boxes 0.5 px."""

    def edit(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        reached = {int(index): (scale, 100) for index in graph.outputs[1:]} | {int(graph.outputs[0]): (0.5, 0)}
        for op in reversed(graph.operators):
            if op.outputs[0] in reached and kind_of(model, op) in ("DEQUANTIZE", "CONCATENATION", "RESHAPE"):
                for index in op.inputs:
                    reached[int(index)] = reached[int(op.outputs[0])]
        for index, (step, zero_point) in reached.items():
            tensor = graph.tensors[index]
            if tensor.type == schema.TensorType.INT8:
                tensor.quantization.scale, tensor.quantization.zeroPoint = [step], [zero_point]

    return edit


def pooled_scale(model: schema.ModelT) -> None:
    """Makes the scale of one activation and of all that must share it 50 times wider than its values."""
    graph, pool = model.subgraphs[0], ops(model, "MAX_POOL_2D")[0]
    for index in (*pool.inputs, *pool.outputs):
        tensor = graph.tensors[index]
        tensor.quantization.scale = [50 * tensor.quantization.scale[0]]
    for op in ops(model, "PAD"):
        if op.inputs[0] in pool.outputs:
            graph.tensors[op.outputs[0]].quantization.scale = graph.tensors[pool.outputs[0]].quantization.scale


def open_batch(model: schema.ModelT) -> None:
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shapeSignature = [-1, 128, 128, 3]


def batch_of_two(model: schema.ModelT) -> None:
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shape = [2, 128, 128, 3]


def signed(model: schema.ModelT) -> None:
    surgery.sign(model, ["boxes", "scores"])


# Code → (a file it fires on, a file it does not fire on, whether they are run).
CASES: dict[str, tuple[Callable[[Ward], bytes], Callable[[Ward], bytes], bool]] = {
    "run-failed": (lambda w: edited(w.short, add_of_the_photo), lambda w: w.short, True),
    "custom-op": (lambda w: edited(w.short, flex_op), lambda w: w.short, False),
    "output-dead": (lambda w: edited(w.short, nan_weight), lambda w: w.short, True),
    "output-step": (
        lambda w: edited(w.int8, scores_of_scale(3.4)),
        lambda w: edited(w.int8, scores_of_scale(0.08)),
        False,
    ),
    "output-range": (lambda w: w.short, lambda w: w.dense, True),
    "activation-scale": (lambda w: edited(w.int8, pooled_scale), lambda w: edited(w.int8, scores_of_scale(0.08)), True),
    "weight-channel-disparity": (lambda w: edited(w.short, wide_channel), lambda w: w.short, False),
    "weight-outlier": (lambda w: w.lite, lambda w: w.short, False),
    "per-tensor-weights": (lambda w: edited(w.int8, one_weight_scale), lambda w: w.int8, False),
    "float-island": (lambda w: edited(w.int8, float_island), lambda w: w.int8, False),
    "ping-pong": (lambda w: edited(w.int8, ping_pong), lambda w: w.int8, False),
    "int16-activations": (lambda w: edited(w.int8, int16_pool), lambda w: w.int8, False),
    "delegate-fallback": (lambda w: edited(w.int8, stride_of_four), lambda w: w.int8, False),
    "sparse-weights": (lambda w: w.pose, lambda w: w.short, False),
    "dynamic-shape": (lambda w: edited(w.short, open_batch), lambda w: w.short, False),
    "batch": (lambda w: edited(w.short, batch_of_two), lambda w: w.short, False),
    "no-signature": (lambda w: w.short, lambda w: edited(w.short, signed), False),
    "unnamed-output": (lambda w: w.pose, lambda w: w.short, False),
    "delegate-depends": (lambda w: w.pose, lambda w: w.short, False),
    "fp16-weights": (lambda w: w.short, lambda w: w.int8, False),
    "dynamic-range": (lambda w: edited(w.short, int8_weights_only), lambda w: w.int8, False),
    "int8-share": (lambda w: w.int8, lambda w: w.short, False),
    "not-run": (lambda w: edited(w.short, batch_of_two), lambda w: w.short, True),
}


def examine(data: bytes, folder: Path, *, run: bool = False) -> Diagnosis:
    path = folder / "file.tflite"
    path.write_bytes(data)
    return doctor(path, media=None if run else NO_MEDIA)


def codes(diagnosis: Diagnosis) -> set[str]:
    return {finding.code for finding in diagnosis.findings}


def test_every_rule_has_a_case():
    assert [rule.code for rule in RULES] == list(CASES)


@pytest.mark.parametrize("code", CASES)
def test_a_rule_fires_where_it_should(code: str, ward: Ward, tmp_path: Path):
    fires, _, run = CASES[code]
    found = [each for each in examine(fires(ward), tmp_path, run=run).findings if each.code == code]
    assert found
    assert all(each.where and each.what and each.why and each.do for each in found)


@pytest.mark.parametrize("code", CASES)
def test_a_rule_keeps_quiet_on_a_good_file(code: str, ward: Ward, tmp_path: Path):
    _, silent, run = CASES[code]
    assert code not in codes(examine(silent(ward), tmp_path, run=run))


def test_the_worst_findings_come_first(ward: Ward, tmp_path: Path):
    diagnosis = examine(edited(ward.pose, lambda model: surgery.keep_outputs(model, [0, 0])), tmp_path)
    severities = [finding.severity for finding in diagnosis.findings]
    assert severities == sorted(severities, reverse=True)
    assert len(set(severities)) > 1


def test_the_official_detector_is_warned_of_how_many_logits_one_step_would_cover(ward: Ward, tmp_path: Path):
    diagnosis = examine(ward.short, tmp_path, run=True)
    (finding,) = [each for each in diagnosis.findings if each.code == "output-range"]
    assert finding.where == "classificators"
    assert "one int8 step would cover 2.6 logits" in finding.what
    assert (diagnosis.variants, diagnosis.num_inputs) == ((NAME,), 7)
    assert not diagnosis.at_least("error")


def test_a_step_a_little_too_coarse_is_a_warning(ward: Ward, tmp_path: Path):
    diagnosis = examine(edited(ward.int8, scores_of_scale(1.0)), tmp_path)
    assert "output-step" in {each.code for each in diagnosis.at_least("warning")}
    assert "output-step" not in {each.code for each in diagnosis.at_least("error")}


def test_a_shape_operator_is_a_dynamic_shape(ward: Ward, tmp_path: Path):
    def edit(model: schema.ModelT) -> None:
        ops(model, "RELU")[0].opcodeIndex = new_code(model, schema.BuiltinOperator.SHAPE)

    assert "dynamic-shape" in codes(examine(edited(ward.short, edit), tmp_path))


def test_the_share_of_int8_is_that_of_the_multiply_accumulates(ward: Ward, tmp_path: Path):
    (finding,) = [each for each in examine(ward.int8, tmp_path).findings if each.code == "int8-share"]
    assert finding.what == "100.0% of 30.8 M multiply-accumulates run in int8"


def test_a_strangers_file_is_examined_but_not_run(ward: Ward, tmp_path: Path):
    def edit(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        graph.inputs = [*graph.inputs, copied(model, int(graph.inputs[0]), schema.TensorType.FLOAT32)]

    diagnosis = examine(edited(ward.short, edit), tmp_path, run=True)
    (finding,) = [each for each in diagnosis.findings if each.code == "not-run"]
    assert "its 2 inputs ([1, 128, 128, 3], [1, 128, 128, 3])" in finding.what
    assert (diagnosis.variants, diagnosis.num_inputs) == ((), 0)


def test_damaged_files_are_errors_or_findings_and_never_anything_else(ward: Ward, tmp_path: Path):
    rng = random.Random(4)
    outcomes = set()
    for _ in range(80):
        # Structure lies at the ends of the file; the middle is weights.
        data = bytearray(ward.int8)
        for _ in range(rng.choice((1, 4))):
            position = rng.choice((rng.randrange(8, 20_000), rng.randrange(len(data) - 60_000, len(data))))
            data[position] = rng.randrange(256)
        try:
            outcomes.add(type(examine(bytes(data), tmp_path)))
        except BlazeportError as error:
            outcomes.add(type(error))
    assert outcomes == {Diagnosis, WeightsError}


def test_an_operator_without_its_operands_is_an_error(ward: Ward, tmp_path: Path):
    def edit(model: schema.ModelT) -> None:
        ops(model, "CONV_2D")[0].inputs = [0]

    with pytest.raises(WeightsError, match="a CONV_2D has 1 inputs and 1 outputs, which is too few"):
        examine(edited(ward.short, edit), tmp_path)


def test_an_unknown_severity_lists_the_known_ones(ward: Ward, tmp_path: Path):
    with pytest.raises(ConfigError, match="info, warning, error"):
        examine(ward.short, tmp_path).at_least("fatal")


@pytest.mark.parametrize("name", ["short", "dense", "pose", "int8"])
def test_xnnpack_takes_whole_files_as_its_table_says(name: str, ward: Ward, tmp_path: Path):
    """LiteRT appends one DELEGATE operator for each part of the graph that XNNPACK took."""
    data = getattr(ward, name)
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    taken = [op["op_name"] for op in interpreter._get_ops_details()]
    assert taken.count("DELEGATE") == 1
    assert not [each for each in examine(data, tmp_path).findings if each.what.startswith("XNNPACK")]


def test_a_delegates_answer_is_yes_no_or_unknown(ward: Ward):
    graph = read_tflite(ward.int8)
    answers = {}
    for delegate in DELEGATES:
        answers[delegate.name] = [
            delegate.support(Op(kind=kind, inputs=(0,), outputs=(1,)), graph)[0] for kind in ("LOGISTIC", "SEGMENT_SUM")
        ]
    yes, no, unknown = Support.YES, Support.NO, Support.UNKNOWN
    assert answers == {
        "XNNPACK float": [yes, unknown],
        "XNNPACK int8": [yes, unknown],
        "GPU delegate": [yes, no],
        "NNAPI int8": [yes, no],
        "Hexagon int8": [yes, no],
    }
    assert HEXAGON_INT8.support(Op(kind="CONV_2D", inputs=(0,), outputs=(1,), stride=(4, 4)), graph)[0] is no


def test_every_operator_of_the_delegate_tables_exists():
    assert {kind for delegate in DELEGATES for kind in delegate.ops} <= set(KINDS.values())
    assert all(set(each.depends) | set(each.limits) <= set(each.ops) and each.source for each in DELEGATES)


def test_the_documentation_holds_both_tables():
    page = (ROOT / "docs" / "doctor.md").read_text()
    assert code_table() in page
    assert support_table() in page
