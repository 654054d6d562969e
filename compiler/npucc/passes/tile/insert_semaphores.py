"""Pass `tile-insert-semaphores`: engines wait for each other exactly where the data need it."""

from __future__ import annotations

from dataclasses import dataclass

from npuisa.instructions import SEMAPHORES
from xdsl.context import Context
from xdsl.dialects import scf
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp, i64
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from npucc.analysis.index import loop_bounds
from npucc.analysis.tile_program import Outline, outline
from npucc.context import target_of
from npucc.dialects.tile import InstructionOp, SyncOp
from npucc.synchronisation.address_check import check_addresses
from npucc.synchronisation.carried import loop_rotations
from npucc.synchronisation.dependences import forward_edges
from npucc.synchronisation.naming import assign_names
from npucc.synchronisation.placement import place_semaphores
from npucc.synchronisation.slot_check import check_slots
from npucc.synchronisation.slots import pool_rotations
from npucc.synchronisation.tree import build_tree


@dataclass(frozen=True)
class TileInsertSemaphoresPass(ModulePass):
    """Before: a tile program with addresses. After: it gives the same values when engines run in parallel.

    Instructions carry `waits` and `posts`, `tile.sync` the others; the module attribute `npucc.semaphores` holds
    the initial value of each semaphore. Every wait's post stands before it in program order. Semaphores that
    were there before are replaced; loops in groups that never run are removed. NPU-E0824
    when buffers that are in use at the same time share bytes or leave their memory.
    """

    name = "tile-insert-semaphores"

    limit: int = SEMAPHORES
    target: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        program = outline(op)
        check_addresses(program, target_of(ctx, self.target))
        _clear(program)
        tree = build_tree(program)
        check_slots(tree)
        edges, knowledge = forward_edges(tree)
        found = [*pool_rotations(tree, knowledge), *loop_rotations(tree, knowledge)]
        rotations = sorted(found, key=lambda rotation: rotation.first)
        names = assign_names(edges, rotations, self.limit, restore=bool(program.control))
        place_semaphores(tree, edges, rotations, names)
        op.attributes["npucc.semaphores"] = DictionaryAttr(
            {name: IntegerAttr(value, i64) for name, value in names.initial.items()}
        )


def _clear(program: Outline) -> None:
    """Remove earlier synchronisation and loops that never run."""
    for group in program.groups:
        for op in list(group.body.walk()):
            if op.parent is None:
                continue
            if isinstance(op, SyncOp) or (isinstance(op, scf.ForOp) and loop_bounds(op).count == 0):
                Rewriter.erase_op(op)
            elif isinstance(op, InstructionOp):
                op.set_sync((), ())
