"""Tensors of strings: how a model stores them, and which nodes make them from numbers or from nothing."""

from __future__ import annotations

import numpy as np
from npuisa.errors import NpuError
from onnx import NodeProto, TensorProto

from npucc.frontend.problems import BAD_TENSOR
from npucc.frontend.tensors import checked_elements
from npucc.types import Array

_STRING_VALUES = ("value_string", "value_strings")


def holds_strings(tensor: TensorProto) -> bool:
    """Whether a stored tensor holds strings."""
    return tensor.data_type == TensorProto.STRING


def stored_strings(tensor: TensorProto, where: str) -> Array:
    """The strings (Python objects) of a TensorProto. E0503 where data and shape disagree or the text is not UTF-8."""
    shape = tuple(tensor.dims)
    count = checked_elements(shape, where)
    remedy = "export or download the model again: the file is damaged"
    if len(tensor.string_data) != count:
        found = f"{len(tensor.string_data)} strings for shape {list(shape)}"
        raise NpuError(BAD_TENSOR, "a stored tensor is damaged: data and shape disagree", where, found, remedy)
    try:
        texts = [data.decode("utf-8") for data in tensor.string_data]
    except UnicodeDecodeError as error:
        found = str(error)
        raise NpuError(BAD_TENSOR, "a stored tensor is damaged: strings are UTF-8", where, found, remedy) from None
    array = np.empty(count, object)
    array[:] = texts
    return array.reshape(shape)


def makes_strings(node: NodeProto) -> bool:
    """A Constant of strings, or a Cast to them."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in ("Constant", "Cast"):
        return False
    if node.op_type == "Cast":
        return any(entry.name == "to" and _names_strings(entry.i, entry.s) for entry in node.attribute)
    return any(
        entry.name in _STRING_VALUES or (entry.name == "value" and entry.t.data_type == TensorProto.STRING)
        for entry in node.attribute
    )


def _names_strings(number: int, name: bytes) -> bool:
    """Before opset 6 the type is given by its name."""
    return number == TensorProto.STRING or name.upper() == b"STRING"
