"""Non-maximum suppression: a loop on the device that picks the best box left of every class at once.

It ends when no class has a box left, so that its steps are the boxes found, not the boxes looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from xdsl.ir import SSAValue

from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.lookups import gather, gather_3d, gather_elements
from npucc.frontend.node import Bounded, ImportNode, Output
from npucc.frontend.ops.compaction import count_of
from npucc.frontend.problems import Malformed
from npucc.frontend.regions import Loop, Step, Yielded, branch, loop
from npucc.frontend.registry import onnx_op
from npucc.types import BOOL, element_type, shape_of

I32, I64 = element_type("i32"), element_type("i64")
_LEAST = float(np.finfo(np.float32).min)
FEW = 512
"""Where no class has more candidates than this, only so many boxes of each take part in the loop.

A step of 80 classes x 8,400 boxes takes 770,000 cycles on edge-4t, one of 80 x 512 about 40,000; the sort before the
loop is worth two steps."""


class Boxes(NamedTuple):
    """Lower and upper corners [batch, 2, .., n], y before x, and areas [batch, 1, .., n]."""

    low: SSAValue
    high: SSAValue
    area: SSAValue


@onnx_op("NonMaxSuppression", since=10)
def non_max_suppression(node: ImportNode) -> Output:
    """i64 [selected, 3] of (batch, class, box): per batch and class the boxes by falling score, without those that
    overlap a better one by more than iou_threshold; of equal scores the first box."""
    boxes, scores = node.shape(0), node.shape(1)
    fits = len(boxes) == len(scores) == 3 and boxes[2] == 4 and (boxes[0], boxes[1]) == (scores[0], scores[2])
    if not fits:
        raise Malformed("boxes are [batch, n, 4] and scores [batch, classes, n]", f"{list(boxes)} and {list(scores)}")
    wanted = node.constant_ints(2, "max_output_boxes_per_class") if node.has(2) else [0]
    steps = min(max(wanted[0] if wanted else 0, 0), boxes[1])
    if not steps or not all(scores):
        return np.zeros((0, 3), np.int64)
    return _Suppression(node, steps).result()


@dataclass
class _Suppression:
    """`steps`: most boxes of a class."""

    node: ImportNode
    steps: int

    @property
    def build(self) -> GraphBuilder:
        """The builder of the node."""
        return self.node.build

    def result(self) -> Output:
        """The selected triples."""
        build = self.build
        batches, _, count = self.node.shape(1)
        left, boxes = self._candidates(), self._boxes()
        table = build.reshape(build.concat([boxes.low, boxes.high], 1), (batches, 4, count))
        table = build.transpose(table, (0, 2, 1))
        few = max(FEW, self.steps)
        if 2 * few > count or not self._has_threshold():
            return self._triples(*self._picked(left, boxes, table))
        real = build.emit(graph.NotOp(build.emit(graph.EqualOp(left, self._none()))))
        most = build.reduce(build.reduce(build.cast(real, I32), "sum", [3]), "max", [0, 1, 2])
        fits = build.emit(graph.LessOrEqualOp(most, build.scalar_of(few, I32)))
        picked = branch(
            build,
            build.reshape(fits, ()),
            lambda: self._picked_of_few(left, table, few),
            lambda: self._picked(left, boxes, table),
        )
        return self._triples(picked[0], picked[1], picked[2])

    def _picked_of_few(self, left: SSAValue, table: SSAValue, few: int) -> list[SSAValue]:
        """The same, of the `few` best boxes of each class only, where no class has more candidates."""
        build = self.build
        batches, classes, _ = self.node.shape(1)
        order = build.emit(graph.ArgsortOp(left, few, True))
        best_left = gather_elements(build, left, order, 3)
        rows = gather_3d(build, table, build.reshape(order, (batches, classes * few, 1)))
        columns = build.reshape(build.transpose(rows, (0, 2, 1)), (batches, 4, classes, few))
        low, high = (build.slice_axis(columns, 1, part, 2) for part in (0, 2))
        boxes = Boxes(low, high, self._area(low, high))
        lines = build.reshape(rows, (batches * classes, few, 4))
        places, found, ran = self._picked(best_left, boxes, lines)
        order = build.reshape(order, (batches * classes, few, 1))
        places = build.reshape(places, (batches * classes, self.steps, 1))
        return [build.reshape(gather_3d(build, order, places), shape_of(found)), found, ran]

    def _picked(self, left: SSAValue, boxes: Boxes, table: SSAValue) -> list[SSAValue]:
        """Of scores `left` [batch, 1, classes, n] and boxes, whose corners `table` [lines, n, 4] has as rows: what each
        class picks in each step [batch * classes, steps], whether it found a box, and how many steps there were."""
        build = self.build
        lines = shape_of(left)[0] * shape_of(left)[2]
        limit = self._threshold(3)

        def step(state: Step) -> Yielded:
            rest = state.carried[1]
            best = build.emit(graph.ArgsortOp(rest, 1, True))
            found = build.emit(graph.NotOp(build.emit(graph.EqualOp(self._at(rest, best), self._none()))))
            shares = self._shares(boxes, self._chosen(table, best))
            rest = build.emit(graph.WhereOp(build.emit(graph.GreaterOp(shares, limit)), self._none(), rest))
            rest = build.emit(graph.WhereOp(self._is_box(best, shape_of(rest)[3]), self._none(), rest))
            ran = build.add(state.number, build.constant(np.asarray(1, np.int64), "one"))
            return [self._any(found), rest, ran], [build.reshape(each, (lines,)) for each in (best, found)]

        go = build.constant(np.ones((), np.bool_), f"{self.node.label}.go")
        start = build.constant(np.zeros((), np.int64), f"{self.node.label}.start")
        carried, stacked = loop(build, Loop([go, left, start], steps=self.steps, conditional=True), step)
        best, found = (build.transpose(each, (1, 0)) for each in stacked)
        return [best, found, carried[2]]

    def _has_threshold(self) -> bool:
        return self.node.has(4) and 0 not in self.node.shape(4)

    def _threshold(self, index: int) -> SSAValue:
        """A scalar input, 0 where it is left out."""
        value = self.node.optional(index)
        if value is None or 0 in shape_of(value):
            return self.build.scalar_of(0, element_type("f32"))
        return self.build.reshape(value, (1, 1, 1, 1))

    def _none(self) -> SSAValue:
        """The score of a box that is not to be had any more."""
        return self.build.scalar_of(-np.inf, element_type("f32"))

    def _candidates(self) -> SSAValue:
        """Scores [batch, 1, classes, n]: those of boxes that are no candidates are -inf, which no other is."""
        build = self.build
        batches, classes, count = self.node.shape(1)
        scores = build.reshape(self.node.input(1), (batches, 1, classes, count))
        finite = build.emit(graph.MaxOp(scores, build.scalar_of(_LEAST, element_type("f32"))))
        if not self._has_threshold():
            return finite
        above = build.emit(graph.GreaterOp(scores, self._threshold(4)))
        return build.emit(graph.WhereOp(above, finite, self._none()))

    def _boxes(self) -> Boxes:
        """The boxes, corners [batch, 2, 1, n]."""
        build, node = self.build, self.node
        batches, count, _ = node.shape(0)
        columns = build.transpose(node.input(0), (0, 2, 1))
        first, second = (
            build.reshape(build.slice_axis(columns, 1, part, 2), (batches, 2, 1, count)) for part in (0, 2)
        )
        if node.integer("center_point_box"):  # x, y, width, height
            first, half = (build.slice_axis(each, 1, 1, 2, -1) for each in (first, build.scaled(second, 0.5)))
            low, high = build.sub(first, half), build.add(first, half)
        else:  # two opposite corners, y before x
            low, high = build.emit(graph.MinOp(first, second)), build.emit(graph.MaxOp(first, second))
        return Boxes(low, high, self._area(low, high))

    def _area(self, low: SSAValue, high: SSAValue) -> SSAValue:
        """[batch, 1, .., n]: product of the sides of corners [batch, 2, .., n]."""
        return self.build.reduce(self.build.sub(high, low), "prod", [1])

    def _chosen(self, table: SSAValue, best: SSAValue) -> Boxes:
        """The boxes at positions `best` [batch, 1, classes, 1] of a table by batch, or by batch and class."""
        build = self.build
        batches, _, classes, _ = shape_of(best)
        lines = shape_of(table)[0]
        found = gather_3d(build, table, build.reshape(best, (lines, batches * classes // lines, 1)))
        found = build.transpose(build.reshape(found, (batches, classes, 4)), (0, 2, 1))
        low, high = (
            build.reshape(build.slice_axis(found, 1, part, 2), (batches, 2, classes, 1)) for part in (0, 2)
        )
        return Boxes(low, high, self._area(low, high))

    def _at(self, left: SSAValue, best: SSAValue) -> SSAValue:
        """The scores at positions `best` [batch, 1, classes, 1]."""
        batches, _, classes, count = shape_of(left)
        lines = self.build.reshape(left, (batches * classes, count, 1))
        places = self.build.reshape(best, (batches * classes, 1, 1))
        return self.build.reshape(gather_3d(self.build, lines, places), (batches, 1, classes, 1))

    def _is_box(self, best: SSAValue, count: int) -> SSAValue:
        places = np.arange(count, dtype=np.int64)
        return self.build.emit(graph.EqualOp(self.build.constant(places, f"{self.node.label}.boxes"), best))

    def _shares(self, boxes: Boxes, chosen: Boxes) -> SSAValue:
        """How much of their union a box and the chosen one of its class share [batch, 1, classes, n].

        Written so that each value is used by the next one (`min(h - l, h - l')` is `h - max(l, l')`, rounding
        included): then the sides are one group, and everything behind them another. Boxes that share something have
        areas, and so has their union; of others nothing is asked but that the quotient is 0 or not a number.
        """
        build = self.build
        zero = build.scalar_of(0, element_type("f32"))
        upper = build.emit(graph.MinOp(boxes.high, chosen.high))
        sides = build.emit(graph.MinOp(build.sub(upper, boxes.low), build.sub(upper, chosen.low)))
        shared = build.reduce(build.emit(graph.MaxOp(sides, zero)), "prod", [1])
        meet = build.emit(graph.GreaterOp(shared, zero))
        areas = build.add(build.emit(graph.WhereOp(meet, chosen.area, zero)), boxes.area)
        return build.div(shared, build.sub(areas, shared))

    def _any(self, found: SSAValue) -> SSAValue:
        """Whether any class has found a box: after the last one there is one step that finds none."""
        build = self.build
        return build.cast(build.reshape(build.reduce(build.cast(found, I32), "max", [0, 1, 2, 3]), ()), BOOL)

    def _triples(self, best: SSAValue, found: SSAValue, ran: SSAValue) -> Output:
        """From what each class picked [batch * classes, steps], if it found one in a step that ran, to the list."""
        build = self.build
        batches, classes, _ = self.node.shape(1)
        number = np.arange(self.steps, dtype=np.int64)
        happened = build.emit(graph.LessOp(build.constant(number, f"{self.node.label}.steps"), ran))
        valid = build.emit(graph.AndOp(found, happened))
        total = batches * classes * self.steps
        valid, best = (build.reshape(each, (total,)) for each in (valid, best))
        places = build.emit(graph.NonzeroOp(valid, total, I32))
        line = build.div(places, build.scalar_of(self.steps, I32))
        batch = build.div(line, build.scalar_of(classes, I32))
        kind = build.emit(graph.RemOp(line, build.scalar_of(classes, I32)))
        columns = [build.cast(batch, I64), build.cast(kind, I64), gather(build, best, places, 0)]
        triples = build.concat([build.reshape(column, (total, 1)) for column in columns], 1)
        return Bounded(triples, (count_of(build, valid), 3))
