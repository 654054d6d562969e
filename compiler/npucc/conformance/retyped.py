"""Cases that ONNX's suite leaves out: its one-node models in every element type that the operator's schema allows.

A *seed* is a case of the suite with one node. For each type variable of the operator and each type it may stand for,
the operands that have the variable are converted to small numbers of that type, and the expected values are computed by
onnx.reference (else onnxruntime). `older` does the same for the earlier versions of an operator.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from npuisa.descriptor_encoding import integer_limits
from npuisa.dtypes import dtype_named, dtype_of_numpy
from npuisa.errors import NpuError
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.defs import OpSchema
from onnx.reference import ReferenceEvaluator

from npucc.conformance.cases import Case, cases_of
from npucc.element_conversion import converted, is_integer
from npucc.frontend.type_inference import infer_types
from npucc.reference import run_reference
from npucc.types import Array

TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype")
"""Attributes that say the element type of an output."""
ORDINARY = frozenset(("float32", "int32", "int64", "uint8", "bool"))
RTOL, ATOL = 1e-3, 1e-5
SEEDS = 6
"""Seeds of an operator that are tried until one can be retyped."""


@dataclass(frozen=True)
class Retyped:
    """A case of operator `op`: type variable `variable` stands for `element`, a name such as `float16`."""

    op: str
    variable: str
    element: str
    case: Case


class NotPossibleError(Exception):
    """No reference computes such a node, or the schema does not allow it."""


@cache
def seeds() -> dict[str, tuple[Case, ...]]:
    """Operator of ai.onnx -> cases with this node alone and tensors of numbers, ordinary types and small ones first."""
    found: dict[str, list[tuple[int, int, Case]]] = {}
    for case in cases_of("node").values():
        model, data = case.load()
        nodes = model.graph.node
        if len(nodes) != 1 or nodes[0].domain not in ("", "ai.onnx") or case.name.endswith("_expanded"):
            continue
        if any(attribute.HasField("g") for attribute in nodes[0].attribute):
            continue
        arrays = [value for value in data[0][0] if value is not None]
        if all(isinstance(a, np.ndarray | np.generic) and np.asarray(a).dtype.kind not in "OUST" for a in arrays):
            size = sum(np.asarray(array).size for array in arrays)
            rare = sum(np.asarray(array).dtype.name not in ORDINARY for array in arrays)
            found.setdefault(nodes[0].op_type, []).append((rare, size, case))
    return {
        op: tuple(case for *_, case in sorted(cases, key=lambda found: (*found[:2], found[2].name)))
        for op, cases in sorted(found.items())
    }


def allowed(schema: OpSchema) -> dict[str, tuple[str, ...]]:
    """Type variable -> the element types of tensors that it may stand for, strings left out."""
    return {
        constraint.type_param_str: tuple(
            name[len("tensor(") : -1]
            for name in sorted(constraint.allowed_type_strs)
            if name.startswith("tensor(") and name != "tensor(string)"
        )
        for constraint in schema.type_constraints
    }


def number_of(element: str) -> int:
    """TensorProto data type of a name in a schema."""
    return TensorProto.DataType.Value(element.upper())


def retyped_cases(op: str) -> Iterator[Retyped | tuple[str, str, str]]:
    """Every type of every variable of an operator: a case, or (variable, type, why there is none)."""
    schema = onnx.defs.get_schema(op)
    for variable, elements in allowed(schema).items():
        for element in elements:
            reason = "the suite has no one-node case"
            for seed in seeds().get(op, ())[:SEEDS]:
                try:
                    yield Retyped(op, variable, element, retyped(seed, schema, variable, element))
                    break
                except NotPossibleError as error:
                    reason = str(error)
            else:
                yield variable, element, reason


def retyped(seed: Case, schema: OpSchema, variable: str, element: str) -> Case:
    """The seed with `element` for `variable`."""
    model, data = seed.load()
    node = NodeProto()
    node.CopyFrom(model.graph.node[0])
    arrays = dict(zip((value.name for value in model.graph.input), map(np.asarray, data[0][0])))
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(number_of(element)))
    formal = [parameter.type_str for parameter in schema.inputs]
    bound = [name for index, name in enumerate(node.input) if formal[min(index, len(formal) - 1)] == variable]
    bound = [name for name in bound if name in arrays]
    if not bound and not _set_type_attribute(node, schema, number_of(element), dtype):
        raise NotPossibleError("no operand and no attribute has the type")
    if not bound and element == "float8e8m0":  # of other numbers the reference does not say what the standard does
        arrays = {name: np.asarray(np.abs(array) + 1).astype(array.dtype) for name, array in arrays.items()}
    for name in bound:
        arrays[name] = small_numbers(arrays[name], dtype)
    version = max(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    return _case(f"{seed.name}[{variable}={element}]", node, arrays, version)


def older(seed: Case, version: int) -> Case:
    """The seed as a model of an earlier opset."""
    model = seed.load()[0]
    if version != model.opset_import[0].version:
        try:
            model = onnx.version_converter.convert_version(model, version)
        except Exception as error:  # it has no class of its own for "no adapter"
            model = _declared_older(model, version, error)
    arrays = dict(zip((value.name for value in model.graph.input), map(np.asarray, seed.load()[1][0][0])))
    if len(model.graph.node) != 1:
        raise NotPossibleError("the version converter makes several nodes")
    return _case(f"{seed.name}[opset {version}]", model.graph.node[0], arrays, version)


def _declared_older(model: onnx.ModelProto, version: int, error: Exception) -> onnx.ModelProto:
    """The same model under another opset number, if it is valid there."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.opset_import[0].version = version
    try:
        onnx.checker.check_model(copy, full_check=True)
    except Exception:
        raise NotPossibleError(f"not convertible: {str(error).splitlines()[0][:80]}") from None
    return copy


