"""Loops and branches around groups: `scf.for`, `scf.while` and `scf.if` at the level of the function.

At every border of their regions all engines are idle (a fence), so that what is inside is synchronised by itself.
"""

from __future__ import annotations

from collections.abc import Callable

from xdsl.builder import Builder
from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint

from npucc.dialects import graph
from npucc.dialects.graph_ops.base import nodes_of, with_nodes
from npucc.passes.lower_graph.buffers import Buffers, Place

LowerBlock = Callable[[Block, Place, Builder], None]
"""Lowers the ops of a graph block: buffers at the place, code where the builder is."""


def lower_loop(loop: graph.LoopOp, buffers: Buffers, builder: Builder, lower: LowerBlock) -> None:
    """`scf.for` where the number of steps is known, else `scf.while`; nothing for no step."""
    if loop.step_limit == 0:
        return
    if loop.is_static:
        _static_loop(loop, buffers, builder, lower)
    else:
        _dynamic_loop(loop, buffers, builder, lower)


def _index(builder: Builder, value: int) -> SSAValue:
    return builder.insert(arith.ConstantOp(IntegerAttr(value, IndexType()))).result


def _body(graph_block: Block, block: Block, counter: SSAValue | None, buffers: Buffers, lower: LowerBlock) -> Builder:
    """Fill `block` with the code of `graph_block`, its buffers first; a builder at the end."""
    head, code = Block(), Builder(InsertPoint.at_end(block))
    place = Place.at(Builder(InsertPoint.at_end(head)), counter)
    buffers.places[graph_block] = place
    lower(graph_block, place, code)
    first = block.first_op
    for op in list(head.ops):
        op.detach()
        block.insert_op_before(op, first) if first is not None else block.add_op(op)
    return code


def _insert(op: Operation, source: graph.ControlOp, builder: Builder) -> None:
    with_nodes(op, nodes_of(source))
    builder.insert(op)


def _static_loop(loop: graph.LoopOp, buffers: Buffers, builder: Builder, lower: LowerBlock) -> None:
    low, high, step = (_index(builder, value) for value in (0, loop.step_limit or 0, 1))
    block = Block(arg_types=[IndexType()])
    block.args[0].name_hint = "step"
    _insert(scf.ForOp(low, high, step, [], Region(block)), loop, builder)
    _body(loop.block, block, block.args[0], buffers, lower).insert(scf.YieldOp())


def _dynamic_loop(loop: graph.LoopOp, buffers: Buffers, builder: Builder, lower: LowerBlock) -> None:
    """While the step is below the limits and the condition, read again before every step, holds."""
    start, limits = _index(builder, 0), list[SSAValue]()
    if loop.step_limit is not None:
        limits.append(_index(builder, loop.step_limit))
    if loop.trip is not None:
        trip = builder.insert(memref.LoadOp.get(buffers.of(loop.trip), [])).res
        limits.append(builder.insert(arith.IndexCastOp(trip, IndexType())).result)
    before = Block(arg_types=[IndexType()])
    test = Builder(InsertPoint.at_end(before))
    conditions: list[SSAValue] = [test.insert(arith.CmpiOp(before.args[0], limit, "slt")).result for limit in limits]
    if loop.conditional is not None:
        conditions.append(test.insert(memref.LoadOp.get(buffers.of(loop.results[0]), [])).res)
    holds = conditions[0]
    for other in conditions[1:]:
        holds = test.insert(arith.AndIOp(holds, other)).result
    test.insert(scf.ConditionOp(holds, before.args[0]))
    after = Block(arg_types=[IndexType()])
    after.args[0].name_hint = "step"
    _insert(scf.WhileOp([start], [IndexType()], Region(before), Region(after)), loop, builder)
    code = _body(loop.block, after, after.args[0], buffers, lower)
    step = code.insert(arith.ConstantOp(IntegerAttr(1, IndexType()))).result
    code.insert(scf.YieldOp(code.insert(arith.AddiOp(after.args[0], step)).result))


def lower_branch(branch: graph.IfOp, buffers: Buffers, builder: Builder, lower: LowerBlock) -> None:
    """`scf.if` on the loaded condition."""
    condition = builder.insert(memref.LoadOp.get(buffers.of(branch.condition), [])).res
    blocks = [Block() for _ in branch.branches]
    _insert(scf.IfOp(condition, [], Region(blocks[0]), Region(blocks[1])), branch, builder)
    for graph_block, block in zip(branch.branches, blocks):
        _body(graph_block, block, None, buffers, lower).insert(scf.YieldOp())
