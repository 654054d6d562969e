"""What is known, at import, of every iteration of a loop: counters and what follows from them, shapes, most steps.

A decoder's loop counts its steps in a carried scalar, slices a table at that position, appends to a cache and stops
at a greatest length. None of these depends on data, only on the iteration; so the body is gone through once per
iteration with placeholders for what is computed. A node is looked at again only where a value or a shape that it
reads has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import GraphProto, NodeProto
from xdsl.ir import Block, SSAValue
from xdsl.utils.exceptions import VerifyException

from npucc.frontend.deferral import Defer
from npucc.frontend.node import Bounded, Output
from npucc.frontend.placeholders import Scope, ScopeValue
from npucc.frontend.problems import Malformed, NeedsHost, Unsupported
from npucc.types import AnyTensor, Array, tensor_of, type_of

MAX_VISITS = 100_000
"""Most nodes that are looked at, over all iterations."""

ImportNodeInto = Callable[[NodeProto, Scope], None]
"""Imports one node of the body; binds its outputs in the scope."""

Known = Callable[[SSAValue], Array | None]
MAX_ELEMENTS = 4096
"""A constant with more elements is data: only its type counts."""

Fact = Array | AnyTensor | None
"""Of a value in one iteration: its elements, else its type, else nothing."""


@dataclass
class IterationFacts:
    """`steps`: no iteration follows after so many. `exact`: there are just so many, whatever the data.

    `facts[name][t]`: what is known of a value of the body in iteration t; `carried[i][t]`: of carried value i when
    iteration t begins (one entry more: when the last one has ended).
    """

    steps: int
    exact: bool
    facts: dict[str, list[Fact]] = field(default_factory=dict[str, list[Fact]])
    carried: list[list[Fact]] = field(default_factory=list[list[Fact]])

    def table(self, name: str) -> Array | None:
        """The values of a tensor by iteration, [steps, *shape]; None where one is not known, or the shapes differ."""
        return stacked(self.facts.get(name, []), self.steps)


def stacked(facts: Sequence[Fact], steps: int) -> Array | None:
    """Facts as one array, if each is a value and all have one shape."""
    arrays = [fact for fact in facts[:steps] if isinstance(fact, np.ndarray)]
    if not steps or len(arrays) < steps or len({(array.shape, array.dtype) for array in arrays}) > 1:
        return None
    return np.stack(arrays)


def find_facts(
    body: GraphProto,
    initial: Sequence[Output],
    outer: Mapping[str, ScopeValue],
    limit: int,
    import_node: ImportNodeInto,
    known: Known,
    scratch: Block,
) -> IterationFacts | None:
    """Facts of a Loop whose body starts with `initial` carried values; None where MAX_VISITS do not suffice.

    `outer` is the scope around the loop with the initializers of the body; `limit` the trip count, or a great number.
    `known` gives the elements of a constant; `scratch` takes what is made on the way.
    """
    try:
        return _Walk(body, outer, import_node, known, scratch).run(list(initial), limit)
    except (Defer, NeedsHost, Unsupported, Malformed, VerifyException):
        return None


class _Walk:
    def __init__(
        self,
        body: GraphProto,
        outer: Mapping[str, ScopeValue],
        import_node: ImportNodeInto,
        known: Known,
        scratch: Block,
    ) -> None:
        self.body, self.import_node, self.known, self.scratch = body, import_node, known, scratch
        self.scope: Scope = dict(outer)
        self.nodes = [(node, _captured(node)) for node in body.node]
        self.made = [name for node in body.node for name in node.output if name]
        self.visits = 0
        self.seen: dict[int, tuple[object, ...]] = {}
        """Place of a node -> what it read when it was last looked at."""

    def run(self, carried: list[Output], limit: int) -> IterationFacts | None:
        names = [value.name for value in self.body.input]
        found = IterationFacts(0, False, {}, [[self._fact(value)] for value in carried])
        while found.steps < limit:
            self._bind(names[0], np.asarray(found.steps, np.int64))
            self._bind(names[1], np.asarray(True))
            for name, entry in zip(names[2:], found.carried):
                self._bind(name, self._placeholder(entry[-1]))
            if not self._iterate():
                return None
            for name in self.made:
                found.facts.setdefault(name, []).append(self._fact(self.scope.get(name)))
            outputs = [self.scope.get(value.name) for value in self.body.output]
            for entry, value in zip(found.carried, outputs[1:]):
                entry.append(self._fact(value))
            found.steps += 1
            going = outputs[0]
            if isinstance(going, np.ndarray) and not going.reshape(-1)[0]:
                break
        found.exact = self._condition_known(found)
        return found

    def _condition_known(self, found: IterationFacts) -> bool:
        conditions = found.facts.get(self.body.output[0].name, [])
        return all(isinstance(fact, np.ndarray) for fact in conditions[: found.steps])

    def _bind(self, name: str, value: Output | None) -> None:
        """A value that is the same as in the iteration before stays the same object."""
        before = self.scope.get(name)
        if _key(before) != _key(value):
            self.scope[name] = value

    def _fact(self, value: ScopeValue) -> Fact:
        if isinstance(value, SSAValue):
            array = self.known(value)
            return type_of(value) if array is None or array.size > MAX_ELEMENTS else array
        if isinstance(value, np.ndarray) and value.size > MAX_ELEMENTS:
            return tensor_of(value)
        return value if isinstance(value, np.ndarray) else None

    def _placeholder(self, fact: Fact) -> Output | None:
        if fact is None or isinstance(fact, np.ndarray):
            return fact
        return self.scratch.insert_arg(fact, len(self.scratch.args))

    def _iterate(self) -> bool:
        for place, (node, reads) in enumerate(self.nodes):
            key = tuple(_key(self.scope.get(name)) for name in reads)
            if self.seen.get(place) == key:
                continue
            self.visits += 1
            if self.visits > MAX_VISITS:
                return False
            self.seen[place] = key
            before = {name: self.scope.get(name) for name in node.output if name}
            self.import_node(node, self.scope)
            for name, value in before.items():
                if name in self.scope and _key(self.scope[name]) == _key(value):
                    self.scope[name] = value
        return True


def _key(value: ScopeValue) -> object:
    """Equal for values that importing a node cannot tell apart."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, SSAValue):
        return type_of(value)
    return (Bounded, id(value)) if isinstance(value, Bounded) else value


def _captured(node: NodeProto) -> list[str]:
    """What a node reads: its inputs, and all names that its subgraphs mention."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
            for inner in graph.node:
                names += _captured(inner)
            names += [output.name for output in graph.output]
    return names
