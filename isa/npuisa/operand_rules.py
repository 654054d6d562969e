"""What the operands of each instruction must be: ranks, dims, element types, alignment, distinct bytes.

The rules do not depend on a target. They are said here only: `validate_program` (so the loader and the assembler)
and the simulators' decoder apply them, and semantics and cost formulas rely on them.

For every operand: its base is a multiple of the element size (a register that moves it must keep that; checked when
it is used). For every destination: no byte belongs to two elements, in the form that an address generator can
check: taken by growing stride, each axis steps over all that the axes before it span. Then one rule per class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from npuisa.descriptor import Descriptor
from npuisa.descriptor_encoding import check_fill
from npuisa.dtypes import NARROW_FLOATS, SUB_BYTE_INTEGERS, DType
from npuisa.encoding import layout
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import (
    NO_OPERAND,
    DescField,
    DGet,
    DmaCopy,
    DmaFill,
    DmaGather,
    DmaScatter,
    DSet,
    Engine,
    Instruction,
    MxConv,
    MxDwconv,
    MxGemm,
    Operand,
    OutStore,
    QSync,
    SLd,
    SSt,
    VCompress,
    VDwconv,
    VGather,
    VMap,
    VNorm,
    VReduce,
    VScan,
    VScatter,
    VSort,
    VWindow,
    sort_workspace,
)
from npuisa.kernel import Kernel

BAD_OPERANDS = error_code("NPU-E0312", ExitCode.BAD_INPUT, "Operands break the instruction's rule")

ACCUMULATOR_FLOATS = frozenset({"f32", "f64"})
ACCUMULATOR_INTEGERS = frozenset({"i32", "i64"})
POSITIONS = frozenset({"i32", "i64"})
"""Types in which instructions write positions and counts."""
_ACCUMULATE = "float operands accumulate in f32 or f64, integer operands in i32 or i64"

Views = Mapping[str, Descriptor]
"""The operands that are present, by field name, in the order of the class."""


class Broken(NamedTuple):
    """A rule that does not hold; without `found` the dims and types of all operands are shown."""

    message: str
    found: str = ""
    remedy: str = ""


OperandRule = Callable[[Any, Views, Sequence[Kernel]], Broken | None]
"""(instruction, its views, kernels of the program): the first broken rule or None."""


def check_operands(
    instruction: Instruction, descriptors: Sequence[Descriptor], kernels: Sequence[Kernel], where: str = ""
) -> None:
    """Raise NpuError (NPU-E0312) when the operands break a rule of the instruction.

    Indices must lie in the tables (see `validate`).
    """
    broken: Broken | None = None
    views: dict[str, Descriptor] = {}
    for slot in layout(type(instruction)):
        if slot.spec.kind != "operand":
            continue
        operand: Operand = getattr(instruction, slot.name)
        if operand != NO_OPERAND:
            views[slot.name] = view = descriptors[operand.desc]
            broken = broken or _view_problem(slot.name, view, "w" in slot.spec.access)
        elif not slot.spec.optional:
            broken = broken or Broken(f"operand {slot.name} is required", "no operand")
    if broken is None and isinstance(instruction, _COMPUTING):
        broken = _narrow_operand(views)
    rule = OPERAND_RULES.get(type(instruction))
    if instruction.engine is Engine.SEQ and (instruction.waits or instruction.posts):
        broken = Broken("the sequencer neither waits for nor posts semaphores", "", "use s.fence or q.sync")
    if isinstance(instruction, DSet | DGet):
        broken = broken or _axis_problem(instruction, descriptors[instruction.desc])
    if broken is None and rule is not None:
        broken = rule(instruction, views, kernels)
    if broken is not None:
        found = broken.found or shape_text(views)
        raise NpuError(BAD_OPERANDS, broken.message, where, found, broken.remedy or "see the instruction reference")


_NARROW = frozenset((*NARROW_FLOATS, *SUB_BYTE_INTEGERS))
_COMPUTING = (SLd, SSt, MxGemm, MxConv, MxDwconv, VDwconv, VReduce, VWindow, VNorm, VScan)


def _narrow_operand(views: Views) -> Broken | None:
    """Only transfers, kernels, gathers and scatters know the types of 8-bit floats and integers of less than 8."""
    if not any(view.dtype in _NARROW for view in views.values()):
        return None
    return Broken("no arithmetic in this element type", remedy="convert it before, with dma.copy or v.map")


def shape_text(views: Views) -> str:
    """Element types and dims of operands, for messages."""
    return ", ".join(f"{name} {view.dtype}{list(view.dims)}" for name, view in views.items())


def _view_problem(name: str, view: Descriptor, written: bool) -> Broken | None:
    if view.base % view.dtype.bytes:
        message = f"operand {name} ({view.name}) is not aligned to its element size of {view.dtype.bytes} bytes"
        return Broken(message, f"base {view.base:#x}", f"use a multiple of {view.dtype.bytes}")
    if written and not distinct_elements(view.dims, view.strides):
        found = f"{view.name}: dims {view.dims}, strides {view.strides}"
        remedy = "by growing stride, each axis must step over the extent of the axes before it"
        return Broken(f"destination {name} has several elements in the same place", found, remedy)
    return None


def _axis_problem(instruction: DSet | DGet, view: Descriptor) -> Broken | None:
    """Only axes that the descriptor has have dims and strides: ranks do not change."""
    if instruction.part is DescField.BASE or instruction.axis < len(view.dims):
        return None
    return Broken("the descriptor has no such axis", f"axis {instruction.axis}, {view.name} has {len(view.dims)}")


@lru_cache(maxsize=65536)
def distinct_elements(dims: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether axes are nested: by growing |stride|, each one exceeds the reach of all smaller ones."""
    if 0 in dims:
        return True
    reach = 0
    for stride, dim in sorted((abs(stride), dim) for dim, stride in zip(dims, strides) if dim > 1):
        if stride <= reach:
            return False
        reach += (dim - 1) * stride
    return True


