"""Matrix products."""

from __future__ import annotations

from xdsl.ir import SSAValue

from npucc.frontend.dequantized import dequantized_matmul
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported
from npucc.frontend.registry import onnx_op
from npucc.types import element_of, is_float, shape_of


@onnx_op("MatMul")
def matmul(node: ImportNode) -> SSAValue:
    """NumPy's matmul: vectors are promoted to matrices and the axis is taken away again."""
    a, b, build = node.input(0), node.input(1), node.build
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        raise Malformed("operands of MatMul have rank 1 or more", f"shapes {list(left)} and {list(right)}")
    if left[-1] != right[-2 if len(right) > 1 else -1]:
        raise Malformed("the inner sizes agree", f"shapes {list(left)} and {list(right)}")
    integers = dequantized_matmul(node)
    if integers is not None:
        return integers
    matrix_a = build.reshape(a, (1, *left)) if len(left) == 1 else a
    matrix_b = build.reshape(b, (*right, 1)) if len(right) == 1 else b
    y = build.matmul(matrix_a, matrix_b)
    shape = list(shape_of(y))
    if len(right) == 1:
        shape.pop()
    if len(left) == 1:
        shape.pop(-1 if len(right) == 1 else -2)
    return build.reshape(y, shape)


@onnx_op("Gemm")
def gemm(node: ImportNode) -> SSAValue:
    """alpha * A' B' + beta * C."""
    a, b, build = node.input(0), node.input(1), node.build
    if len(shape_of(a)) != 2 or len(shape_of(b)) != 2:
        raise Malformed("A and B are matrices", f"shapes {list(shape_of(a))} and {list(shape_of(b))}")
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if not node.integer("transA") and alpha == beta == 1:
        integers = dequantized_matmul(node, turn_b=bool(node.integer("transB")))
        if integers is not None:
            return integers
    a = build.transpose(a, (1, 0)) if node.integer("transA") else a
    b = build.transpose(b, (1, 0)) if node.integer("transB") else b
    known = build.known(b)
    if alpha != 1 and known is not None and is_float(element_of(b)):
        b = build.constant((known * known.dtype.type(alpha)).astype(known.dtype), f"{node.label}.scaled")
        alpha = 1.0
    y = build.scaled(build.matmul(a, b), alpha)
    c = node.optional(2)
    return y if c is None or beta == 0 else build.add(y, build.scaled(c, beta))


@onnx_op("Einsum")
def einsum(node: ImportNode) -> SSAValue:
    """One or two operands, each index at most once per operand, no ellipsis: sums, transposes and one matmul."""
    equation = node.text("equation").replace(" ", "")
    inputs, _, output = equation.partition("->")
    terms = inputs.split(",")
    if "->" not in equation:
        letters = inputs.replace(",", "")
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    if "." in equation or len(terms) > 2 or any(len(set(term)) != len(term) for term in [*terms, output]):
        rule = "Einsum has one or two operands, no ellipsis, and no index twice in one operand"
        raise Unsupported(rule, f"`{equation}`", "split it into several Einsum nodes, or use MatMul and Transpose")
    values = node.all_inputs()
    if not set(output) <= set("".join(terms)):
        raise Malformed("the output's indices are the operands'", f"`{equation}`")
    if len(values) != len(terms) or any(len(shape_of(v)) != len(t) for v, t in zip(values, terms)):
        raise Malformed("the equation matches the operands", f"`{equation}`, {[shape_of(v) for v in values]}")
    if len(terms) == 1:
        return _einsum_one(node, terms[0], values[0], output)
    return _einsum_two(node, (terms[0], terms[1]), (values[0], values[1]), output)


def _einsum_one(node: ImportNode, term: str, x: SSAValue, output: str) -> SSAValue:
    """Sum out what the output lacks, then transpose."""
    build = node.build
    summed = [axis for axis, letter in enumerate(term) if letter not in output]
    kept = [letter for letter in term if letter in output]
    x = build.reshape(build.reduce(x, "sum", summed), [n for n, letter in zip(shape_of(x), term) if letter in kept])
    return build.transpose(x, [kept.index(letter) for letter in output])


def _einsum_two(node: ImportNode, terms: tuple[str, str], values: tuple[SSAValue, SSAValue], output: str) -> SSAValue:
    """[batch, m, k] x [batch, k, n], where each of batch, m, n, k stands for several indices."""
    build = node.build
    # An index of one operand that the output lacks is summed first.
    left = "".join(letter for letter in terms[0] if letter in output or letter in terms[1])
    right = "".join(letter for letter in terms[1] if letter in output or letter in terms[0])
    a, b = _einsum_one(node, terms[0], values[0], left), _einsum_one(node, terms[1], values[1], right)
    sizes = dict(zip(left, shape_of(a))) | dict(zip(right, shape_of(b)))
    batch = [c for c in left if c in right and c in output]
    inner = [c for c in left if c in right and c not in output]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]

    def product(letters: list[str]) -> int:
        result = 1
        for letter in letters:
            result *= sizes[letter]
        return result

    def arrange(x: SSAValue, term: str, *parts: list[str]) -> SSAValue:
        order = [*batch, *parts[0], *parts[1]]
        moved = build.transpose(x, [term.index(letter) for letter in order])
        return build.reshape(moved, (product(batch), product(parts[0]), product(parts[1])))

    y = build.matmul(arrange(a, left, rows, inner), arrange(b, right, inner, columns))
    order = [*batch, *rows, *columns]
    y = build.reshape(y, [sizes[letter] for letter in order])
    return build.transpose(y, [order.index(letter) for letter in output])