def _set_type_attribute(node: NodeProto, schema: OpSchema, number: int, dtype: np.dtype[Any]) -> bool:
    """Let an attribute ask for the type."""
    for attribute in node.attribute:
        if attribute.name == "value" and attribute.type == AttributeProto.TENSOR:
            array = small_numbers(numpy_helper.to_array(attribute.t), dtype)
            attribute.t.CopyFrom(numpy_helper.from_array(array))
            return True
    name = next((name for name in TYPE_ATTRIBUTES if name in schema.attributes), None)
    if name is None:
        return False
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, number)])
    return True


def small_numbers(array: Array, dtype: np.dtype[Any]) -> Array:
    """`array` in another type: floats scaled to a few integers other than 0, numbers clipped to what the type holds."""
    if array.dtype == dtype:
        return array
    if dtype == np.bool_:
        return np.asarray(array.astype(np.float64) > 0)
    if dtype.kind == "c":
        return (array.astype(np.float64) * (1 + 0.5j)).astype(dtype)
    wide = np.real(array)
    if dtype == dtype_named("f8e8m0").numpy:
        return converted(np.exp2(np.rint(np.clip(wide.astype(np.float64), -4, 4))), dtype)
    if not is_integer(dtype):
        return converted(np.asarray(wide), dtype)
    low, high = integer_limits(dtype_of_numpy(dtype))
    if is_integer(array.dtype) or array.dtype == np.bool_:
        return np.clip(wide.astype(np.int64), low, min(high, 2**62)).astype(dtype)
    scaled = np.sign(wide) * (1 + np.floor(np.abs(wide.astype(np.float64)) * 4) % 3)
    return np.clip(np.where(scaled == 0, 1, scaled), max(low, -3), min(high, 3)).astype(np.int64).astype(dtype)


def _case(name: str, node: NodeProto, arrays: dict[str, Array], version: int) -> Case:
    """A case of one node, with the values that the reference computes."""
    imports = {"": version}
    inferred = infer_types(node, dict(arrays), "", imports)
    if inferred is None:
        raise NotPossibleError("ONNX infers no types for it")
    elements = {output: inferred[output].tensor_type.elem_type for output in node.output if output}
    inputs = [_info(key, array) for key, array in arrays.items()]
    outputs = [helper.make_tensor_value_info(output, number, None) for output, number in elements.items()]
    graph = helper.make_graph([node], "retyped", inputs, outputs)
    opsets = [helper.make_opsetid("", version)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    expected = [
        converted(value, np.dtype(helper.tensor_dtype_to_np_dtype(number))) if value.dtype.kind not in "cO" else value
        for value, number in zip(_expected(model, arrays), elements.values())
    ]
    return Case(name, "retyped", RTOL, ATOL, lambda: (model, [(list(arrays.values()), expected)]))


def _info(name: str, array: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _expected(model: onnx.ModelProto, arrays: dict[str, Array]) -> list[Array]:
    """Values of the outputs by onnx.reference, else onnxruntime."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            values = ReferenceEvaluator(model).run(None, arrays)
            return [np.asarray(value) for value in values]
        except Exception:  # whatever its NumPy code raises for types that it was not written for
            pass
        try:
            found = run_reference(model, arrays)
        except NpuError:
            raise NotPossibleError("no reference computes it") from None
        return [found[output.name] for output in model.graph.output]
