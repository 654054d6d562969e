"""What random models have found, each reduced to what it needs."""

from __future__ import annotations

import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from npucc.backend import prepare
from onnx import helper

sys.path.insert(0, str(Path(__file__).parent))  # makes the modules of the campaign importable

from model_graph import IR_VERSION, Array, tensor_info
from model_references import close, references

F32, BF16 = np.float32, ml_dtypes.bfloat16


def check(nodes: list[onnx.NodeProto], inputs: dict[str, Array], opset: int, outputs: int = 1) -> None:
    """The results of the last node agree with those references that run the model."""
    names = [name for name in nodes[-1].output if name][:outputs]
    graph = helper.make_graph(
        nodes, "found", [tensor_info(*item) for item in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in names],
    )  # fmt: skip
    untyped = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)
    model = onnx.shape_inference.infer_shapes(untyped, strict_mode=True)
    known = references(model, inputs)
    assert known, "no reference runs it"
    found = prepare(model).run(inputs)
    for place, value in enumerate(found):
        assert any(close(value, reference.outputs[place]) for reference in known), (value, known[0].outputs[place])


def node(op: str, inputs: str, outputs: str = "y", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


@pytest.mark.parametrize("shape", [(0, 1, 3), (7, 3, 0, 1), (2, 0)])
def test_hardmax_of_old_opsets_keeps_the_shape_of_empty_tensors(shape: tuple[int, ...]) -> None:
    check([node("Hardmax", "x", axis=-1 % len(shape))], {"x": np.zeros(shape, F32)}, 8)


@pytest.mark.parametrize(("a", "b"), [((4,), (4, 3)), ((2, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4,))])
def test_integer_products_of_vectors(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    inputs = {"a": rng.integers(0, 255, a).astype(np.uint8), "b": rng.integers(-128, 127, b).astype(np.int8)}
    zeros = {"az": np.array(3, np.uint8), "bz": np.array(-2, np.int8)}
    check([node("MatMulInteger", "a b az bz")], inputs | zeros, 15)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_element_wise_ops_behind_a_lookup_of_one_element(reduction: str) -> None:
    """f(reshape(lookup)) became reshape(f(lookup)) without the axes of the lookup."""
    inputs = {"x": np.array([[1, 2, 3]], F32), "l": np.array([2])}
    check([node("NegativeLogLikelihoodLoss", "x l", reduction=reduction)], inputs, 17)


@pytest.mark.parametrize("dtype", ["int32", "float64", "uint64"])
@pytest.mark.parametrize("dims", [((7, 1, 0), (7, 0, 1)), ((2, 0), (0, 3))])
def test_products_without_terms_are_zero(dtype: str, dims: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Of types that the vector engine multiplies."""
    check([node("MatMul", "a b")], {name: np.zeros(shape, dtype) for name, shape in zip("ab", dims)}, 14)


@pytest.mark.parametrize("alpha", [-0.5, -2.0, 0.5])
def test_celu_of_any_sign(alpha: float) -> None:
    check([node("Celu", "x", alpha=alpha)], {"x": np.array([0.46, -0.02, 0.0, -3.0, 2.0], F32)}, 18)


@pytest.mark.parametrize("dtype", ["uint32", "int8", "int64"])
def test_error_function_of_integers(dtype: str) -> None:
    check([node("Erf", "x")], {"x": np.array([0, 1, 4, 5, 6, 7, 100], dtype)}, 13)
