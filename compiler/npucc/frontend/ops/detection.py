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
from npucc.frontend.lookups import gather, gather_3d
from npucc.frontend.node import Bounded, ImportNode, Output
from npucc.frontend.ops.compaction import count_of
from npucc.frontend.problems import Malformed
from npucc.frontend.regions import Loop, Step, Yielded, loop
from npucc.frontend.registry import onnx_op
from npucc.types import BOOL, element_type, shape_of

I32, I64 = element_type("i32"), element_type("i64")
_LEAST = float(np.finfo(np.float32).min)


class Boxes(NamedTuple):
    """Corners (lower, upper) and areas; f32 tensors that broadcast against each other."""

    y1: SSAValue
    x1: SSAValue
    y2: SSAValue
    x2: SSAValue
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
        build, node = self.build, self.node
        batches, classes, count = node.shape(1)
        boxes = self._corners()
        parts = [build.reshape(part, (batches, count, 1)) for part in boxes]
        table = build.concat(parts, 2)
        limit = self._threshold(3)

        def step(state: Step) -> Yielded:
            left = state.carried[1]
            best = build.emit(graph.ArgsortOp(left, 1, True))
            chosen = self._rows(table, best)
            found = build.emit(graph.NotOp(build.emit(graph.EqualOp(self._at(left, best), self._none()))))
            gone = build.emit(graph.OrOp(self._overlap(boxes, chosen, limit), self._is_box(best)))
            rest = build.emit(graph.WhereOp(gone, self._none(), left))
            ran = build.add(state.number, build.constant(np.asarray(1, np.int64), "one"))
            rows = [build.reshape(each, (batches * classes,)) for each in (best, found)]
            return [self._any_left(rest), rest, ran], rows

        left = self._candidates()
        start = build.constant(np.zeros((), np.int64), f"{node.label}.start")
        wanted = Loop([self._any_left(left), left, start], steps=self.steps, conditional=True)
        carried, (best, found) = loop(build, wanted, step)
        return self._triples(best, found, carried[2])

    def _threshold(self, index: int) -> SSAValue:
        """A scalar input, 0 where it is left out."""
        value = self.node.optional(index)
        if value is None or 0 in shape_of(value):
            return self.build.scalar_of(0, element_type("f32"))
        return self.build.reshape(value, (1, 1, 1))

    def _none(self) -> SSAValue:
        """The score of a box that is not to be had any more."""
        return self.build.scalar_of(-np.inf, element_type("f32"))

    def _candidates(self) -> SSAValue:
        """Scores [batch, classes, n]: those of boxes that are no candidates are -inf, which no other is."""
        build, scores = self.build, self.node.input(1)
        finite = build.emit(graph.MaxOp(scores, build.scalar_of(_LEAST, element_type("f32"))))
        if not self.node.has(4) or 0 in self.node.shape(4):
            return finite
        above = build.emit(graph.GreaterOp(scores, self._threshold(4)))
        return build.emit(graph.WhereOp(above, finite, self._none()))

    def _corners(self) -> Boxes:
        """Parts of the boxes [batch, 1, n]."""
        build, node = self.build, self.node
        batches, count, _ = node.shape(0)
        columns = [
            build.reshape(build.slice_axis(node.input(0), 2, column, 1), (batches, 1, count)) for column in range(4)
        ]
        if node.integer("center_point_box"):
            x, y, width, height = columns
            half_w, half_h = (build.scaled(size, 0.5) for size in (width, height))
            x1, x2, y1, y2 = build.sub(x, half_w), build.add(x, half_w), build.sub(y, half_h), build.add(y, half_h)
        else:
            a, b, c, d = columns
            y1, y2 = build.emit(graph.MinOp(a, c)), build.emit(graph.MaxOp(a, c))
            x1, x2 = build.emit(graph.MinOp(b, d)), build.emit(graph.MaxOp(b, d))
        return Boxes(y1, x1, y2, x2, build.mul(build.sub(x2, x1), build.sub(y2, y1)))

    def _rows(self, table: SSAValue, best: SSAValue) -> Boxes:
        """The boxes [batch, classes, 1] at positions `best` of the table [batch, n, 5]."""
        found = gather_3d(self.build, table, best)
        return Boxes(*(self.build.slice_axis(found, 2, part, 1) for part in range(5)))

    def _at(self, left: SSAValue, best: SSAValue) -> SSAValue:
        """The scores at positions `best` [batch, classes, 1]."""
        batches, classes, count = shape_of(left)
        lines = self.build.reshape(left, (batches * classes, count, 1))
        places = self.build.reshape(best, (batches * classes, 1, 1))
        return self.build.reshape(gather_3d(self.build, lines, places), (batches, classes, 1))

    def _is_box(self, best: SSAValue) -> SSAValue:
        places = np.arange(self.node.shape(1)[2], dtype=np.int64)
        return self.build.emit(graph.EqualOp(self.build.constant(places, f"{self.node.label}.boxes"), best))

    def _overlap(self, boxes: Boxes, chosen: Boxes, limit: SSAValue) -> SSAValue:
        """Whether a box and the chosen one of its class have areas and share more than `limit` of their union."""
        build = self.build
        zero = build.scalar_of(0, element_type("f32"))
        sides = [
            build.sub(build.emit(graph.MinOp(high, high_too)), build.emit(graph.MaxOp(low, low_too)))
            for low, low_too, high, high_too in (
                (boxes.x1, chosen.x1, boxes.x2, chosen.x2),
                (boxes.y1, chosen.y1, boxes.y2, chosen.y2),
            )
        ]
        width, height = (build.emit(graph.MaxOp(side, zero)) for side in sides)
        shared = build.mul(width, height)
        union = build.sub(build.add(chosen.area, boxes.area), shared)
        ratio = build.div(shared, union)
        good = [build.emit(graph.GreaterOp(each, zero)) for each in (shared, boxes.area, chosen.area, union)]
        result = build.emit(graph.GreaterOp(ratio, limit))
        for each in good:
            result = build.emit(graph.AndOp(result, each))
        return result

    def _any_left(self, left: SSAValue) -> SSAValue:
        """Whether any class has a box left (NaN counts: it is above all scores)."""
        build = self.build
        gone = build.emit(graph.EqualOp(left, self._none()))
        here = build.cast(build.emit(graph.NotOp(gone)), I32)
        return build.cast(build.reshape(build.reduce(here, "max", [0, 1, 2]), ()), BOOL)

    def _triples(self, best: SSAValue, found: SSAValue, ran: SSAValue) -> Output:
        """From what each step [steps, batch * classes] chose, if it ran and found one, to the list by class."""
        build = self.build
        batches, classes, _ = self.node.shape(1)
        number = np.arange(self.steps, dtype=np.int64).reshape(-1, 1)
        happened = build.emit(graph.LessOp(build.constant(number, f"{self.node.label}.steps"), ran))
        valid = build.emit(graph.AndOp(found, happened))
        total = batches * classes * self.steps
        valid, best = (build.reshape(build.transpose(each, (1, 0)), (total,)) for each in (valid, best))
        places = build.emit(graph.NonzeroOp(valid, total, I32))
        line = build.div(places, build.scalar_of(self.steps, I32))
        batch = build.div(line, build.scalar_of(classes, I32))
        kind = build.emit(graph.RemOp(line, build.scalar_of(classes, I32)))
        columns = [build.cast(batch, I64), build.cast(kind, I64), gather(build, best, places, 0)]
        triples = build.concat([build.reshape(column, (total, 1)) for column in columns], 1)
        return Bounded(triples, (count_of(build, valid), 3))
