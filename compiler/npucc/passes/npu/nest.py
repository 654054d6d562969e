"""Hardware loops of a group and the buffers acquired in them: what the address registers have to follow.

A `tile.acquire` gives slot `c mod depth` of its pool, where c counts the pool's acquires before it. All trip counts are
constants, so c is known at group level, and inside a loop nest it is linear in the iteration counts: a register
that moves by slot_bytes modulo the size of the pool follows it. Loops of one iteration are no loops: their
operations belong to the block around them and their counter is a constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from npuisa.errors import NpuError
from xdsl.dialects import scf
from xdsl.ir import Block, SSAValue

from npucc.analysis.index import LoopBounds, loop_bounds
from npucc.dialects import tile
from npucc.dialects.npu_ops.structure import MAX_COUNT
from npucc.passes.npu.faults import TILE_OP


@dataclass(eq=False)
class Loop:
    """A hardware loop; `direct` counts the acquires per iteration that stand in no inner loop."""

    counter: SSAValue
    bounds: LoopBounds
    parent: Loop | None
    body: list[tile.InstructionOp | Loop] = field(default_factory=list)
    direct: dict[tile.PoolOp, int] = field(default_factory=dict)

    @property
    def inner(self) -> list[Loop]:
        """The loops directly in this one."""
        return [item for item in self.body if isinstance(item, Loop)]

    def subtree(self) -> Iterator[Loop]:
        """This loop and all inside it."""
        yield self
        for loop in self.inner:
            yield from loop.subtree()

    def enclosing(self) -> Iterator[Loop]:
        """This loop and those around it, from the inside out."""
        yield self
        if self.parent is not None:
            yield from self.parent.enclosing()

    def per_iteration(self, pool: tile.PoolOp) -> int:
        """Acquires of `pool` in one iteration, inner loops included."""
        inner = sum(loop.bounds.count * loop.per_iteration(pool) for loop in self.inner)
        return self.direct.get(pool, 0) + inner

    @property
    def height(self) -> int:
        """Loop levels from this one to the innermost."""
        return 1 + max((loop.height for loop in self.inner), default=0)

    @property
    def executions(self) -> int:
        """How often an iteration of this loop ends in one run of the whole nest."""
        around = 1 if self.parent is None else self.parent.executions
        return around * self.bounds.count


@dataclass(frozen=True)
class Site:
    """Where an acquire stands: its innermost loop (None: group level) and the pool's count of acquires there.

    `before` counts those executed before the nest began, `first` those in the nest before this one in the first
    iterations of the loops around it, `phase` the part of these that stand in no loop inside those loops.
    """

    pool: tile.PoolOp
    loop: Loop | None
    before: int
    first: int
    phase: int


@dataclass(frozen=True)
class Rotation:
    """Byte offset of a slot: starts at `initial`, moves by `steps` at the end of iterations, modulo `modulus`."""

    initial: int
    steps: Mapping[Loop, int]
    modulus: int


@dataclass
class GroupNests:
    """The code of one group: `items` at group level, and how each acquire rotates."""

    items: list[tile.InstructionOp | Loop] = field(default_factory=list)
    fixed: dict[SSAValue, int] = field(default_factory=dict)
    """Counters of loops with one iteration -> their value."""
    loops: dict[SSAValue, Loop] = field(default_factory=dict)
    """Counters of hardware loops."""
    sites: dict[SSAValue, Site] = field(default_factory=dict)
    """Results of acquires."""
    _counts: dict[tile.PoolOp, int] = field(default_factory=dict)

    @staticmethod
    def of(block: Block) -> GroupNests:
        """Read the block of a `tile.group` (or of the function)."""
        nests = GroupNests()
        nests._read(block, None)
        return nests

    def _read(self, block: Block, loop: Loop | None) -> None:
        items = self.items if loop is None else loop.body
        for op in block.ops:
            if isinstance(op, tile.InstructionOp):
                items.append(op)
            elif isinstance(op, tile.AcquireOp):
                self._acquire(op, loop)
            elif isinstance(op, scf.ForOp):
                self._read_loop(op, loop)

    def _read_loop(self, op: scf.ForOp, parent: Loop | None) -> None:
        bounds, counter = loop_bounds(op), op.body.block.args[0]
        if bounds.count == 1:
            self.fixed[counter] = bounds.lower
            self._read(op.body.block, parent)
        elif bounds.count > MAX_COUNT:
            found = f"{bounds.count} iterations"
            raise NpuError(TILE_OP, f"a loop runs at most {MAX_COUNT} times", "scf.for", found, "split the loop")
        elif bounds.count > 1:
            loop = self.loops[counter] = Loop(counter, bounds, parent)
            (self.items if parent is None else parent.body).append(loop)
            self._read(op.body.block, loop)
            if parent is None:
                self._count_nest(loop)

    def _acquire(self, op: tile.AcquireOp, loop: Loop | None) -> None:
        pool = op.pool_op
        before = self._counts.get(pool, 0)
        if loop is None:
            self._counts[pool] = before + 1
            self.sites[op.result] = Site(pool, loop, before, 0, 0)
            return
        around = list(loop.enclosing())
        phase = sum(outer.direct.get(pool, 0) for outer in around)
        # Loops read so far have run, except the ones that this acquire stands in.
        done = [inner for outer in around for inner in outer.inner if inner not in around]
        first = phase + sum(inner.bounds.count * inner.per_iteration(pool) for inner in done)
        loop.direct[pool] = loop.direct.get(pool, 0) + 1
        self.sites[op.result] = Site(pool, loop, before, first, phase)

    def _count_nest(self, loop: Loop) -> None:
        for pool in {pool for inner in loop.subtree() for pool in inner.direct}:
            total = loop.bounds.count * loop.per_iteration(pool)
            self._counts[pool] = self._counts.get(pool, 0) + total

    def rotation(self, buffer: SSAValue) -> Rotation:
        """How the byte offset of an acquired buffer from its pool's address moves."""
        site = self.sites[buffer]
        depth, slot = site.pool.depth.value.data, site.pool.slot_bytes.value.data
        start, steps = _count_of(site)
        moving = {loop: step % depth * slot for loop, step in steps.items() if step % depth}
        return Rotation(start % depth * slot, moving, depth * slot)


def _count_of(site: Site) -> tuple[int, dict[Loop, int]]:
    """The pool's count at a site: its first value, and what to add at the end of each loop's iterations.

    Where no loop that acquires holds another that does, one count of all acquires, kept at the end of the
    iterations that hold them, is right for every site: sibling loops then share a register. Else every site has
    a count of its own, a function of the loops around it alone.
    """
    if site.loop is None:
        return site.before, {}
    acquiring = [loop for loop in _outermost(site.loop).subtree() if loop.direct.get(site.pool)]
    if any(inner.per_iteration(site.pool) for loop in acquiring for inner in loop.inner):
        return site.before + site.first, _own_steps(site.loop, site.pool)
    return site.before + site.phase, {loop: loop.direct[site.pool] for loop in acquiring}


def _outermost(loop: Loop) -> Loop:
    return loop if loop.parent is None else _outermost(loop.parent)


def _own_steps(loop: Loop, pool: tile.PoolOp) -> dict[Loop, int]:
    """Acquires per iteration of each loop around a site, less those its inner loop has added already."""
    steps: dict[Loop, int] = {}
    inner = 0
    for each in loop.enclosing():
        count = each.per_iteration(pool)
        steps[each] = count - inner
        inner = each.bounds.count * count
    return steps
