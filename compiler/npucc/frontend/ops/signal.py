"""Running products."""

from __future__ import annotations

from xdsl.ir import SSAValue

from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import shape_of

MAX_RUNNING = 256


@onnx_op("CumProd")
def running_products(node: ImportNode) -> SSAValue:
    """y_i = x_i y_(i-1), unrolled."""
    build, x = node.build, node.input(0)
    shape = shape_of(x)
    axis = node.wrap_axis(int(node.constant(1, "axis").reshape(-1)[0]), len(shape))
    size = shape[axis]
    if size > MAX_RUNNING:
        raise Unsupported(f"running products span at most {MAX_RUNNING} elements", f"{size} elements")
    pieces = [build.slice_axis(x, axis, index, 1) for index in range(size)]
    if node.integer("reverse"):
        pieces.reverse()
    if node.integer("exclusive") and pieces:
        pieces = [build.expand(build.scalar(1, x), shape_of(pieces[0])), *pieces[:-1]]
    products: list[SSAValue] = []
    for piece in pieces:
        products.append(build.mul(products[-1], piece) if products else piece)
    if node.integer("reverse"):
        products.reverse()
    return build.concat(products, axis) if products else x
