"""What the fields of instructions and descriptors can hold, checked while the ONNX nodes are still known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from npuisa.descriptor import Descriptor
from npuisa.descriptor_encoding import MAX_RANK, check_descriptor
from npuisa.encoding import field_limits
from npuisa.errors import NpuError
from npuisa.instructions import BY_MNEMONIC

from npucc.dialects.npu_ops.instruction import FieldValue
from npucc.passes.npu.faults import BAD_VIEW, FIELD_LIMIT

_REMEDIES = {
    "count": "use fewer buffers in the group's schedule",
    "groups": "split the convolution into several nodes",
}


def check_fields(mnemonic: str, fields: Mapping[str, FieldValue], where: str) -> None:
    """Raise NpuError (NPU-E0732) unless every number fits its field of the instruction."""
    limits = _limits(mnemonic)
    for name, value in fields.items():
        if name not in limits or not isinstance(value, int):
            continue
        low, high = limits[name]
        if not low <= value <= high:
            remedy = _REMEDIES.get(name, f"change the model so that {name} is {low} to {high}")
            message = f"the machine's {mnemonic} has no {name} outside {low}..{high}"
            raise NpuError(FIELD_LIMIT, message, where, str(value), remedy)


@cache
def _limits(mnemonic: str) -> dict[str, tuple[int, int]]:
    return {name: field_limits(spec) for name, spec in BY_MNEMONIC[mnemonic].fields() if spec.kind == "imm"}


def check_view(descriptor: Descriptor, where: str) -> None:
    """Raise NpuError (NPU-E0724) unless a tensor descriptor can hold the view."""
    if len(descriptor.dims) > MAX_RANK:
        remedy = "reshape the tensors: neighbouring axes that stay together can be one"
        found = f"dims {list(descriptor.dims)}"
        raise NpuError(BAD_VIEW, f"a descriptor has at most {MAX_RANK} axes", where, found, remedy)
    try:
        check_descriptor(descriptor)
    except NpuError as error:
        found = f"{error.found}, dims {list(descriptor.dims)}, strides {list(descriptor.strides)}"
        remedy = error.remedy or "split the tensor into smaller ones"
        raise NpuError(BAD_VIEW, error.message, where, found, remedy) from None
