# ruff: noqa: E501 (program text)
"""Views: every element of a memref value is the element of the buffer that NumPy finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.analysis.index import LinearIndex, linear_index, loop_bounds
from npucc.analysis.views import View, resolve_view, root_of
from npuisa.errors import NpuError
from tile_text import parse
from xdsl.dialects import memref, scf
from xdsl.ir import SSAValue


def elements(view: View, counters: dict[SSAValue, int]) -> np.ndarray:
    """Element numbers of the buffer that a view shows."""
    base = view.offset.evaluate(counters)
    numbers = [
        base + sum(i * s for i, s in zip(index, view.strides))
        for index in itertools.product(*(range(dim) for dim in view.dims))
    ]
    return np.array(numbers).reshape(view.dims)


@st.composite
def slices(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    steps = [draw(st.integers(1, 3)) for _ in shape]
    starts = [draw(st.integers(0, extent - 1)) for extent in shape]
    sizes = [draw(st.integers(1, (n - s - 1) // p + 1)) for n, s, p in zip(shape, starts, steps)]
    return tuple(shape), tuple(starts), tuple(sizes), tuple(steps)


def subview_text(shape: tuple[int, ...], starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]):
    """A program with a subview of a subview: the second takes every element again, from the first's."""
    strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    offset = sum(a * b for a, b in zip(starts, strides))
    dims, outer = "x".join(map(str, shape)), "x".join(map(str, sizes))
    layout = f"strided<{[a * b for a, b in zip(strides, steps)]}, offset: {offset}>"
    return f"""
      %t = tile.alloc "t" : memref<{dims}xf32, #sram>
      %v = memref.subview %t{list(starts)} {list(sizes)} {list(steps)} : memref<{dims}xf32, #sram> to memref<{outer}xf32, {layout}, #sram>
      """


@given(slices())
@settings(max_examples=40, deadline=None)
def test_subview_is_a_numpy_slice(case) -> None:
    shape, starts, sizes, steps = case
    module = parse(subview_text(*case))
    (op,) = [op for op in module.walk() if isinstance(op, memref.SubviewOp)]
    view = resolve_view(op.result)
    whole = np.arange(np.prod(shape)).reshape(shape)
    expected = whole[tuple(slice(s, s + n * p, p) for s, n, p in zip(starts, sizes, steps))]
    assert (elements(view, {}) == expected).all()
    assert view.root is op.source and root_of(op.result) is op.source
    low, high = view.element_range()
    assert (low + view.offset.constant, high + view.offset.constant) == (expected.min(), expected.max() + 1)


def test_offsets_follow_loops_and_index_arithmetic() -> None:
    module = parse("""
      %t = tile.alloc "t" : memref<64x32xf32, #sram>
      %c0 = arith.constant 0 : index
      %c2 = arith.constant 2 : index
      %c8 = arith.constant 8 : index
      scf.for %i = %c0 to %c8 step %c2 {
        scf.for %j = %c2 to %c8 step %c2 {
          %a = arith.muli %i, %c8 : index
          %b = arith.subi %a, %i : index
          %c = affine.apply affine_map<(d0)[s0] -> (d0 * 2 + s0 + 1)> (%j)[%i]
          %v = memref.subview %t[%b, %c] [1, 4] [1, 1] : memref<64x32xf32, #sram> to memref<1x4xf32, strided<[32, 1], offset: ?>, #sram>
          %u = memref.subview %v[0, 1] [1, 2] [1, 1] : memref<1x4xf32, strided<[32, 1], offset: ?>, #sram> to memref<2xf32, strided<[1], offset: ?>, #sram>
        }
      }
      """)
    loops = [op for op in module.walk() if isinstance(op, scf.ForOp)]
    i, j = (loop.body.block.args[0] for loop in loops)
    assert loop_bounds(loops[1]).count == 3 and list(loop_bounds(loops[0]).values()) == [0, 2, 4, 6]
    last = [op for op in module.walk() if isinstance(op, memref.SubviewOp)][-1]
    view = resolve_view(last.result)
    assert view.dims == (2,) and view.strides == (1,)
    assert dict(view.offset.terms) == {i: 7 * 32 + 1, j: 2} and view.offset.constant == 2
    assert view.offset.evaluate({i: 4, j: 6}) == 28 * 32 + (2 * 6 + 4 + 1) + 1