def _accumulates(a: DType, b: DType, dst: DType) -> bool:
    """Whether products of `a` and `b` can be summed in `dst`."""
    if a.is_float != b.is_float:
        return False
    return dst.name in (ACCUMULATOR_FLOATS if a.is_float else ACCUMULATOR_INTEGERS)


def _at_least_one(instruction: Instruction, *fields: str) -> Broken | None:
    for name in fields:
        if getattr(instruction, name) < 1:
            return Broken(f"{name} must be 1 or more", f"{getattr(instruction, name)}")
    return None


def _sync(instruction: QSync, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    return _at_least_one(instruction, "count")


def _element(instruction: SLd | SSt, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    (view,) = views.values()
    return None if view.elements == 1 else Broken("a scalar access moves exactly one element")


def _copy(instruction: DmaCopy, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    same = views["dst"].dims == views["src"].dims
    return None if same else Broken("source and destination differ in shape")


def _fill(instruction: DmaFill, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    check_fill(views["dst"])
    return None


def _gather(instruction: DmaGather | VGather, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    return _indexed(views, table="src", moved="dst")


def _scatter(instruction: DmaScatter | VScatter, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    return _indexed(views, table="dst", moved="src")


def _indexed(views: Views, table: str, moved: str) -> Broken | None:
    rows, part, indices = views[table], views[moved], views["indices"]
    if not len(rows.dims) == len(part.dims) == len(indices.dims) == 3:
        return Broken("operands need rank 3")
    outer = (rows.dims[0], rows.dims[2])
    if part.dims != indices.dims or (part.dims[0], part.dims[2]) != outer:
        return Broken(f"dims must be {table} [b, s, r], {moved} [b, n, r], indices [b, n, r] (stride 0 shares)")
    if part.elements and not rows.dims[1]:
        return Broken("the indexed axis has no elements")
    if rows.dtype != part.dtype:
        return Broken("source and destination need the same element type")
    if indices.dtype.is_float or indices.dtype.name == "bool":
        return Broken("indices are integers")
    return None


def _gemm(instruction: MxGemm, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, a, b = views["dst"], views["a"], views["b"]
    if not len(dst.dims) == len(a.dims) == len(b.dims) >= 2:
        return Broken("operands need equal ranks of 2 or more")
    batch, k = dst.dims[:-2], a.dims[-1]
    if a.dims != (*batch, dst.dims[-2], k) or b.dims != (*batch, k, dst.dims[-1]):
        return Broken("dims must be dst [.., m, n], a [.., m, k], b [.., k, n]")
    if not _accumulates(a.dtype, b.dtype, dst.dtype):
        return Broken("no such combination of element types", remedy=_ACCUMULATE)
    return None


def _conv(instruction: MxConv, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, x, w = views["dst"], views["x"], views["w"]
    if not len(dst.dims) == len(x.dims) == len(w.dims) == 4:
        return Broken("operands need rank 4")
    groups, outputs = instruction.groups, dst.dims[3]
    fits = groups > 0 and w.dims[2] * groups == x.dims[3] and w.dims[3] == outputs and outputs % groups == 0
    if not fits or x.dims[0] != dst.dims[0]:
        message = "dims must be x [n, h, w, ci], w [kh, kw, ci / groups, co], dst [n, oh, ow, co]"
        return Broken(message, f"{shape_text(views)}, groups {groups}")
    if not _accumulates(x.dtype, w.dtype, dst.dtype):
        return Broken("no such combination of element types", remedy=_ACCUMULATE)
    return _at_least_one(instruction, "stride_h", "stride_w", "dilation_h", "dilation_w")


def _dwconv(instruction: MxDwconv | VDwconv, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, x, w = views["dst"], views["x"], views["w"]
    if (len(dst.dims), len(x.dims), len(w.dims)) != (4, 4, 3):
        return Broken("operands need ranks dst 4, x 4, w 3")
    if x.dims[0] != dst.dims[0] or not x.dims[3] == dst.dims[3] == w.dims[2]:
        return Broken("dims must be x [n, h, w, c], w [kh, kw, c], dst [n, oh, ow, c]")
    # The vector engine rounds a float sum to the type of dst; the accumulators hold sums.
    rounds = isinstance(instruction, VDwconv) and x.dtype.is_float and w.dtype.is_float and dst.dtype.is_float
    if not rounds and not _accumulates(x.dtype, w.dtype, dst.dtype):
        return Broken("no such combination of element types", remedy=_ACCUMULATE)
    return _at_least_one(instruction, "stride_h", "stride_w", "dilation_h", "dilation_w")


def _store(instruction: OutStore, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    if views["acc"].dtype.name not in ACCUMULATOR_FLOATS | ACCUMULATOR_INTEGERS:
        return Broken("accumulators hold f32, f64, i32 or i64")
    return _map(instruction, views, kernels)


def _map(instruction: OutStore | VMap, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    names = [slot.name for slot in layout(type(instruction)) if slot.spec.kind == "operand"][1:]
    wanted = len(kernels[instruction.kernel].source_types)
    if list(views) != ["dst", *names[:wanted]]:
        return Broken(f"the kernel takes {wanted} sources, in order")
    dims = views["dst"].dims
    if any(view.dims != dims for view in views.values()):
        return Broken("sources must have the dims of dst (stride 0 broadcasts)")
    return None


def _reduce(instruction: VReduce, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, src = views["dst"], views["src"]
    expected = tuple(1 if instruction.axes >> axis & 1 else dim for axis, dim in enumerate(src.dims))
    if dst.dims != expected or instruction.axes >> len(src.dims):
        return Broken(f"dst must have dims {expected} for the axis mask {instruction.axes:#b}")
    return None


def _window(instruction: VWindow, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, src = views["dst"], views["src"]
    axes = (instruction.axis_a, instruction.axis_b)
    if axes[0] == axes[1] or max(axes) >= len(src.dims):
        return Broken("a window needs two different axes of src", f"{shape_text(views)}, axes {axes}")
    others = [axis for axis in range(len(src.dims)) if axis not in axes]
    if len(dst.dims) != len(src.dims) or any(dst.dims[axis] != src.dims[axis] for axis in others):
        return Broken("dst and src may differ only on the window's axes", f"{shape_text(views)}, axes {axes}")
    return _at_least_one(instruction, "size_a", "size_b", "stride_a", "stride_b", "dilation_a", "dilation_b")


def _norm(instruction: VNorm, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, src = views["dst"], views["src"]
    if dst.dims != src.dims or not dst.dims:
        return Broken("source and destination need the same dims, at least one")
    if not src.dtype.is_float or not dst.dtype.is_float:
        return Broken("softmax is defined for floats")
    return None


def _sort(instruction: VSort, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, src, work = views["dst"], views["src"], views["work"]
    broken = _positions(dst, src)
    if broken is not None:
        return broken
    words = sort_workspace(src.dims[-1], dst.dims[-1], src.dtype.bits)
    if work.dims == (words,) and work.dtype.bits == 64:
        return None
    return Broken(f"work needs dims ({words},) of a 64-bit type for lines of these sizes")


def _positions(dst: Descriptor, src: Descriptor) -> Broken | None:
    """`dst` holds positions in the lines of `src`, at most one per element."""
    if not dst.dims or dst.dims[:-1] != src.dims[:-1] or dst.dims[-1] > src.dims[-1]:
        return Broken("dst needs the dims of its source, at least one, and at most as many elements per line")
    return None if dst.dtype.name in POSITIONS else Broken("positions are i32 or i64")


def _scan(instruction: VScan, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, src = views["dst"], views["src"]
    if dst.dims != src.dims or not dst.dims:
        return Broken("source and destination need the same dims, at least one")
    same = dst.dtype.is_float == src.dtype.is_float
    return None if same else Broken("floats run into floats and integers into integers")


def _compress(instruction: VCompress, views: Views, kernels: Sequence[Kernel]) -> Broken | None:
    dst, mask, src, count = views["dst"], views["mask"], views.get("src"), views.get("count")
    check_fill(dst)
    if src is None:
        broken = _positions(dst, mask)
    elif not dst.dims or src.dims != mask.dims or dst.dims[:-1] != mask.dims[:-1] or dst.dims[-1] > mask.dims[-1]:
        broken = Broken("src needs the dims of mask, and dst at most as many elements per line")
    else:
        broken = None if dst.dtype == src.dtype else Broken("elements keep their type")
    if broken is None and count is not None and count.dims != (*mask.dims[:-1], 1):
        broken = Broken("count has one element per line of mask")
    if broken is None and count is not None and count.dtype.name not in POSITIONS:
        broken = Broken("counts are i32 or i64")
    return broken


OPERAND_RULES: dict[type[Instruction], OperandRule] = {
    QSync: _sync,
    SLd: _element,
    SSt: _element,
    DmaCopy: _copy,
    DmaFill: _fill,
    DmaGather: _gather,
    DmaScatter: _scatter,
    MxGemm: _gemm,
    MxConv: _conv,
    MxDwconv: _dwconv,
    OutStore: _store,
    VMap: _map,
    VReduce: _reduce,
    VWindow: _window,
    VNorm: _norm,
    VDwconv: _dwconv,
    VSort: _sort,
    VScan: _scan,
    VCompress: _compress,
    VGather: _gather,
    VScatter: _scatter,
}
"""The rule of every instruction with operands and of q.sync; a new instruction adds its own here."""
