"""From a `graph.group` to the scheduler's `Problem`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from npuisa.dtypes import dtype_named
from npuisa.target import Target
from xdsl.ir import Operation, SSAValue

from npucc.dialects import graph
from npucc.dialects.graph_ops.base import dtype_name, tensor_type
from npucc.schedule.indexed import GATHER, SCATTER, selects_rows, stays_in_dram
from npucc.schedule.kernels import kernel_interval
from npucc.schedule.problem import Location, Problem, Tensor, Work
from npucc.tiling import Access, Affine, TilingSpec

MATRIX_ROOTS = (graph.MatmulOp, graph.ConvOp)
KINDS: dict[type[Operation], str] = {
    graph.MatmulOp: "matmul",
    graph.ConvOp: "conv",
    graph.DepthwiseConvOp: "depthwise_conv",
    graph.WindowReduceOp: "window_reduce",
    graph.ReduceOp: "reduce",
    graph.SoftmaxOp: "softmax",
    graph.LogSoftmaxOp: "softmax",
    graph.ArgsortOp: "argsort",
    graph.ScanOp: "scan",
    graph.NonzeroOp: "compress",
    graph.CompressOp: "compress",
    graph.GatherOp: GATHER,
    graph.ScatterOp: SCATTER,
}


def root_of(group: graph.GroupOp) -> Operation:
    """The group's root: the first op that is neither a constant nor the terminator."""
    return next(op for op in group.body.block.ops if not isinstance(op, graph.ConstantOp))


def kernel_ops(group: graph.GroupOp) -> list[graph.ElementwiseOp]:
    """The element-wise ops of the group, in order."""
    return [op for op in group.body.block.ops if isinstance(op, graph.ElementwiseOp)]


def uses_matrix_engine(root: Operation, target: Target) -> bool:
    """Whether the root runs on the matrix engine of `target`."""
    on_array = isinstance(root, graph.DepthwiseConvOp) and target.matrix.depthwise_macs > 0
    return isinstance(root, MATRIX_ROOTS) or on_array


def group_problem(
    group: graph.GroupOp,
    target: Target,
    locate: Callable[[SSAValue], Location],
    constant: Callable[[SSAValue], bool],
) -> Problem:
    """The group as a problem. `locate` says where a value of the function lives, `constant` whether it is one."""
    root = root_of(group)
    kind = KINDS.get(type(root), "map")
    matrix = uses_matrix_engine(root, target)
    spec = root_spec(root)
    kernel = kernel_ops(group)
    result_dtype = dtype_name(tensor_type(group.results[0]))
    same = result_dtype == spec.result.dtype and not (_accumulates(spec) and _narrow(result_dtype))
    direct = not matrix and not kernel and kind != "map" and same
    has_epilogue = kind != "map" and not direct
    work = Work(
        kind,
        "mx" if matrix else "vx",
        micro_cycles=kernel_interval(kernel, target, (target.output if matrix else target.vector).fused_ops),
        epilogue=has_epilogue,
        dtype=spec.operands[0].dtype,
        rows=kind in (GATHER, SCATTER) and selects_rows(spec),
        passes=2 if isinstance(root, graph.ScatterOp) and root.fn.data != "none" else 1,
    )
    in_place = kind in (GATHER, SCATTER) and stays_in_dram(kind, spec, target)
    result_access = Access(spec.result.shape, result_dtype, spec.result.exprs)
    result = Tensor("out", result_access, locate(group.results[0]), in_place=in_place and kind == SCATTER)
    intermediate = _intermediate(spec) if has_epilogue else None
    operands = tuple(_operands(group, root, spec, locate, constant))
    if in_place or kind == SCATTER:  # the rows of a gather's table are fetched, a scatter starts with a copy
        operands = (replace(operands[0], in_place=True), *operands[1:])
    return Problem(work, spec.dims, operands, result, intermediate, spec.macs, spec.workspace)


def root_spec(root: Operation) -> TilingSpec:
    """The tiling interface of a root; an internal error if the op has none."""
    if not isinstance(root, graph.TileableOp):
        raise TypeError(f"{root.name} has no tiling interface")
    return root.tiling()


def _accumulates(spec: TilingSpec) -> bool:
    return not spec.moves and any(dim.kind == "reduction" and dim.tileable and dim.size > 1 for dim in spec.dims)


def _narrow(dtype: str) -> bool:
    """A float type in which sums must not be accumulated."""
    return dtype_named(dtype).is_float and dtype_named(dtype).bits < 32


def _intermediate(spec: TilingSpec) -> Access:
    """The root's own result: f32 for floats that are computed (f64 stays), else the type the root says."""
    wide = "f32" if _narrow(spec.result.dtype) and not spec.moves else spec.result.dtype
    return Access(spec.result.shape, wide, spec.result.exprs)


def _operands(
    group: graph.GroupOp,
    root: Operation,
    spec: TilingSpec,
    locate: Callable[[SSAValue], Location],
    constant: Callable[[SSAValue], bool],
) -> list[Tensor]:
    tensors: list[Tensor] = []
    from_root = 0 if isinstance(root, graph.ElementwiseOp) else len(root.operands)
    for index, argument in enumerate(group.body.block.args):
        outer = group.operands[index]
        epilogue = index >= from_root
        access = _broadcast(argument, spec.result) if epilogue else spec.operands[index]
        tensors.append(Tensor(f"in{index}", access, locate(outer), constant(outer), epilogue))
    return tensors


def _broadcast(value: SSAValue, result: Access) -> Access:
    """An operand of the kernel: NumPy broadcasting against the result, in terms of the root's dims."""
    type_ = tensor_type(value)
    shape = tuple(type_.get_shape())
    lead = len(result.shape) - len(shape)
    exprs = tuple(Affine() if extent == 1 else result.exprs[lead + axis] for axis, extent in enumerate(shape))
    return Access(shape, dtype_name(type_), exprs)
