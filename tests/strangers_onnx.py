"""ONNX models that are none of blazeport's: small, with random weights, and with every kind of fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def float_input(name: str, *shape: int | str):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes, inputs, outputs, constants=(), *, opset: int = 17, ir_version: int = 8, domains=()):
    graph = helper.make_graph(nodes, "stranger", inputs, outputs, list(constants))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def convolutional(*, size: int = 48, plain: bool = False):
    """NCHW, like PyTorch's: Conv, PRelu, residual Conv, GlobalAveragePool, Gemm; outputs `heat map` and `flag`.

    `plain` has a Relu instead, and no `flag`.
    """
    rng = np.random.default_rng(0)

    def constant(name: str, *shape: int):
        fan_in = max(1, int(np.prod(shape[1:])))
        return numpy_helper.from_array((rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32), name)

    constants = [
        constant("stem.weight", 16, 3, 3, 3),
        constant("stem.bias", 16),
        constant("slope", 16, 1, 1),
        constant("block.weight", 16, 16, 3, 3),
        constant("block.bias", 16),
        constant("heat.weight", 5, 16, 1, 1),
        constant("heat.bias", 5),
        constant("flag.weight", 2, 16),
        constant("flag.bias", 2),
    ]
    nodes = [
        helper.make_node("Conv", ["in/put.1", "stem.weight", "stem.bias"], ["stem"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("PRelu", ["stem", "slope"], ["active"]),
        helper.make_node("Conv", ["active", "block.weight", "block.bias"], ["block"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["active", "block"], ["sum"]),
        helper.make_node("Conv", ["sum", "heat.weight", "heat.bias"], ["heat map"]),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "flag.weight", "flag.bias"], ["flag"], transB=1),
    ]
    if plain:
        nodes = [nodes[0], helper.make_node("Relu", ["stem"], ["active"]), *nodes[2:5]]
        constants = [each for each in constants if each.name[:4] not in ("slop", "flag")]
        heat = float_input("heat map", 1, 5, size // 2, size // 2)
        return model(nodes, [float_input("in/put.1", 1, 3, size, size)], [heat], constants)
    return model(
        nodes,
        [float_input("in/put.1", 1, 3, size, size)],
        [float_input("heat map", 1, 5, size // 2, size // 2), float_input("flag", 1, 2)],
        constants,
    )


def vectors():
    """No image: two vectors, added and multiplied with a matrix."""
    matrix = numpy_helper.from_array(np.random.default_rng(1).standard_normal((8, 4)).astype(np.float32), "matrix")
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("MatMul", ["sum", "matrix"], ["y"])]
    return model(nodes, [float_input("a", 1, 8), float_input("b", 1, 8)], [float_input("y", 1, 4)], [matrix])


def permuted(proto):
    """The same model with the kernel of its last Conv wrong: its input channels in reverse order."""
    copy = type(proto)()
    copy.CopyFrom(proto)
    name = [node.input[1] for node in copy.graph.node if node.op_type == "Conv"][-1]
    (kernel,) = (each for each in copy.graph.initializer if each.name == name)
    kernel.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(kernel)[:, ::-1]), name))
    return copy


def one_node(kind: str, *, domain: str = "", opset: int = 17, shape: tuple[int | str, ...] = (1, 4)):
    node = helper.make_node(kind, ["x"], ["y"], domain=domain)
    domains = (domain,) if domain else ()
    return model([node], [float_input("x", *shape)], [float_input("y", *shape)], opset=opset, domains=domains)


def huge_constant(*dims: int):
    """A constant that declares far more than it holds."""
    proto = one_node("Relu")
    proto.graph.initializer.append(TensorProto(name="big", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"1234"))
    return proto


def huge_map():
    """A small file that computes a tensor of 4 TB."""
    size = numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "size")
    nodes = [
        helper.make_node("Relu", ["x"], ["z"]),
        helper.make_node("ConstantOfShape", ["size"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["total"], keepdims=0),
        helper.make_node("Add", ["z", "total"], ["y"]),
    ]
    return model(nodes, [float_input("x", 1, 4)], [float_input("y", 1, 4)], [size])


def external(location: str, *, offset: str = "0", length: str = "16"):
    """A model whose constant lies in another file."""
    proto = one_node("Relu")
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": offset, "length": length}.items():
        tensor.external_data.add(key=key, value=value)
    proto.graph.initializer.append(tensor)
    proto.graph.node[0].op_type = "Add"
    proto.graph.node[0].input.append("far")
    return proto


def save(proto, path: Path) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


def run(proto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, inputs), strict=True))


def load(path: Path):
    return onnx.load(path)
