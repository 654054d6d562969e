"""Cut the model into groups: one root op with the element-wise work that follows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from npuisa.kernel import MAX_MICRO_OPS, MAX_SOURCES
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from npucc.dialects import graph
from npucc.dialects.graph_ops.base import nodes_of, tensor_type, with_nodes
from npucc.dialects.graph_ops.structure import is_immediate, joins_kernel
from npucc.passes.graph.functions import functions_of
from npucc.schedule.kernels import micro_ops

VIEWS = (graph.ReshapeOp, graph.ConcatOp, graph.ConstantOp)
"""Ops that stay outside groups: they are addresses, not work."""
OUTSIDE = (*VIEWS, graph.GroupOp, graph.ControlOp, graph.YieldOp, func.ReturnOp)
"""What a group is never made of."""


@dataclass(frozen=True)
class GraphFusePass(ModulePass):
    """Form `graph.group`s.

    Before: a function of core ops. After: every op but constants, reshapes, concatenations, loops and branches
    stands in a group of one root (contraction, window, reduction, softmax, movement or element-wise op) and the
    element-wise ops that consume its result, with one result. An op joins when it has the root's shape, the kernel
    stays within the limits of the machine (32 micro-operations, 4 sources) and no value inside is needed outside
    but the last.
    `epilogues=false` makes every op a group of its own.
    """

    name = "graph-fuse"

    epilogues: bool = True

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in functions_of(op):
            fuse_function(function, epilogues=self.epilogues)


def fuse_function(function: func.FuncOp, *, epilogues: bool = True) -> None:
    """Group the ops of `function`, in program order of the roots; a group stands in one block."""
    for block in list(graph.blocks_within(function.body.block)):
        _fuse_block(block, epilogues)
    drop_unused_constants(function)


def _fuse_block(block: Block, epilogues: bool) -> None:
    grouped: set[Operation] = set()
    order = {op: position for position, op in enumerate(block.ops)}
    for op in list(block.ops):
        if op in grouped or isinstance(op, OUTSIDE):
            continue
        cluster = grow(op, grouped, order) if epilogues else [op]
        grouped.update(cluster)
        build_group(sorted(cluster, key=order.__getitem__))


@dataclass
class _Cluster:
    """A root and the ops that joined it."""

    root: Operation
    ops: list[Operation] = field(default_factory=list)

    def operands(self) -> set[SSAValue]:
        """What the kernel reads besides the results of the cluster's own ops."""
        inside = set(self.ops)
        return {v for op in self.kernel_ops() for v in op.operands if v.owner not in inside}

    def kernel_ops(self) -> list[graph.ElementwiseOp]:
        """The ops computed by the epilogue's kernel."""
        return [op for op in self.ops if isinstance(op, graph.ElementwiseOp)]

    def escaping(self) -> list[Operation]:
        """Ops whose result is used outside the cluster."""
        inside = set(self.ops)
        return [op for op in self.ops if any(use.operation not in inside for use in op.results[0].uses)]

    def fits(self) -> bool:
        """Whether the kernel stays within the machine's limits."""
        limit = MAX_SOURCES if isinstance(self.root, graph.ElementwiseOp) else MAX_SOURCES - 1
        immediates = {value for value in self.operands() if is_scalar_constant(value)}
        tensors = len(self.operands()) - len(immediates)
        return tensors <= limit and micro_ops(self.kernel_ops(), len(immediates)) <= MAX_MICRO_OPS


def is_scalar_constant(value: SSAValue) -> bool:
    """A constant of one element: it becomes an immediate of the kernel."""
    return isinstance(value.owner, Operation) and is_immediate(value.owner)


def grow(root: Operation, taken: set[Operation], order: dict[Operation, int]) -> list[Operation]:
    """The largest cluster from `root` that has one escaping value, its last op's result."""
    cluster = _Cluster(root, [root])
    best = [root]
    if isinstance(root, graph.TileableOp) and not root.EPILOGUE:
        return best
    shape = tensor_type(root.results[0]).get_shape()
    while True:
        candidate = _next_user(cluster, taken, order, shape)
        if candidate is None:
            return best
        cluster.ops.append(candidate)
        if not cluster.fits():
            return best
        if all(op is candidate for op in cluster.escaping()):
            best = list(cluster.ops)


def _next_user(
    cluster: _Cluster, taken: set[Operation], order: dict[Operation, int], shape: tuple[int, ...]
) -> Operation | None:
    users = {use.operation for op in cluster.ops for use in op.results[0].uses} - set(cluster.ops)
    joinable = [op for op in users if op in order and op not in taken and joins_kernel(op, shape)]
    return min(joinable, key=order.__getitem__, default=None)


def build_group(ops: list[Operation]) -> graph.GroupOp:
    """Move `ops` (in program order, the last one's result escapes) into a group placed at the last of them.

    A root that is not element-wise gets one block argument per operand; the kernel has arguments of its own, so
    that a tensor read by both (a residual connection around a convolution) is two accesses. Scalar constants
    of the kernel are copied into the body.
    """
    root, last = ops[0], ops[-1]
    inside = set(ops)
    root_inputs = [] if isinstance(root, graph.ElementwiseOp) else list(root.operands)
    kernel = [op for op in ops if isinstance(op, graph.ElementwiseOp)]
    outside = dict.fromkeys(v for op in kernel for v in op.operands if v.owner not in inside)
    scalars = [value for value in outside if is_scalar_constant(value)]
    tensors = [value for value in outside if not is_scalar_constant(value)]
    inputs = [*root_inputs, *tensors]
    block = Block(arg_types=[value.type for value in inputs])
    users = [use for use in last.results[0].uses if use.operation not in inside]
    place, parent = last.next_op, last.parent_block()
    if parent is None:
        raise ValueError("ops to be grouped stand in a function")
    mapping = dict(zip(tensors, block.args[len(root_inputs) :])) | _copy_constants(scalars, block)
    for op in ops:
        op.detach()
        op.operands = [mapping.get(value, value) for value in op.operands]
        block.add_op(op)
    if root_inputs:
        root.operands = block.args[: len(root_inputs)]
    block.add_op(graph.YieldOp(last.results[0]))
    group = with_nodes(graph.GroupOp(inputs, block), [name for op in ops for name in nodes_of(op)])
    Rewriter.insert_op(group, InsertPoint.before(place) if place is not None else InsertPoint.at_end(parent))
    for use in users:
        use.operation.operands[use.index] = group.results[0]
    return group


def _copy_constants(values: list[SSAValue], block: Block) -> dict[SSAValue, SSAValue]:
    copies: dict[SSAValue, SSAValue] = {}
    for value in values:
        copy = value.owner.clone() if isinstance(value.owner, Operation) else None
        if copy is not None:
            block.add_op(copy)
            copies[value] = copy.results[0]
    return copies


def drop_unused_constants(function: func.FuncOp) -> None:
    """Remove constants that only groups' bodies use now."""
    unused: Iterable[Operation] = [
        op
        for op in graph.ops_within(function.body.block)
        if isinstance(op, graph.ConstantOp) and not list(op.results[0].uses)
    ]
    for op in unused:
        op.detach()
        op.erase()
