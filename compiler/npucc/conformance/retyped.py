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

import ml_dtypes
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
TOLERANCES = {"float16": (5e-3, 2e-3), "bfloat16": (3e-2, 2e-2)}
"""Of a few roundings of a 16-bit type: the reference rounds after each operation."""
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
        arrays = data[0][0]
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
    for name in bound:
        arrays[name] = small_numbers(arrays[name], dtype)
    _make_valid(node, arrays, element, bound)
    version = max(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    return _case(f"{seed.name}[{variable}={element}]", node, arrays, version)


def older(seed: Case, version: int) -> Case:
    """The seed as a model of an earlier opset."""
    model = seed.load()[0]
    arrays = dict(zip((value.name for value in model.graph.input), map(np.asarray, seed.load()[1][0][0])))
    if version != model.opset_import[0].version:
        model = _converted(model, arrays, version)
    if len(model.graph.node) != 1:
        raise NotPossibleError("the version converter makes several nodes")
    node = model.graph.node[0]
    used = {name: array for name, array in arrays.items() if name in node.input}
    return _case(f"{seed.name}[opset {version}]", node, used, version)


def _converted(model: onnx.ModelProto, arrays: dict[str, Array], version: int) -> onnx.ModelProto:
    """By onnx's version converter; its adapters want to see axes and shapes as constants."""
    try:
        return onnx.version_converter.convert_version(_with_constants(model, arrays), version)
    except Exception:  # it has no class of its own for "no adapter"
        pass
    try:
        return onnx.version_converter.convert_version(model, version)
    except Exception as error:  # as above
        return _declared_older(model, version, error)


def _with_constants(model: onnx.ModelProto, arrays: dict[str, Array]) -> onnx.ModelProto:
    """Vectors of i64 behind the first input as initializers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    fixed = {name for name, array in list(arrays.items())[1:] if array.dtype == np.int64 and array.ndim < 2}
    kept = [value for value in copy.graph.input if value.name not in fixed]
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    copy.graph.initializer.extend(numpy_helper.from_array(arrays[name], name) for name in fixed)
    return copy


def _declared_older(model: onnx.ModelProto, version: int, error: Exception) -> onnx.ModelProto:
    """The same model under another opset number, if it is valid there."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.opset_import[0].version = version
    try:
        onnx.checker.check_model(copy, full_check=True)
    except Exception:  # checker and shape inference raise different classes
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


def _make_valid(node: NodeProto, arrays: dict[str, Array], element: str, bound: list[str]) -> None:
    """What an operator asks beyond its schema, or its reference does not compute as the standard says."""
    if node.op_type == "BitCast":
        _same_width(node, arrays, number_of(element), bool(bound))
    if element.startswith("complex"):
        if node.op_type in ("Resize", "Upsample"):
            raise NotPossibleError("the reference leaves out imaginary parts")
        kept = [attribute for attribute in node.attribute if attribute.name != "reduction"]  # there is no order
        del node.attribute[:]
        node.attribute.extend(kept)
    if node.op_type in ("Cast", "CastLike") and element == "float8e8m0" and node.input[0] not in bound:
        x = arrays[node.input[0]]  # float8e8m0 of numbers that are not positive
        arrays[node.input[0]] = np.asarray(np.abs(x) + 1).astype(x.dtype)
    if node.op_type in ("QuantizeLinear", "DequantizeLinear") and element.startswith("float"):
        zero = node.input[2] if len(node.input) > 2 else ""
        if zero in bound:  # the reference leaves out zero points that are floats
            arrays[zero] = np.zeros(arrays[zero].shape, arrays[zero].dtype)
        if element == "float8e8m0" and node.op_type == "DequantizeLinear":
            node.attribute.append(helper.make_attribute("output_dtype", TensorProto.FLOAT))


def by_onnxruntime(case: Case) -> Case | None:
    """The case with the values that onnxruntime computes; None if it cannot."""
    model, data = case.load()
    arrays = dict(zip((value.name for value in model.graph.input), data[0][0]))
    try:
        found = run_reference(model, arrays)
    except NpuError:
        return None
    expected = [found[output.name] for output in model.graph.output]
    return Case(case.name, case.kind, case.rtol, case.atol, lambda: (model, [(data[0][0], expected)]))


def _same_width(node: NodeProto, arrays: dict[str, Array], number: int, of_operand: bool) -> None:
    """Give a BitCast another type of as many bits on its other side: unsigned integers."""
    if number in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        raise NotPossibleError("no other type has the width")
    bits = dtype_of_numpy(helper.tensor_dtype_to_np_dtype(number)).bits
    other = number_of(f"uint{bits}")
    if of_operand:
        node.attribute[0].i = other
    else:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(other))
        arrays.update({name: small_numbers(array, dtype) for name, array in arrays.items()})


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
        return converted(np.exp2(np.rint(np.clip(wide.astype(np.float64), 0, 4))), dtype)
    if not is_integer(dtype):
        if dtype.itemsize == 1:
            end = float(ml_dtypes.finfo(dtype).max)
            wide = np.clip(wide.astype(np.float64), -end, end)
        return converted(np.asarray(wide), dtype)
    low, high = integer_limits(dtype_of_numpy(dtype))
    if is_integer(array.dtype) or array.dtype == np.bool_:
        return np.clip(wide.astype(np.int64), low, min(high, 2**62)).astype(dtype)
    scaled = np.sign(wide) * (1 + np.floor(np.abs(wide.astype(np.float64)) * 4) % 3)
    scaled = np.abs(scaled) if low == 0 else scaled
    return np.clip(np.where(scaled == 0, 1, scaled), max(low, -3), min(high, 3)).astype(np.int64).astype(dtype)


