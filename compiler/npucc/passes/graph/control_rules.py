"""Simplification of loops and branches: what does not change is moved out, what nobody reads is dropped."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import DenseArrayBase, IntegerType
from xdsl.ir import Block, Operation, Region, SSAValue

from npucc.dialects.graph import ConstantOp, ControlOp, GraphOp, IfOp, LoopOp, YieldOp, ops_within
from npucc.dialects.graph_ops.base import ints


def simplify_control(block: Block) -> bool:
    """Simplify the loops and branches within `block`, inner ones first; whether anything changed."""
    changed = hoist_constants(block)
    for op in [op for op in ops_within(block) if isinstance(op, ControlOp)][::-1]:
        if isinstance(op, LoopOp):
            changed |= hoist_invariants(op) or pass_unchanging(op) or prune_loop(op)
        elif isinstance(op, IfOp):
            changed |= prune_branches(op)
    return changed


def hoist_constants(block: Block) -> bool:
    """Move the constants of the regions within `block` to its top."""
    found = [op for op in ops_within(block) if isinstance(op, ConstantOp) and op.parent_block() is not block]
    first = block.first_op
    for op in found:
        op.detach()
        if first is not None:
            block.insert_op_before(op, first)
    return bool(found)


def hoist_invariants(loop: LoopOp) -> bool:
    """Move ops that read nothing of the loop in front of it: their results are the same in every step.

    They run at least once then, which costs time where the loop has no step, but changes no value. Work that a
    branch inside may skip stays in its branch.
    """
    changed = False
    for op in list(loop.block.ops):
        if isinstance(op, GraphOp) and not any(_stands_in(value, loop.block) for value in op.operands):
            op.detach()
            _insert_before(op, loop)
            changed = True
    return changed


def pass_unchanging(loop: LoopOp) -> bool:
    """Carried values that each step gives on as they are: readers take the initial value."""
    changed = False
    for initial, argument, given, result in zip(
        loop.carried, loop.carried_args, loop.yield_op.operands, loop.results
    ):
        if given is argument and (argument.first_use or result.first_use):
            uses_left = [use for use in argument.uses if use.operation is not loop.yield_op]
            if not uses_left and not result.first_use:
                continue
            for use in uses_left:
                use.operation.operands[use.index] = initial
            result.replace_all_uses_with(initial)
            changed = True
    return changed


def prune_loop(loop: LoopOp) -> bool:
    """Drop stacked results that nobody reads, scanned values and carried values that no result depends on."""
    count = len(loop.carried)
    last = loop.yield_op
    live = _live_carried(loop)
    stacked = [i for i, result in enumerate(loop.stacked_results) if result.first_use]
    scanned = [i for i, argument in enumerate(loop.scanned_args) if argument.first_use]
    if len(live) == count and len(stacked) == len(loop.stacked_results) and len(scanned) == len(loop.scanned):
        return False
    last.operands = [*(last.operands[i] for i in live), *(last.operands[count + i] for i in stacked)]
    dead = [argument for i, argument in enumerate(loop.carried_args) if i not in live]
    _erase_readers(loop.block, dead)
    results = [*(loop.results[i] for i in live), *(loop.stacked_results[i] for i in stacked)]
    carried, pieces = [loop.carried[i] for i in live], [loop.scanned[i] for i in scanned]
    kept = {*live, *(count + i for i in scanned)}
    for argument in reversed([a for i, a in enumerate(loop.block.args) if i not in kept]):
        loop.block.erase_arg(argument)
    _replace(loop, carried, pieces, results, scanned, stacked)
    return True


def _live_carried(loop: LoopOp) -> list[int]:
    """Carried values that a result, the condition, or a live carried value depends on."""
    position = {argument: i for i, argument in enumerate(loop.carried_args)}
    needed = {i for i, result in enumerate(loop.results[: len(position)]) if result.first_use}
    needed |= {0} if loop.conditional is not None else set()
    yielded = loop.yield_op.operands
    wanted = [yielded[i] for i in needed]
    wanted += [value for value, r in zip(yielded[len(position) :], loop.stacked_results) if r.first_use]
    seen: set[SSAValue] = set()
    while wanted:
        value = wanted.pop()
        if value in seen:
            continue
        seen.add(value)
        index = position.get(value)
        if index is not None and index not in needed:
            needed.add(index)
            wanted.append(yielded[index])
        wanted += _reads(value.owner) if isinstance(value.owner, Operation) else []
    return sorted(needed)


def _reads(op: Operation) -> list[SSAValue]:
    """Everything that an op and its regions read."""
    found = list(op.operands)
    for region in op.regions if isinstance(op, ControlOp) else ():
        found += [value for inner in ops_within(region.block) for value in inner.operands]
    return found


def _erase_readers(block: Block, dead: Sequence[SSAValue]) -> None:
    """Erase what depends on dead carried values: by now nothing that is kept does."""
    doomed = [use.operation for value in dead for use in value.uses]
    order: dict[Operation, None] = {}
    while doomed:
        op = doomed.pop()
        while op.parent_block() is not block:
            parent = op.parent_op()
            if parent is None:
                break
            op = parent
        if op in order or isinstance(op, YieldOp):
            continue
        order[op] = None
        doomed += [use.operation for result in op.results for use in result.uses]
    for op in [each for each in reversed(list(block.ops)) if each in order]:
        op.detach()
        op.erase()


def _replace(
    loop: LoopOp,
    carried: Sequence[SSAValue],
    scanned: Sequence[SSAValue],
    results: Sequence[SSAValue],
    kept_scanned: Sequence[int],
    kept_stacked: Sequence[int],
) -> None:
    """A loop with fewer operands and results (the body has been changed already) takes the place of `loop`."""
    region = loop.body
    body = region.block
    region.detach_block(body)
    made = LoopOp(
        carried,
        scanned,
        Region(body),
        steps=loop.step_limit,
        trip=loop.trip,
        conditional=loop.conditional is not None,
        reversed_scanned=_renumbered(loop.reversed_scanned, kept_scanned),
        reversed_stacked=_renumbered(loop.reversed_stacked, kept_stacked),
    )
    made.attributes.update(loop.attributes)
    _insert_before(made, loop)
    for old, new in zip(results, made.results):
        old.replace_all_uses_with(new)
    region.add_block(Block([YieldOp()]))
    loop.detach()
    loop.erase()


def _renumbered(places: DenseArrayBase[IntegerType] | None, kept: Sequence[int]) -> list[int]:
    wanted = () if places is None else ints(places)
    return [new for new, old in enumerate(kept) if old in wanted]


def prune_branches(branch: IfOp) -> bool:
    """Drop results that nobody reads."""
    used = [i for i, result in enumerate(branch.results) if result.first_use]
    if len(used) == len(branch.results) or not used:
        return False
    regions: list[Region] = []
    for region in branch.regions:
        block = region.block
        region.detach_block(block)
        last = block.last_op
        if isinstance(last, YieldOp):
            last.operands = [last.operands[i] for i in used]
        regions.append(Region(block))
        region.add_block(Block([YieldOp()]))
    made = IfOp(branch.condition, *regions)
    made.attributes.update(branch.attributes)
    _insert_before(made, branch)
    for index, new in zip(used, made.results):
        branch.results[index].replace_all_uses_with(new)
    branch.detach()
    branch.erase()
    return True


def _stands_in(value: SSAValue, block: Block) -> bool:
    """Whether a value is an argument of `block` or made by an op directly in it."""
    owner = value.owner
    return (owner if isinstance(owner, Block) else owner.parent_block()) is block


def _insert_before(op: Operation, place: Operation) -> None:
    block = place.parent_block()
    if block is None:
        raise ValueError(f"{place.name} stands in no block")
    block.insert_op_before(op, place)
