"""ONNX tensors as NumPy arrays: views where possible, sizes checked before anything is allocated."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from npuisa.errors import NpuError
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo

from npucc.frontend.problems import BAD_TENSOR, EXTERNAL_DATA, TOO_LARGE
from npucc.types import Array

MAX_ELEMENTS = 1 << 34
"""Largest element count of any tensor; far above real models, far below what overflows 64-bit byte counts."""

_TYPED_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
_PACKED_BITS: dict[int, int] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
    TensorProto.FLOAT6E2M3: 6,
    TensorProto.FLOAT6E3M2: 6,
}
"""Types of which several elements share the bytes of raw data."""
_ONE_VALUE_EACH = (TensorProto.FLOAT6E2M3, TensorProto.FLOAT6E3M2)
"""Packed types that are not packed in `int32_data`."""
_NOT_NUMERIC = (TensorProto.UNDEFINED, TensorProto.STRING)


def type_name(element_type: int) -> str:
    """`FLOAT`, `INT64` ... or the number itself if ONNX does not know it."""
    known = element_type in TensorProto.DataType.values()
    return TensorProto.DataType.Name(element_type) if known else f"type {element_type}"


def checked_elements(shape: tuple[int, ...], where: str) -> int:
    """Number of elements of `shape`; NpuError if a size is negative or the product is absurd."""
    for size in shape:
        if size < 0:
            raise NpuError(
                BAD_TENSOR,
                "a stored tensor has a negative size",
                where=where,
                found=f"shape {list(shape)}",
                remedy="export the model again",
            )
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise NpuError(
            TOO_LARGE,
            f"a tensor has more than {MAX_ELEMENTS} elements",
            where=where,
            found=f"shape {list(shape)}",
            remedy="check the sizes in the model: no machine holds such a tensor",
        )
    return count


def tensor_to_array(tensor: TensorProto, folder: Path | None, where: str = "") -> Array:
    """The array of a TensorProto. Raw data is viewed, external data memory-mapped (`folder`: where it may live).

    Errors: E0503 (data and shape disagree, unknown element type), E0504 (external data), E0505 (absurd size).
    """
    where = where or f"tensor `{tensor.name}`"
    shape = tuple(tensor.dims)
    count = checked_elements(shape, where)
    if tensor.data_type not in TensorProto.DataType.values() or tensor.data_type in _NOT_NUMERIC:
        raise _damaged(where, "its element type is not numeric", type_name(tensor.data_type))
    bits = _PACKED_BITS.get(tensor.data_type)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    size = count * dtype.itemsize if bits is None else -(-count * bits // 8)
    if tensor.data_location == TensorProto.EXTERNAL:
        data = _external_bytes(tensor, folder, size, where)
    elif tensor.HasField("raw_data"):
        data = np.frombuffer(tensor.raw_data, np.uint8)
    else:
        _check_typed_data(tensor, count, where)
        return numpy_helper.to_array(tensor)
    if data.nbytes != size:
        raise _damaged(where, "data and shape disagree", f"{data.nbytes} bytes for shape {list(shape)} = {size} bytes")
    if bits is not None:
        packed = TensorProto(data_type=tensor.data_type, dims=shape, raw_data=data.tobytes())
        return numpy_helper.to_array(packed)
    if dtype == np.bool_:
        return (data != 0).reshape(shape)
    return data.view(dtype.newbyteorder("<") if dtype.kind in "iuf" and dtype.itemsize > 1 else dtype).reshape(shape)


def _damaged(where: str, rule: str, found: str) -> NpuError:
    remedy = "export or download the model again: the file is damaged"
    return NpuError(BAD_TENSOR, f"a stored tensor is damaged: {rule}", where=where, found=found, remedy=remedy)


def _check_typed_data(tensor: TensorProto, count: int, where: str) -> None:
    """`float_data` and its sisters: as many values as the shape says (complex: two, sub-byte: packed)."""
    bits = 8 if tensor.data_type in _ONE_VALUE_EACH else _PACKED_BITS.get(tensor.data_type, 8)
    pairs = 2 if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128) else 1
    expected = -(-count * bits // 8) * pairs
    found = sum(len(getattr(tensor, name)) for name in _TYPED_FIELDS)
    if found != expected:
        raise _damaged(where, "data and shape disagree", f"{found} values for shape {list(tensor.dims)} = {expected}")
    field = helper.tensor_dtype_to_field(tensor.data_type)
    if found and len(getattr(tensor, field)) != found:
        raise _damaged(where, f"values of {type_name(tensor.data_type)} belong in `{field}`", "another field is filled")


def _external_bytes(tensor: TensorProto, folder: Path | None, size: int, where: str) -> Array:
    """The bytes of an external tensor, memory-mapped read-only."""

    def refuse(rule: str, found: str, remedy: str) -> NpuError:
        return NpuError(EXTERNAL_DATA, f"external data: {rule}", where=where, found=found, remedy=remedy)

    if folder is None:
        raise refuse("a model given as bytes has no folder", "an external tensor", "pass the path of the .onnx file")
    try:
        info = ExternalDataInfo(tensor)
        offset = int(info.offset or 0)
        length = int(info.length) if info.length else size
    except ValueError as error:
        raise refuse("offset and length are whole numbers", str(error), "export the model again") from error
    location = str(info.location)
    path = external_path(folder, location)
    if path is None:
        raise refuse(
            "the file must lie in the model's folder",
            f"location `{location}`",
            "put the data file beside the model and store its plain file name",
        )
    if not path.is_file():
        raise refuse("the file is missing", f"location `{location}`", f"put `{location}` into the model's folder")
    available = path.stat().st_size
    if offset < 0 or length != size or offset + length > available:
        found = f"offset {offset}, length {length} in a file of {available} bytes; the shape needs {size}"
        raise refuse("offset, length and shape must agree with the file", found, "export or download the model again")
    if size == 0:
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, "r", offset, (length,))


def external_path(folder: Path, location: str) -> Path | None:
    """`location` inside `folder`; None if it is absolute, climbs out, or leaves through a symbolic link."""
    relative = Path(location)
    if not location or relative.is_absolute() or ".." in relative.parts or "\\" in location or "\0" in location:
        return None
    resolved = (folder / relative).resolve()
    return resolved if resolved.is_relative_to(folder.resolve()) else None