def _case(name: str, node: NodeProto, arrays: dict[str, Array], version: int) -> Case:
    """A case of one node, with the values that the reference computes."""
    inferred = infer_types(node, dict(arrays), "", {"": version}) or {}
    names = [output for output in node.output if output]
    elements = [
        inferred[name].tensor_type.elem_type if name in inferred else _by_schema(node, version, name, arrays)
        for name in names
    ]
    inputs = [_info(key, array) for key, array in arrays.items()]
    outputs = [helper.make_tensor_value_info(name, number, None) for name, number in zip(names, elements)]
    graph = helper.make_graph([node], "retyped", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=_ir_version(version))
    expected: list[Array] = []
    for value, output in zip(_expected(model, arrays), model.graph.output):
        declared = output.type.tensor_type
        if value.dtype.kind in "OUST":
            raise NotPossibleError("a result is no tensor of numbers")
        if declared.elem_type == TensorProto.UNDEFINED:  # ONNX infers no types for it
            declared.elem_type = helper.np_dtype_to_tensor_dtype(value.dtype)
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(declared.elem_type))
        expected.append(value if value.dtype.kind == "c" else converted(value, dtype))
    tolerances = [TOLERANCES.get(value.dtype.name, (RTOL, ATOL)) for value in (*arrays.values(), *expected)]
    rtol, atol = max(tolerances)
    return Case(name, "retyped", rtol, atol, lambda: (model, [(list(arrays.values()), expected)]))


def _by_schema(node: NodeProto, version: int, output: str, arrays: dict[str, Array]) -> int:
    """The type of an operand with the same type variable as `output`; UNDEFINED if there is none."""
    schema = onnx.defs.get_schema(node.op_type, version)
    index = list(node.output).index(output)
    wanted = schema.outputs[min(index, len(schema.outputs) - 1)].type_str
    for name, parameter in zip(node.input, schema.inputs):
        if parameter.type_str == wanted and name in arrays:
            return helper.np_dtype_to_tensor_dtype(arrays[name].dtype)
    return TensorProto.UNDEFINED


def _ir_version(opset: int) -> int:
    """The version of the file format that came with an opset (the package has no entry for some old ones)."""
    try:
        return helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
    except ValueError:
        return 3


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
