"""Meaning of every instruction that an engine executes, one module per kind of work."""

from __future__ import annotations

from npuisa.instructions import (
    DmaCopy,
    DmaFill,
    DmaGather,
    DmaScatter,
    Instruction,
    MxConv,
    MxDwconv,
    MxGemm,
    OutStore,
    QSync,
    VCompress,
    VDwconv,
    VGather,
    VMap,
    VNorm,
    VReduce,
    VScan,
    VScatter,
    VSort,
    VWindow,
)

from npusim.semantics.conv import prepare_conv
from npusim.semantics.depthwise import prepare_dwconv
from npusim.semantics.dma import prepare_copy, prepare_fill
from npusim.semantics.elementwise import prepare_map
from npusim.semantics.gemm import prepare_gemm
from npusim.semantics.indexed import prepare_gather, prepare_scatter
from npusim.semantics.order import prepare_compress, prepare_scan, prepare_sort
from npusim.semantics.plan import Context, Prepare, Prepared, nothing
from npusim.semantics.pooling import prepare_window
from npusim.semantics.reduction import prepare_norm, prepare_reduce
from npusim.sequence import StaticInstruction

__all__ = ["SEMANTICS", "Context", "Prepare", "Prepared"]


def _prepare_sync(static: StaticInstruction, context: Context) -> Prepared:
    """q.sync touches no memory."""
    return Prepared((), nothing)


SEMANTICS: dict[type[Instruction], Prepare] = {
    QSync: _prepare_sync,
    DmaCopy: prepare_copy,
    DmaFill: prepare_fill,
    DmaGather: prepare_gather,
    DmaScatter: prepare_scatter,
    MxGemm: prepare_gemm,
    MxConv: prepare_conv,
    MxDwconv: prepare_dwconv,
    OutStore: prepare_map,
    VMap: prepare_map,
    VReduce: prepare_reduce,
    VWindow: prepare_window,
    VNorm: prepare_norm,
    VDwconv: prepare_dwconv,
    VSort: prepare_sort,
    VScan: prepare_scan,
    VCompress: prepare_compress,
    VGather: prepare_gather,
    VScatter: prepare_scatter,
}
"""Per instruction class of a queued engine, the function that prepares it (instructions of the sequencer are
executed by `sequence.dynamic_stream`)."""
