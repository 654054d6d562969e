"""The instruction of a group's root on one tile."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.builder import Builder
from xdsl.ir import Operation, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineMap

from npucc.dialects import graph, tile
from npucc.dialects.graph_ops.base import ints
from npucc.numpy_order import PADDING
from npucc.passes.lower_graph.views import Box, Position
from npucc.schedule.indexed import moves_by_dma
from npucc.schedule.problem import Problem
from npucc.tiling import Access


def emit_root(
    builder: Builder,
    problem: Problem,
    root: Operation,
    inputs: Sequence[SSAValue],
    boxes: Sequence[Box],
    target: SSAValue,
    accumulate: SSAValue | None,
    positions: Sequence[Position],
    channel: str,
    workspace: SSAValue | None = None,
) -> None:
    """Emit the root. `boxes` are the tiles of `inputs` in their tensors; they hold the padding that is left out.

    `channel`: the DMA channel of a root that moves data in DRAM.
    """
    match root:
        case graph.MatmulOp():
            maps = [gemm_map(tensor.access, problem) for tensor in problem.operands if not tensor.epilogue]
            builder.insert(tile.GemmOp(inputs[0], inputs[1], target, accumulate, maps[0], maps[1]))
        case graph.ConvOp():
            pads = boxes[0].before[1:3]
            groups = _groups_in_tile(problem, positions)
            strides, dilations = root.stride_pair, root.dilation_pair
            builder.insert(tile.ConvOp(inputs[0], inputs[1], target, strides, dilations, pads, groups, accumulate))
        case graph.DepthwiseConvOp():
            pads = boxes[0].before[1:3]
            strides, dilations = root.stride_pair, root.dilation_pair
            engine = problem.work.engine
            builder.insert(tile.DwconvOp(inputs[0], inputs[1], target, strides, dilations, pads, engine))
        case graph.WindowReduceOp():
            axes, sizes, strides, dilations, _ = root.window
            pads = [boxes[0].before[axis] for axis in axes]
            builder.insert(tile.WindowOp(inputs[0], target, root.fn.data, axes, sizes, strides, dilations, pads))
        case graph.ReduceOp():
            builder.insert(tile.ReduceOp(inputs[0], target, root.fn.data, ints(root.axes), accumulate))
        case graph.SoftmaxOp():
            builder.insert(tile.NormOp(inputs[0], target, "softmax"))
        case graph.LogSoftmaxOp():
            builder.insert(tile.NormOp(inputs[0], target, "log_softmax"))
        case graph.ArgsortOp() if workspace is not None:
            builder.insert(tile.SortOp(inputs[0], target, workspace, root.line, bool(root.descending.value.data)))
        case graph.ScanOp():
            flags = bool(root.exclusive.value.data), bool(root.reverse.value.data)
            builder.insert(tile.ScanOp(inputs[0], target, root.line, root.fn.data, *flags))
        case graph.NonzeroOp():
            builder.insert(tile.CompressOp(inputs[0], None, target, PADDING))
        case graph.CompressOp():
            builder.insert(tile.CompressOp(inputs[1], inputs[0], target, 0))
        case graph.GatherOp():
            builder.insert(tile.GatherOp(inputs[0], inputs[1], target, channel if moves_by_dma(problem) else "vx"))
        case graph.ScatterOp():
            engine = channel if moves_by_dma(problem) else "vx"
            builder.insert(tile.ScatterOp(inputs[2], inputs[1], target, root.fn.data, engine))
        case _:
            raise TypeError(f"{root.name} is no root with an instruction of its own")


def gemm_map(access: Access, problem: Problem) -> AffineMap:
    """From (batch.., m, n, k) to the axes of an operand of a matmul; axes that no loop moves are broadcast."""
    exprs = [AffineDimExpr(e.terms[0][0]) if e.terms else AffineConstantExpr(0) for e in access.exprs]
    return AffineMap(len(problem.dims), 0, tuple(exprs))


def _groups_in_tile(problem: Problem, positions: Sequence[Position]) -> int:
    sizes = [position.size for dim, position in zip(problem.dims, positions) if dim.name == "g"]
    return sizes[0] if sizes else 1
