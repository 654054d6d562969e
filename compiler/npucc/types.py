"""Element types: builtin MLIR types <-> the machine's `npuisa.dtypes` <-> NumPy. The only place that maps them.

Signless integers are signed (`i8`), unsigned ones are `ui8`, bool is `i1`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from npuisa.descriptor_encoding import integer_limits as limits_of
from npuisa.dtypes import NARROW_FLOATS, SUB_BYTE_INTEGERS, DType, dtype_named, dtype_of_numpy
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float4E2M1FNType,
    Float6E2M3FNType,
    Float6E3M2FNType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    TensorType,
)
from xdsl.ir import Attribute, SSAValue

Array: TypeAlias = npt.NDArray[Any]
AnyTensor: TypeAlias = TensorType[Attribute]

_BY_NAME: dict[str, Attribute] = {
    "f16": Float16Type(),
    "bf16": BFloat16Type(),
    "f32": Float32Type(),
    "f64": Float64Type(),
    "f8e4m3fn": Float8E4M3FNType(),
    "f8e4m3fnuz": Float8E4M3FNUZType(),
    "f8e5m2": Float8E5M2Type(),
    "f8e5m2fnuz": Float8E5M2FNUZType(),
    "f8e8m0": Float8E8M0FNUType(),
    "f6e2m3": Float6E2M3FNType(),
    "f6e3m2": Float6E3M2FNType(),
    "f4e2m1": Float4E2M1FNType(),
    "bool": IntegerType(1),
    **{f"i{bits}": IntegerType(bits) for bits in (2, 4, 8, 16, 32, 64)},
    **{f"u{bits}": IntegerType(bits, Signedness.UNSIGNED) for bits in (2, 4, 8, 16, 32, 64)},
}
_NAMES = {element: name for name, element in _BY_NAME.items()}
_FLOATS = frozenset(element for name, element in _BY_NAME.items() if dtype_named(name).is_float)
_WIDE_INTEGERS = frozenset(_BY_NAME[name] for name in ("u32", "i64", "u64"))
BOOL = _BY_NAME["bool"]


def element_type(name: str) -> Attribute:
    """The MLIR type of the machine's element type `name` ('f32', 'u8', 'bool' ...); KeyError if there is none."""
    return _BY_NAME[name]


def element_name(element: Attribute) -> str:
    """The machine's name of an MLIR element type; KeyError if the machine has none."""
    return _NAMES[element]


def is_element(element: Attribute) -> bool:
    """Whether the machine has this element type."""
    return element in _NAMES


def dtype_of(element: Attribute) -> DType:
    """The machine's element type."""
    return dtype_named(element_name(element))


def numpy_dtype(element: Attribute) -> np.dtype[Any]:
    """The NumPy type that holds elements of this type (ml_dtypes for bf16 and the types below 16 bits)."""
    return dtype_of(element).numpy


def element_of_numpy(dtype: npt.DTypeLike) -> Attribute:
    """The MLIR type of a NumPy type; KeyError if the machine has none."""
    return _BY_NAME[dtype_of_numpy(dtype).name]


def is_float(element: Attribute) -> bool:
    """f64, f32 or a narrower float type."""
    return element in _FLOATS


def is_narrow(element: Attribute) -> bool:
    """Floats of 8 bits and less, integers of less than 8: they exist in memory, engines compute in wider types."""
    dtype = dtype_of(element)
    return dtype in NARROW_FLOATS or dtype in SUB_BYTE_INTEGERS


def integer_limits(element: Attribute) -> tuple[int, int]:
    """Least and greatest value of an integer type or bool."""
    return limits_of(dtype_of(element))


def compute_type(element: Attribute) -> Attribute:
    """The scalar type in which an element is computed with: f32, f64, i32, i64 or i1 (see `npuisa.kernel`)."""
    if element == BOOL or element == _BY_NAME["f64"]:
        return element
    if is_float(element):
        return _BY_NAME["f32"]
    return _BY_NAME["i64"] if element in _WIDE_INTEGERS else _BY_NAME["i32"]


def tensor(shape: Iterable[int], element: Attribute | str) -> AnyTensor:
    """`tensor<shape x element>`."""
    return TensorType(element_type(element) if isinstance(element, str) else element, shape)


def tensor_of(array: Array) -> AnyTensor:
    """The type of a NumPy array."""
    return tensor(array.shape, element_of_numpy(array.dtype))


def type_of(value: SSAValue) -> AnyTensor:
    """The tensor type of a graph value; TypeError for anything else (a bug of the caller)."""
    if not isinstance(value.type, TensorType):
        raise TypeError(f"expected a tensor, found {value.type}")
    return value.type


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """Shape of a graph value."""
    return type_of(value).get_shape()


def element_of(value: SSAValue) -> Attribute:
    """Element type of a graph value."""
    return type_of(value).element_type