def test_bitcast_changes_the_type_alone() -> None:
    module = parse(
        """
      %t = tile.alloc "t" : memref<4x6xf32, #sram>
      %v = memref.subview %t[1, 2] [2, 3] [1, 1] : memref<4x6xf32, #sram> to memref<2x3xf32, strided<[6, 1], offset: 8>, #sram>
      %b = tile.bitcast %v : memref<2x3xf32, strided<[6, 1], offset: 8>, #sram> to memref<2x3xi32, strided<[6, 1], offset: 8>, #sram>
      """
    )
    cast = next(op for op in module.walk() if op.name == "tile.bitcast")
    source, view = resolve_view(cast.operands[0]), resolve_view(cast.results[0])
    assert (elements(source, {}) == elements(view, {})).all()
    assert (str(source.dtype), str(view.dtype)) == ("f32", "i32")
    assert view.root is source.root is root_of(cast.results[0])


def test_reshapes() -> None:
    module = parse("""
      %t = tile.alloc "t" : memref<4x6x8xf32, #sram>
      %v = memref.subview %t[1, 0, 0] [2, 6, 8] [1, 1, 1] : memref<4x6x8xf32, #sram> to memref<2x6x8xf32, strided<[48, 8, 1], offset: 48>, #sram>
      %c = memref.collapse_shape %v [[0 : i64], [1 : i64, 2 : i64]] : memref<2x6x8xf32, strided<[48, 8, 1], offset: 48>, #sram> into memref<2x48xf32, strided<[48, 1], offset: 48>, #sram>
      %e = memref.expand_shape %c [[0 : i64], [1 : i64, 2 : i64]] output_shape [2, 12, 4] : memref<2x48xf32, strided<[48, 1], offset: 48>, #sram> into memref<2x12x4xf32, strided<[48, 4, 1], offset: 48>, #sram>
      %r = memref.reinterpret_cast %t to offset: [0], sizes: [24, 8], strides: [8, 1] : memref<4x6x8xf32, #sram> to memref<24x8xf32, #sram>
      %w = memref.subview %t[0, 0, 0] [4, 6, 4] [1, 1, 1] : memref<4x6x8xf32, #sram> to memref<4x6x4xf32, strided<[48, 8, 1]>, #sram>
      %bad = memref.collapse_shape %w [[0 : i64], [1 : i64, 2 : i64]] : memref<4x6x4xf32, strided<[48, 8, 1]>, #sram> into memref<4x24xf32, #sram>
      """)
    found = {op.results[0].name_hint: op.results[0] for op in module.walk() if op.results}
    whole = np.arange(4 * 6 * 8)
    part = whole.reshape(4, 6, 8)[1:3]
    assert (elements(resolve_view(found["c"]), {}) == part.reshape(2, 48)).all()
    assert (elements(resolve_view(found["e"]), {}) == part.reshape(2, 12, 4)).all()
    assert (elements(resolve_view(found["r"]), {}) == whole.reshape(24, 8)).all()
    with pytest.raises(NpuError, match="not a static strided view"):
        resolve_view(found["bad"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%v = arith.muli %i, %i : index", "product of two loop counters"),
        ("%v = arith.divui %i, %c2 : index", "arith.divui"),
        ("%v = affine.apply affine_map<(d0) -> (d0 mod 2)> (%i)", "affine expression"),
    ],
)
def test_not_linear(line: str, message: str) -> None:
    module = parse(f"""
      %c0 = arith.constant 0 : index
      %c2 = arith.constant 2 : index
      scf.for %i = %c0 to %c2 step %c2 {{
        {line}
      }}
      """)
    (op,) = [op for op in module.walk() if op.results and op.results[0].name_hint == "v"]
    with pytest.raises(NpuError, match=message):
        linear_index(op.results[0])


def test_linear_index_is_a_ring() -> None:
    module = parse(
        "%c0 = arith.constant 0 : index\nscf.for %i = %c0 to %c0 step %c0 {\n%k = arith.constant 1 : index\n}"
    )
    (loop,) = [op for op in module.walk() if isinstance(op, scf.ForOp)]
    i = linear_index(loop.body.block.args[0])
    assert (i + i.scaled(-1)) == LinearIndex() and i.scaled(0).is_constant and not i.is_constant
    with pytest.raises(NpuError, match="positive step"):
        loop_bounds(loop)
