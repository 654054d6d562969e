"""A worklist rewriter for the functions of the graph dialect, the bodies of loops and branches included.

xDSL's greedy driver walks the whole module again after each round; here an op is visited again only when something
around it changed, so that a model of some thousand ops takes tenths of a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from xdsl.ir import Block, Operation, SSAValue

from npucc.constants import ConstantStore
from npucc.dialects.graph import ConstantOp, ControlOp, GraphOp, GroupOp, nodes_of, ops_within, with_nodes
from npucc.types import Array, tensor_of

TENSOR = "tensor"
"""Discardable attribute: the op's result is, element for element, the ONNX tensor of that name."""

Rule = Callable[[GraphOp, "GraphRewriter"], SSAValue | None]
"""Looks at one op; returns a value to take the place of its result, or None."""

Rules = Mapping[type[GraphOp], Sequence[Rule]]
"""Rules by exact class of op, tried in order."""


class GraphRewriter:
    """Applies rules in a block and those within until nothing changes. Rules insert new ops in front of the op they
    look at."""

    def __init__(self, block: Block, constants: ConstantStore) -> None:
        self.block = block
        self.constants = constants
        self._queue: deque[Operation] = deque()
        self._queued: set[Operation] = set()
        self._current: Operation | None = None

    def run(self, rules: Rules) -> bool:
        """Whether anything changed."""
        self._push(ops_within(self.block))
        changed = False
        while self._queue:
            op = self._queue.popleft()
            self._queued.discard(op)
            if op.parent is None or not isinstance(op, GraphOp):
                continue
            if not op.result.first_use:
                self._erase_dead(op)
                continue
            changed |= self._apply(op, rules.get(type(op), ()))
        return changed

    def _apply(self, op: GraphOp, rules: Sequence[Rule]) -> bool:
        self._current = op
        for rule in rules:
            value = rule(op, self)
            if value is not None:
                self._replace(op, value)
                return True
        return False

    def _replace(self, op: GraphOp, value: SSAValue) -> None:
        if value.type != op.result.type:
            raise TypeError(f"a rule replaced {op.name} of type {op.result.type} by a value of type {value.type}")
        self._push(use.operation for use in op.result.uses)
        if TENSOR in op.attributes and isinstance(value.owner, GraphOp):
            value.owner.attributes.setdefault(TENSOR, op.attributes[TENSOR])
        op.result.replace_all_uses_with(value)
        self._erase_dead(op)

    def _erase_dead(self, op: Operation) -> None:
        """Erase `op` and what only it used; ops that lost a user are looked at again."""
        dead = [op]
        while dead:
            each = dead.pop()
            owners = [operand.owner for operand in each.operands]
            each.detach()
            each.erase()
            for owner in dict.fromkeys(owners):
                if isinstance(owner, GraphOp | GroupOp) and owner.parent is not None:
                    used = any(result.first_use for result in owner.results)
                    if used:
                        self._push([owner, *(use.operation for r in owner.results for use in r.uses)])
                    else:
                        dead.append(owner)

    def _push(self, ops: Iterable[Operation]) -> None:
        for op in ops:
            if op not in self._queued:
                self._queued.add(op)
                self._queue.append(op)

    def insert(self, new: GraphOp, *sources: Operation) -> SSAValue:
        """Put `new` in front of the op being looked at; it comes from that op's ONNX nodes and those of `sources`."""
        if self._current is None:
            raise RuntimeError("insert is for rules")
        names = [name for op in (*sources, self._current) for name in nodes_of(op)]
        block = self._current.parent_block()
        if block is None:
            raise RuntimeError("the op that a rule looks at stands in a block")
        if not isinstance(new, ConstantOp):
            with_nodes(new, names)
        block.insert_op_before(new, self._current)
        self._push([new])
        return new.result

    def constant(self, array: Array, symbol: str) -> SSAValue:
        """A new constant; `symbol` is made unique."""
        return self.insert(ConstantOp(self.constants.add(symbol, array), tensor_of(array)))

    def array(self, value: SSAValue) -> Array | None:
        """The array of a constant whose bytes are at hand."""
        return constant_array(value, self.constants)


def constant_array(value: SSAValue, constants: ConstantStore) -> Array | None:
    """The array of `value` if it is a constant that the store has, in its declared type; else None."""
    if not isinstance(value.owner, ConstantOp) or value.owner.symbol_name not in constants:
        return None
    array = constants[value.owner.symbol_name]
    return array if tensor_of(array) == value.type else None


OpT = TypeVar("OpT", bound=Operation)


def copy_of(op: OpT) -> OpT:
    """A copy whose result will be another tensor than the original's."""
    new = op.clone()
    new.attributes.pop(TENSOR, None)
    return new


def symbol_of(value: SSAValue) -> str:
    """Symbol of a constant, to derive the name of a changed copy from."""
    return value.owner.symbol_name if isinstance(value.owner, ConstantOp) else "constant"


def merge_equal(block: Block, outer: Mapping[tuple[object, ...], GraphOp] | None = None) -> None:
    """Common subexpressions: of ops of one kind with equal operands and properties the first stays.

    `outer`: the ops that regions of the block's parents have already met.
    """
    seen: dict[tuple[object, ...], GraphOp] = dict(outer or {})
    for op in list(block.ops):
        for region in op.regions if isinstance(op, ControlOp) else ():
            merge_equal(region.block, seen)
        if not isinstance(op, GraphOp):
            continue
        key = (op.name, tuple(op.operands), tuple(sorted(op.properties.items(), key=_name)), op.result.type)
        first = seen.setdefault(key, op)
        if first is not op:
            with_nodes(first, [*nodes_of(first), *nodes_of(op)])
            op.result.replace_all_uses_with(first.result)
            op.detach()
            op.erase()


def _name(item: tuple[str, object]) -> str:
    return item[0]


def erase_dead(block: Block) -> None:
    """Erase ops whose results nobody uses, also within loops and branches."""
    for op in reversed(list(block.ops)):
        if isinstance(op, GraphOp | GroupOp | ControlOp) and not any(result.first_use for result in op.results):
            op.detach()
            op.erase()
        elif isinstance(op, ControlOp):
            for region in op.regions:
                erase_dead(region.block)
