"""Which buffer holds each tensor of the function: shared by the residency decision and by the lowering.

Concatenations and reshapes are views. A value's *root* owns the memory: the function's argument, a constant, or the
group or concatenation that writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.dialects import func
from xdsl.ir import Operation, SSAValue

from npucc.dialects import graph


@dataclass(frozen=True)
class Demand:
    """Where a value has to be written: into `user`'s result (a view of it), or into result `index` of the function."""

    user: Operation
    index: int


@dataclass
class Storage:
    """Buffers of one function whose operands of concatenations and returns are writable in place."""

    function: func.FuncOp
    demands: dict[SSAValue, Demand] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for op in self.function.body.block.ops:
            if isinstance(op, graph.ConcatOp):
                for index, value in enumerate(op.operands):
                    self.demands[value] = Demand(op, index)
            if isinstance(op, func.ReturnOp):
                self._return(op)

    def _return(self, op: func.ReturnOp) -> None:
        for index, value in enumerate(op.operands):
            self.demands[value] = Demand(op, index)
            if isinstance(value.owner, graph.ReshapeOp):
                self.demands[value.owner.operands[0]] = Demand(value.owner, 0)

    def root(self, value: SSAValue) -> SSAValue:
        """The value that owns the memory of `value`."""
        while True:
            demand = self.demands.get(value)
            if demand is not None and isinstance(demand.user, (graph.ConcatOp, graph.ReshapeOp)):
                value = demand.user.results[0]
            elif isinstance(value.owner, graph.ReshapeOp) and demand is None:
                value = value.owner.operands[0]
            else:
                return value

    def is_interface(self, value: SSAValue) -> bool:
        """Whether the memory of `value` is an argument, a result or a constant (always in DRAM)."""
        root = self.root(value)
        demand = self.demands.get(root)
        returned = demand is not None and isinstance(demand.user, func.ReturnOp)
        return returned or not isinstance(root.owner, (graph.GroupOp, graph.ConcatOp))

    def is_constant(self, value: SSAValue) -> bool:
        """Whether the memory of `value` is a constant."""
        return isinstance(self.root(value).owner, graph.ConstantOp)
