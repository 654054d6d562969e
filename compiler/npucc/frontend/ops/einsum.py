"""Einsum: diagonals, sums, transposes, and a product for each operand after the first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import dtype_of, element_of, element_type, is_float, shape_of

Letters = tuple[str, ...]
"""Indices of a tensor, one per axis; `.0`, `.1`, ... are those of an ellipsis, counted from its last."""


@dataclass(frozen=True)
class Term:
    """A tensor and its indices, each of them once."""

    letters: Letters
    value: SSAValue

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each index."""
        return dict(zip(self.letters, shape_of(self.value)))


@onnx_op("Einsum")
def einsum(node: ImportNode) -> SSAValue:
    """The equation is NumPy's: ellipses, indices that occur twice in an operand, operands of size 1 that broadcast."""
    build, values = node.build, node.all_inputs()
    inputs, output = parse(node.text("equation"), [len(shape_of(value)) for value in values])
    terms = [_diagonal(build, letters, value) for letters, value in zip(inputs, values)]
    terms = _without_broadcast(build, terms)
    result = terms[0]
    for index, term in enumerate(terms[1:], 2):
        later = {letter for rest in terms[index:] for letter in rest.letters}
        result = _product(build, result, term, later | set(output))
    return _arranged(build, _summed(build, result, set(output)), output)


def parse(equation: str, ranks: list[int]) -> tuple[list[Letters], Letters]:
    """Indices of the operands and of the result; Malformed where the equation does not fit operands of these ranks."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise Malformed("the equation has a term for each operand", f"`{equation}`, {len(ranks)} operands")
    inputs = [_letters(term, rank, equation) for term, rank in zip(terms, ranks)]
    found = [letter for letters in inputs for letter in letters]
    dots = sorted({letter for letter in found if letter.startswith(".")}, key=lambda letter: -int(letter[1:]))
    if arrow:
        rank = len(right.replace("...", "")) + (len(dots) if "..." in right else 0)
        output = _letters(right, rank, equation)
    else:
        once = sorted(letter for letter in set(found) if found.count(letter) == 1 and not letter.startswith("."))
        output = (*dots, *once)
    if len(set(output)) != len(output) or not set(output) <= set(found):
        raise Malformed("the output's indices are the operands', each once", f"`{equation}`")
    return inputs, output


def _letters(term: str, rank: int, equation: str) -> Letters:
    before, dots, after = term.partition("...")
    named = before + after
    missing = rank - len(named)
    fits = missing >= 0 if dots else missing == 0
    if not fits or not all(letter.isascii() and letter.isalpha() for letter in named):
        raise Malformed("the equation matches the operands", f"`{equation}`, a term `{term}` for rank {rank}")
    return (*before, *(f".{place}" for place in reversed(range(missing))), *after)


def _diagonal(build: GraphBuilder, letters: Letters, value: SSAValue) -> Term:
    """Axes with the same index become one: every (n + 1)-th element of the two as one axis."""
    for letter in letters:
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            shape = shape_of(value)
            size = shape[first]
            if shape[second] != size:
                raise Malformed(f"index {letter} has one size", f"{size} and {shape[second]}")
            rest = [axis for axis in range(len(shape)) if axis not in (first, second)]
            kept = [shape[axis] for axis in rest]
            value = build.reshape(build.transpose(value, [*rest, first, second]), (*kept, size * size))
            value = build.slice_axis(value, len(rest), 0, size, size + 1)
            letters = (*(letters[axis] for axis in rest), letter)
    return Term(letters, value)


def _without_broadcast(build: GraphBuilder, terms: list[Term]) -> list[Term]:
    """An axis of size 1 whose index is longer elsewhere is no axis."""
    sizes: dict[str, int] = {}
    for term in terms:
        for letter, size in term.sizes.items():
            if sizes.setdefault(letter, size) == 1:
                sizes[letter] = size
            elif size not in (1, sizes[letter]):
                raise Malformed(f"index {letter} has one size", f"{sizes[letter]} and {size}")
    made: list[Term] = []
    for term in terms:
        kept = tuple(letter for letter in term.letters if term.sizes[letter] == sizes[letter])
        made.append(Term(kept, build.reshape(term.value, [term.sizes[letter] for letter in kept])))
    return made


def _summed(build: GraphBuilder, term: Term, wanted: set[str]) -> Term:
    """Without the indices that are not wanted."""
    axes = [axis for axis, letter in enumerate(term.letters) if letter not in wanted]
    kept = tuple(letter for letter in term.letters if letter in wanted)
    value = build.reduce(term.value, "sum", axes)
    return Term(kept, build.reshape(value, [term.sizes[letter] for letter in kept]))


def _arranged(build: GraphBuilder, term: Term, letters: Letters) -> SSAValue:
    return build.transpose(term.value, [term.letters.index(letter) for letter in letters])


def _product(build: GraphBuilder, left: Term, right: Term, wanted: set[str]) -> Term:
    """[batch, m, k] x [batch, k, n], where each of batch, m, n and k stands for several indices; without a matrix on
    both sides an element-wise product."""
    a = _summed(build, left, wanted | set(right.letters))
    b = _summed(build, right, wanted | set(left.letters))
    sizes = a.sizes | b.sizes
    shared = [letter for letter in a.letters if letter in b.letters]
    batch = [letter for letter in shared if letter in wanted]
    inner = [letter for letter in shared if letter not in wanted]
    rows = [letter for letter in a.letters if letter not in shared]
    columns = [letter for letter in b.letters if letter not in shared]
    if not inner or not (rows or columns):
        return _elementwise(build, a, b, (*batch, *rows, *columns), tuple(inner))

    def block(term: Term, *parts: list[str]) -> SSAValue:
        moved = _arranged(build, term, (*batch, *parts[0], *parts[1]))
        return build.reshape(moved, [math.prod(sizes[letter] for letter in part) for part in (batch, *parts)])

    element = element_of(a.value)
    narrow = not is_float(element) and dtype_of(element).bits < 32  # exact in 32 bits, and wraps as the sum would
    factors = [block(a, rows, inner), block(b, inner, columns)]
    y = build.matmul(*(build.cast(factor, element_type("i32")) if narrow else factor for factor in factors))
    order = (*batch, *rows, *columns)
    return Term(order, build.cast(build.reshape(y, [sizes[letter] for letter in order]), element))


def _elementwise(build: GraphBuilder, a: Term, b: Term, kept: Letters, inner: Letters) -> Term:
    """The products of elements, added up over `inner`."""
    order = (*kept, *inner)
    sizes = a.sizes | b.sizes
    factors: list[SSAValue] = []
    for term in (a, b):
        value = _arranged(build, term, tuple(letter for letter in order if letter in term.letters))
        value = build.widened(value) if inner else value
        factors.append(build.reshape(value, [sizes[letter] if letter in term.letters else 1 for letter in order]))
    products = build.mul(*factors)
    total = _summed(build, Term(order, products), set(kept))
    return Term(total.letters, build.cast(total.value, element_of(a.value)))
