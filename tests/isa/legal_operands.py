"""Strategy for operands that keep the rules of their instruction; written from the reference, not from the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from npuisa.descriptor import Descriptor
from npuisa.dtypes import DTYPES, dtype_named
from npuisa.instructions import NO_OPERAND, DescField, FieldSpec, Instruction, Operand
from npuisa.program import Program

ALL = tuple(dtype.name for dtype in DTYPES)
FLOATS = tuple(dtype.name for dtype in DTYPES if dtype.is_float and dtype.bits >= 16)
INTEGERS = tuple(dtype.name for dtype in DTYPES if not dtype.is_float and dtype.bits >= 8)
POSITIONS = ("i32", "i64")
SIZES = st.integers(1, 9)
Shapes = dict[str, tuple[int, ...]]


@st.composite
def legal_fields(draw: st.DrawFn, program: Program, cls: type[Instruction]) -> dict[str, Any]:
    """Values of the operands of a `cls` and of the fields their rule depends on; adds descriptors to `program`."""
    make = {
        "dma.copy": _copy,
        "dma.fill": _fill,
        "mx.gemm": _gemm,
        "mx.conv": _conv,
        "mx.dwconv": _depthwise,
        "v.dwconv": _depthwise,
        "out.store": _map,
        "v.map": _map,
        "v.reduce": _reduce,
        "v.window": _window,
        "v.norm": _norm,
        "v.sort": _sort,
        "v.scan": _norm,
        "v.compress": _compress,
        "q.sync": _sync,
        "d.set": _axis,
        "d.get": _axis,
        "s.ld": _element("src"),
        "s.st": _element("dst"),
        **dict.fromkeys(("dma.gather", "v.gather", "dma.scatter", "v.scatter"), _indexed),
    }.get(cls.mnemonic)
    if make is None:
        return {}
    shapes, values = make(draw, program)
    types = _types(draw, cls.mnemonic)
    specs = dict(cls.fields())
    for name, spec in specs.items():
        if spec.kind == "operand" and name in shapes:
            values[name] = _operand(draw, program, spec, shapes[name], types.get(name))
        elif spec.kind == "operand":
            values[name] = NO_OPERAND
    return values


def _operand(
    draw: st.DrawFn, program: Program, spec: FieldSpec, dims: tuple[int, ...], names: tuple[str, ...] | None
) -> Operand:
    """A view with axes in any order and gaps between them; a source may broadcast an axis or run backwards."""
    dtype = dtype_named(draw(st.sampled_from(names or FLOATS + INTEGERS)))
    strides, step = [0] * len(dims), 1
    for axis in draw(st.permutations(range(len(dims)))):
        step += draw(st.integers(0, 2))
        strides[axis] = step * draw(st.sampled_from((1, -1)))
        step *= dims[axis]
        if spec.access == "r" and draw(st.booleans()):
            strides[axis] = 0
    space = draw(st.sampled_from(spec.spaces))
    low, _ = Descriptor("", space, dtype, 0, dims, tuple(strides)).byte_range()
    base = draw(st.integers(0, 64)) * dtype.bytes - low
    program.descriptors.append(Descriptor("legal", space, dtype, base, dims, tuple(strides)))
    return Operand(len(program.descriptors) - 1, draw(st.integers(0, 31)))


def _types(draw: st.DrawFn, mnemonic: str) -> dict[str, tuple[str, ...]]:
    """Element types that an operand may have, where not all are legal."""
    if mnemonic.endswith(("gather", "scatter")):
        moved = (draw(st.sampled_from(ALL)),)
        return {"dst": moved, "src": moved, "indices": tuple(name for name in INTEGERS if name != "bool")}
    if mnemonic == "v.norm":
        return {"dst": FLOATS, "src": FLOATS}
    if mnemonic == "v.sort":
        return {"dst": POSITIONS, "work": ("i64", "u64", "f64"), "src": ("f32", "f16", "bf16", "i8", "u32", "bool")}
    if mnemonic == "v.scan":
        return dict.fromkeys(("dst", "src"), draw(st.sampled_from((FLOATS, INTEGERS))))
    if mnemonic == "v.compress":
        return {"count": POSITIONS} | dict.fromkeys(("dst", "src"), (draw(st.sampled_from(POSITIONS)),))
    if mnemonic in ("dma.copy", "dma.fill", "v.map"):
        return dict.fromkeys(("dst", "src", "s0", "s1", "s2", "s3"), ALL)
    if mnemonic == "out.store":
        return {"acc": ("f32", "f64", "i32", "i64")}
    if mnemonic not in ("mx.gemm", "mx.conv", "mx.dwconv", "v.dwconv"):
        return {}
    if draw(st.booleans()):
        sums, factors = ("i32", "i64"), INTEGERS
    else:
        sums, factors = (FLOATS if mnemonic == "v.dwconv" else ("f32", "f64")), FLOATS
    return {"dst": sums} | dict.fromkeys(("a", "b", "x", "w"), factors)


def _dims(draw: st.DrawFn, least: int, most: int) -> tuple[int, ...]:
    return tuple(draw(st.lists(SIZES, min_size=least, max_size=most)))


def _sync(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    return {}, {"count": draw(st.integers(1, 255))}


def _axis(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    """A descriptor with one of its axes, or its base, for which the axis is not looked at."""
    desc = draw(st.integers(0, len(program.descriptors) - 1))
    rank = len(program.descriptors[desc].dims)
    if rank == 0 or draw(st.booleans()):
        return {}, {"desc": desc, "part": DescField.BASE, "axis": draw(st.integers(0, 7))}
    parts = (DescField.DIM, DescField.STRIDE)
    return {}, {"desc": desc, "part": draw(st.sampled_from(parts)), "axis": draw(st.integers(0, rank - 1))}


def _element(name: str) -> Callable[[st.DrawFn, Program], tuple[Shapes, dict[str, Any]]]:
    return lambda draw, program: ({name: (1,) * draw(st.integers(0, 4))}, {})


def _copy(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    dims = _dims(draw, 0, 5)
    return {"dst": dims, "src": dims}, {}


def _fill(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    return {"dst": _dims(draw, 0, 5)}, {}


def _indexed(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    b, n, r = (draw(SIZES) for _ in range(3))
    return {"dst": (b, n, r), "src": (b, n, r), "indices": (b, n, r)}, {}


def _norm(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    dims = _dims(draw, 1, 4)
    return {"dst": dims, "src": dims}, {}


def _sort(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    src = _dims(draw, 1, 4)
    count = draw(st.integers(1, src[-1]))
    # Twice the power of two that holds the wanted elements; 64-bit keys would need a word of their own (see `_types`).
    words = min(src[-1], 2 * next(block for block in (1, 2, 4, 8, 16) if block >= count))
    return {"dst": (*src[:-1], count), "src": src, "work": (words,)}, {}


def _compress(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    mask = _dims(draw, 1, 4)
    shapes = {"dst": (*mask[:-1], draw(st.integers(1, mask[-1]))), "mask": mask}
    if draw(st.booleans()):
        shapes["src"] = mask
    if draw(st.booleans()):
        shapes["count"] = (*mask[:-1], 1)
    return shapes, {}


def _gemm(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    m, k, n, batch = draw(SIZES), draw(SIZES), draw(SIZES), _dims(draw, 0, 2)
    return {"dst": (*batch, m, n), "a": (*batch, m, k), "b": (*batch, k, n)}, {}


def _image(draw: st.DrawFn, inputs: int, outputs: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    n = draw(SIZES)
    return (n, draw(SIZES), draw(SIZES), inputs), (n, draw(SIZES), draw(SIZES), outputs)


def _steps(draw: st.DrawFn, *names: str) -> dict[str, Any]:
    return {name: draw(st.sampled_from((1, 2, 255, 256, 65535))) for name in names}


_HW = ("stride_h", "stride_w", "dilation_h", "dilation_w")


def _conv(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    groups, inputs, outputs = (draw(st.integers(1, 3)) for _ in range(3))
    x, dst = _image(draw, groups * inputs, groups * outputs)
    w = (draw(SIZES), draw(SIZES), inputs, groups * outputs)
    return {"dst": dst, "x": x, "w": w}, {"groups": groups} | _steps(draw, *_HW)


def _depthwise(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    channels = draw(SIZES)
    x, dst = _image(draw, channels, channels)
    return {"dst": dst, "x": x, "w": (draw(SIZES), draw(SIZES), channels)}, _steps(draw, *_HW)


def _map(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    kernel = draw(st.sampled_from([i for i, kernel in enumerate(program.kernels) if kernel.source_types]))
    dims, count = _dims(draw, 0, 4), len(program.kernels[kernel].source_types)
    out = ("acc", "s1", "s2", "s3")[:count]
    return dict.fromkeys(("dst", *out, *("s0", "s1", "s2", "s3")[:count]), dims), {"kernel": kernel}


def _reduce(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    src = _dims(draw, 1, 5)
    axes = draw(st.integers(0, (1 << len(src)) - 1))
    dst = tuple(1 if axes >> axis & 1 else dim for axis, dim in enumerate(src))
    return {"dst": dst, "src": src}, {"axes": axes}


def _window(draw: st.DrawFn, program: Program) -> tuple[Shapes, dict[str, Any]]:
    src = _dims(draw, 2, 5)
    first, second = draw(st.permutations(range(len(src))))[:2]
    dst = tuple(draw(SIZES) if axis in (first, second) else dim for axis, dim in enumerate(src))
    steps = _steps(draw, "size_a", "size_b", "stride_a", "stride_b", "dilation_a", "dilation_b")
    return {"dst": dst, "src": src}, {"axis_a": first, "axis_b": second} | steps
