"""Which buffer holds each tensor of the function: shared by the residency decision and by the lowering.

Concatenations and reshapes are views, and so are the elements of what a loop scans and stacks. A value's *root* owns
the memory: the function's argument, a constant, the group or concatenation that writes it, or the result of a
loop or branch (see `in_place.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.dialects import func
from xdsl.ir import BlockArgument, Operation, SSAValue

from npucc.dialects import graph


@dataclass(frozen=True)
class Demand:
    """Where a value has to be written: into `user`'s result (a view of it), into result `index` of the function, or
    where `result` is (a carried value, the result of a branch)."""

    user: Operation
    index: int
    result: SSAValue | None = None


@dataclass
class Storage:
    """Buffers of one function whose operands of concatenations and returns are writable in place."""

    function: func.FuncOp
    demands: dict[SSAValue, Demand] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for op in graph.ops_within(self.function.body.block):
            if isinstance(op, graph.ConcatOp):
                for index, value in enumerate(op.operands):
                    self.demands[value] = Demand(op, index)
            elif isinstance(op, func.ReturnOp):
                self._return(op)
            elif isinstance(op, graph.LoopOp):
                for index, value in enumerate(op.carried):
                    self.demands[value] = Demand(op, index, op.results[index])
            elif isinstance(op, graph.YieldOp):
                self._yield(op)

    def _return(self, op: func.ReturnOp) -> None:
        for index, value in enumerate(op.operands):
            self.demands[value] = Demand(op, index)
            if isinstance(value.owner, graph.ReshapeOp):
                self.demands[value.owner.operands[0]] = Demand(value.owner, 0)

    def _yield(self, op: graph.YieldOp) -> None:
        control = op.parent_op()
        if not isinstance(control, graph.ControlOp):
            return
        for index, value in enumerate(op.operands):
            if isinstance(control, graph.LoopOp) and value in control.carried_args:
                continue  # it stays where it is
            self.demands[value] = Demand(op, index, control.results[index])

    def root(self, value: SSAValue) -> SSAValue:
        """The value that owns the memory of `value`."""
        while True:
            source = self._source(value)
            if source is None:
                return value
            value = source

    def _source(self, value: SSAValue) -> SSAValue | None:
        """What `value` is a part of, or the same memory as; None where it has memory of its own."""
        demand = self.demands.get(value)
        if demand is not None:
            if isinstance(demand.user, (graph.ConcatOp, graph.ReshapeOp)):
                return demand.user.results[0]
            return demand.result
        if isinstance(value.owner, graph.ReshapeOp):
            return value.owner.operands[0]
        if isinstance(value, BlockArgument):
            loop = value.block.parent_op()
            if isinstance(loop, graph.LoopOp):
                carried = len(loop.carried)
                return loop.results[value.index] if value.index < carried else loop.scanned[value.index - carried]
        return None

    def is_interface(self, value: SSAValue) -> bool:
        """Whether the memory of `value` is an argument, a result or a constant (always in DRAM)."""
        root = self.root(value)
        demand = self.demands.get(root)
        returned = demand is not None and isinstance(demand.user, func.ReturnOp)
        return returned or not isinstance(root.owner, (graph.GroupOp, graph.ConcatOp, graph.ControlOp))

    def is_constant(self, value: SSAValue) -> bool:
        """Whether the memory of `value` is a constant."""
        return isinstance(self.root(value).owner, graph.ConstantOp)
