"""The `tile` dialect: loops over tiles, buffers in memory spaces, one operation per future instruction.

A module holds one `func.func @main` whose arguments are memrefs in DRAM (inputs, then outputs). Operations
are defined in `npucc.dialects.tile_ops`, a file per family; what they mean is on the design page.
"""

from __future__ import annotations

from xdsl.ir import Dialect

from npucc.dialects.tile_ops.attributes import (
    ACC,
    DRAM,
    SRAM,
    MemorySpace,
    PoolType,
    SpaceAttr,
    machine_dtype,
    memref_bytes,
    memref_of,
    space_of,
)
from npucc.dialects.tile_ops.bitcast import BitcastOp
from npucc.dialects.tile_ops.indexed import GatherOp, ScatterOp
from npucc.dialects.tile_ops.instruction import (
    DMA_NAMES,
    ENGINE_NAMES,
    AccumulatingOp,
    InstructionOp,
    is_instruction,
    nodes_of,
)
from npucc.dialects.tile_ops.kernel import COMPUTE_TYPES, MapOp, YieldOp
from npucc.dialects.tile_ops.matrix import ConvOp, DwconvOp, GemmOp, standard_gemm_maps
from npucc.dialects.tile_ops.order import CompressOp, ScanOp, SortOp
from npucc.dialects.tile_ops.remainder import RemFOp
from npucc.dialects.tile_ops.structure import AcquireOp, AllocOp, ConstantOp, GroupOp, PoolOp
from npucc.dialects.tile_ops.transfer import CopyOp, FillOp, SyncOp
from npucc.dialects.tile_ops.vector import NormFn, NormOp, ReduceFn, ReduceOp, WindowOp

__all__ = [
    "ACC",
    "COMPUTE_TYPES",
    "DMA_NAMES",
    "DRAM",
    "ENGINE_NAMES",
    "SRAM",
    "AccumulatingOp",
    "AcquireOp",
    "AllocOp",
    "BitcastOp",
    "CompressOp",
    "ConstantOp",
    "ConvOp",
    "CopyOp",
    "DwconvOp",
    "FillOp",
    "GatherOp",
    "GemmOp",
    "GroupOp",
    "InstructionOp",
    "MapOp",
    "MemorySpace",
    "NormFn",
    "NormOp",
    "PoolOp",
    "PoolType",
    "ReduceFn",
    "ReduceOp",
    "RemFOp",
    "ScanOp",
    "ScatterOp",
    "SortOp",
    "SpaceAttr",
    "SyncOp",
    "Tile",
    "WindowOp",
    "YieldOp",
    "is_instruction",
    "machine_dtype",
    "memref_bytes",
    "memref_of",
    "nodes_of",
    "space_of",
    "standard_gemm_maps",
]

Tile = Dialect(
    "tile",
    [
        ConstantOp,
        AllocOp,
        GroupOp,
        PoolOp,
        AcquireOp,
        CopyOp,
        FillOp,
        SyncOp,
        GemmOp,
        ConvOp,
        DwconvOp,
        ReduceOp,
        WindowOp,
        NormOp,
        SortOp,
        ScanOp,
        CompressOp,
        GatherOp,
        ScatterOp,
        MapOp,
        YieldOp,
        RemFOp,
        BitcastOp,
    ],
    [SpaceAttr, PoolType],
)
