"""Between ONNX's channels-first layout and the channels-last layout of the graph dialect's windowed ops."""

from __future__ import annotations

from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder
from npucc.types import shape_of


def to_channels_last(build: GraphBuilder, x: SSAValue) -> SSAValue:
    """[n, c, spatial] -> [n, spatial, c]; one spatial axis becomes an image of height 1: [n, c, l] -> [n, 1, l, c]."""
    rank = len(shape_of(x))
    if rank == 3:
        n, c, length = shape_of(x)
        return build.reshape(build.transpose(x, (0, 2, 1)), (n, 1, length, c))
    return build.transpose(x, (0, *range(2, rank), 1))


def to_channels_first(build: GraphBuilder, y: SSAValue, spatial: int) -> SSAValue:
    """The inverse of `to_channels_last` for `spatial` axes."""
    if spatial == 1:
        n, _, length, c = shape_of(y)
        return build.transpose(build.reshape(y, (n, length, c)), (0, 2, 1))
    return build.transpose(y, (0, spatial + 1, *range(1, spatial + 1)))
