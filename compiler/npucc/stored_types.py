"""Element types in `.npz` files that NumPy's file format has no name for.

`save_npz` writes such an array as a structured type with one field, named as the type and holding the bytes: bf16 as
[('bfloat16', '<u2')], i4 as [('int4', 'u1')]. Any NumPy reads that; `array.view(ml_dtypes.int4)` gives the numbers.
Arrays that `numpy.savez` wrote itself are anonymous bytes (V1, V2): two of them are bf16, one is the type of the input
that the array is given to (`as_given`). Its float8_e5m2 has a header that NumPy does not read; `readable` mends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
from npuisa.dtypes import DTYPES
from npuisa.program import Port

from npucc.frontend.complex_parts import split_arrays
from npucc.results import Array

_NAMED = {dtype.numpy.name: dtype.numpy for dtype in DTYPES if dtype.numpy.kind == "V" or dtype.name == "f8e5m2"}
_ANONYMOUS = {1: np.dtype("V1"), 2: np.dtype("V2")}
_UNREADABLE, _READABLE = b"'descr': '<f1'", b"'descr': '|V1'"


def storable(array: Array) -> Array:
    """The array in a type that every NumPy reads."""
    if array.dtype.name not in _NAMED:
        return array
    field = np.dtype([(array.dtype.name, f"u{array.dtype.itemsize}")])
    return array.view(f"u{array.dtype.itemsize}").view(field)


def restored(array: Array) -> Array:
    """What `storable` was given; bytes without a name stay what they are, but for two, which are bf16."""
    if array.dtype == _ANONYMOUS[2]:
        return array.view(ml_dtypes.bfloat16)
    names = array.dtype.names or ()
    if len(names) == 1 and names[0] in _NAMED and array.dtype.itemsize == _NAMED[names[0]].itemsize:
        return array.view(_NAMED[names[0]])
    return array


def readable(header: bytes) -> bytes:
    """The start of a `.npy` file, its element type one that NumPy reads."""
    return header.replace(_UNREADABLE, _READABLE, 1)


def as_given(ports: Sequence[Port], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """`arrays`, bytes without a name as elements of the input of that name, complex ones as their two parts."""
    arrays = split_arrays(arrays)
    types = {port.name: port.dtype.numpy for port in ports}
    return {
        name: array.view(types[name])
        if array.dtype == _ANONYMOUS[1] and name in types and types[name].name in _NAMED
        else array
        for name, array in arrays.items()
    }
