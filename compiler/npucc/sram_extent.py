"""How much SRAM a planned tile module uses."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp

from npucc.dialects.tile import AllocOp, MemorySpace, PoolOp, memref_bytes, space_of


def sram_extent(module: ModuleOp) -> int:
    """One past the highest SRAM byte that a pool or a resident tensor occupies."""
    highest = 0
    for op in module.walk():
        if isinstance(op, PoolOp) and op.space.data is MemorySpace.SRAM and op.address is not None:
            highest = max(highest, op.address.value.data + op.bytes)
        if isinstance(op, AllocOp) and op.address is not None and space_of(op.result.type) is MemorySpace.SRAM:
            highest = max(highest, op.address.value.data + memref_bytes(op.result.type))
    return highest
