"""Tensors of onnxruntime in element types that NumPy lacks: given and read as bytes."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import onnxruntime as ort
from npuisa.dtypes import DTYPES, DType, dtype_of_numpy
from onnx import TensorProto, helper

from npucc.types import Array

_LACKING = tuple(dtype for dtype in DTYPES if dtype.numpy.kind == "V" or dtype.name == "f8e5m2")
_BY_NUMBER: dict[int, DType] = {
    number: dtype
    for dtype in _LACKING
    for number in TensorProto.DataType.values()
    if number not in (TensorProto.UNDEFINED, TensorProto.STRING)
    and helper.tensor_dtype_to_np_dtype(number) == dtype.numpy
}
_NUMBERS = {dtype: number for number, dtype in _BY_NUMBER.items()}


def is_foreign(array: Array) -> bool:
    """Whether onnxruntime's Python interface does not take the array itself."""
    return array.dtype in {dtype.numpy for dtype in _LACKING}


def to_reference(array: Array) -> ort.OrtValue:
    """The array as a tensor of onnxruntime."""
    if not is_foreign(array):
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    dtype = dtype_of_numpy(array.dtype)
    data = np.array(array, order="C").view(f"u{dtype.bytes}")
    if dtype.bits < 8 and data.size:
        packed = _packed(data.reshape(-1), dtype.bits)
        data = np.resize(packed, data.size).reshape(data.shape)  # onnxruntime reads as many bytes as it needs
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(data, _NUMBERS[dtype])


def from_reference(value: ort.OrtValue) -> Array:
    """A copy of a tensor of onnxruntime."""
    dtype = _BY_NUMBER.get(value.element_type())
    if dtype is None:
        return np.array(value.numpy())
    shape = tuple(value.shape())
    count = math.prod(shape)
    size = -(-count * dtype.bits // 8) if dtype.bits < 8 else count * dtype.bytes
    raw = np.frombuffer(ctypes.string_at(value.data_ptr(), size), np.uint8) if count else np.zeros(0, np.uint8)
    codes = _unpacked(raw, dtype.bits, count) if dtype.bits < 8 else raw.copy()
    return codes.view(dtype.numpy).reshape(shape)


def _packed(codes: Array, bits: int) -> Array:
    """Elements of 2 or 4 bits in bytes, the first in the lowest bits."""
    per_byte = 8 // bits
    padded = np.zeros(-(-codes.size // per_byte) * per_byte, np.uint8)
    padded[: codes.size] = codes & ((1 << bits) - 1)
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    return np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1).astype(np.uint8)


def _unpacked(raw: Array, bits: int, count: int) -> Array:
    shifts = np.arange(8 // bits, dtype=np.uint8) * bits
    return ((raw[:, None] >> shifts) & ((1 << bits) - 1)).astype(np.uint8).reshape(-1)[:count]
