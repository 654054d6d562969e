"""What each tile operation becomes: mnemonic, fields, and the strided view that every operand field means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from npuisa.errors import NpuError
from npuisa.instructions import Engine, NormFn, ReduceFn, ScatterFn
from xdsl.dialects.builtin import IntegerAttr, IntegerType, MemRefType
from xdsl.ir import SSAValue
from xdsl.ir.affine import AffineDimExpr, AffineMap

from npucc.analysis.views import View, resolve_view
from npucc.dialects import tile
from npucc.dialects.npu_ops.instruction import FieldValue
from npucc.passes.npu.descriptors import Dims, merge_axes
from npucc.passes.npu.faults import TILE_OP


@dataclass(frozen=True)
class OperandView:
    """Field name, the view of the buffer, and the dims and strides (elements) that the instruction sees."""

    field: str
    view: View
    dims: Dims
    strides: Dims
    fill: float | int = 0


@dataclass(frozen=True)
class Form:
    """An instruction but for its registers. `kernel`: the `tile.map` whose body it runs."""

    mnemonic: str
    operands: Sequence[OperandView] = ()
    fields: dict[str, FieldValue] = field(default_factory=dict)
    unit: Engine | None = None
    accumulate: SSAValue | None = None
    kernel: tile.MapOp | None = None


def form_of(op: tile.InstructionOp) -> Form:
    """The instruction for `op`; NpuError for an operation without one."""
    make = FORMS.get(type(op))
    if make is None:
        raise NpuError(TILE_OP, "no instruction for this operation", op.name, op.name, "add it to operations.py")
    return make(op)


def _plain(name: str, value: SSAValue) -> OperandView:
    view = resolve_view(value)
    return OperandView(name, view, view.dims, view.strides)


def _merged(operands: Sequence[OperandView], keep: int = 0) -> list[OperandView]:
    """Operands with equal dims, in as few axes as they have in common."""
    dims, strides = merge_axes(operands[0].dims, [operand.strides for operand in operands], keep)
    return [OperandView(each.field, each.view, dims, step, each.fill) for each, step in zip(operands, strides)]


def _mapped(name: str, value: SSAValue, map_: AffineMap, loops: Sequence[tuple[int, int]]) -> OperandView:
    """A view with one axis per `(dim of the map, extent)`; stride 0 where the operand has no such axis."""
    view = resolve_view(value)
    stride_of = {
        expr.position: stride for expr, stride in zip(map_.results, view.strides) if isinstance(expr, AffineDimExpr)
    }
    dims = tuple(extent for _, extent in loops)
    return OperandView(name, view, dims, tuple(stride_of.get(dim, 0) for dim, _ in loops))


def _copy(op: tile.CopyOp) -> Form:
    return Form("dma.copy", _merged([_plain("dst", op.dst), _plain("src", op.src)]), unit=_engine(op))


def _fill(op: tile.FillOp) -> Form:
    view = resolve_view(op.dst)
    value = op.fill_value
    fill = float(value) if view.dtype.is_float else int(value)
    operand = OperandView("dst", view, view.dims, view.strides, fill)
    return Form("dma.fill", _merged([operand]), unit=_engine(op))


def _sync(op: tile.SyncOp) -> Form:
    count = op.count.value.data
    return Form("q.sync", fields={} if count == 1 else {"count": count}, unit=_engine(op))


def _engine(op: tile.InstructionOp) -> Engine:
    return Engine[op.engine.upper()]


def _gemm(op: tile.GemmOp) -> Form:
    a_map, b_map = op.maps
    dims = op.dims
    batch, m, n, k = list(range(len(dims) - 3)), len(dims) - 3, len(dims) - 2, len(dims) - 1
    dst = _plain("dst", op.dst)
    a = _mapped("a", op.a, a_map, [(d, dims[d]) for d in (*batch, m, k)])
    b = _mapped("b", op.b, b_map, [(d, dims[d]) for d in (*batch, k, n)])
    return Form("mx.gemm", _merge_batch([dst, a, b]), accumulate=op.accumulate)


def _merge_batch(operands: Sequence[OperandView]) -> list[OperandView]:
    """The leading axes of a product in as few axes as its operands have in common; none for one matrix."""
    lead = operands[0].dims[:-2]
    if all(extent == 1 for extent in lead):
        return [OperandView(each.field, each.view, each.dims[-2:], each.strides[-2:]) for each in operands]
    batch, strides = merge_axes(lead, [each.strides[:-2] for each in operands])
    return [
        OperandView(each.field, each.view, batch + each.dims[-2:], step + each.strides[-2:])
        for each, step in zip(operands, strides)
    ]


def _window_fields(op: tile.ConvOp | tile.DwconvOp) -> dict[str, FieldValue]:
    (stride_h, dilation_h, pad_h), (stride_w, dilation_w, pad_w) = op.geometry
    return _without_defaults(
        {"stride_h": stride_h, "stride_w": stride_w, "dilation_h": dilation_h, "dilation_w": dilation_w},
        {"pad_h": pad_h, "pad_w": pad_w},
    )


def _without_defaults(ones: dict[str, int], zeros: dict[str, int]) -> dict[str, FieldValue]:
    """The fields that differ from the table's default, which is 1 or 0."""
    kept: dict[str, FieldValue] = {name: value for name, value in ones.items() if value != 1}
    return kept | {name: value for name, value in zeros.items() if value != 0}


def _conv(op: tile.ConvOp) -> Form:
    groups = _without_defaults({"groups": op.groups.value.data}, {})
    operands = [_plain("dst", op.dst), _plain("x", op.x), _plain("w", op.w)]
    return Form("mx.conv", operands, _window_fields(op) | groups, accumulate=op.accumulate)


def _dwconv(op: tile.DwconvOp) -> Form:
    operands = [_plain("dst", op.dst), _plain("x", op.x), _plain("w", op.w)]
    return Form("mx.dwconv" if op.engine == "mx" else "v.dwconv", operands, _window_fields(op))


def _reduce(op: tile.ReduceOp) -> Form:
    mask = sum(1 << axis for axis in op.axes.get_values())
    fields: dict[str, FieldValue] = {"fn": ReduceFn[op.fn.data.upper()], "axes": mask}
    return Form("v.reduce", [_plain("dst", op.dst), _plain("src", op.src)], fields, accumulate=op.accumulate)


def _window(op: tile.WindowOp) -> Form:
    axis_a, axis_b = op.axes.get_values()
    size_a, size_b = op.sizes.get_values()
    (stride_a, dilation_a, pad_a), (stride_b, dilation_b, pad_b) = op.geometry
    fields: dict[str, FieldValue] = {"fn": ReduceFn[op.fn.data.upper()], "axis_a": axis_a, "size_a": size_a}
    fields |= {"axis_b": axis_b, "size_b": size_b}
    fields |= _without_defaults(
        {"stride_a": stride_a, "dilation_a": dilation_a, "stride_b": stride_b, "dilation_b": dilation_b},
        {"pad_a": pad_a, "pad_b": pad_b},
    )
    return Form("v.window", [_plain("dst", op.dst), _plain("src", op.src)], fields)


def _norm(op: tile.NormOp) -> Form:
    operands = _merged([_plain("dst", op.dst), _plain("src", op.src)], keep=1)
    return Form("v.norm", operands, {"fn": NormFn[op.fn.data.upper()]})


def _lines(operands: Sequence[OperandView], axis: int = -1) -> list[OperandView]:
    """Operands of lines along `axis`, which may differ in length: it comes last, the other axes are as few as the
    operands have in common."""
    operands = [
        replace(each, dims=_last(each.dims, axis), strides=_last(each.strides, axis)) for each in operands
    ]
    lead = operands[0].dims[:-1]
    if all(extent == 1 for extent in lead):
        return [replace(each, dims=each.dims[-1:], strides=each.strides[-1:]) for each in operands]
    rows, strides = merge_axes(lead, [each.strides[:-1] for each in operands])
    return [
        replace(each, dims=rows + each.dims[-1:], strides=step + each.strides[-1:])
        for each, step in zip(operands, strides)
    ]


def _last(values: Dims, axis: int) -> Dims:
    """`values` with the one of `axis` at the end."""
    line = axis % len(values)
    return (*values[:line], *values[line + 1 :], values[line])


def _sort(op: tile.SortOp) -> Form:
    operands = _lines([_plain("dst", op.dst), _plain("src", op.src)], op.axis.value.data)
    return Form("v.sort", [*operands, _plain("work", op.work)], _flags(descending=op.descending))


def _flags(**flags: IntegerAttr[IntegerType]) -> dict[str, FieldValue]:
    """The fields that are set."""
    return {name: 1 for name, flag in flags.items() if flag.value.data}


def _scan(op: tile.ScanOp) -> Form:
    fields: dict[str, FieldValue] = {"fn": ReduceFn[op.fn.data.upper()]}
    fields |= _flags(exclusive=op.exclusive, reverse=op.reverse)
    return Form("v.scan", _lines([_plain("dst", op.dst), _plain("src", op.src)], op.axis.value.data), fields)


def _compress(op: tile.CompressOp) -> Form:
    dst = replace(_plain("dst", op.dst), fill=op.padding.value.data)
    values = [] if op.values is None else [_plain("src", op.values)]
    return Form("v.compress", _lines([dst, _plain("mask", op.mask), *values]))


def _gather(op: tile.GatherOp) -> Form:
    operands = [_plain("dst", op.dst), _plain("src", op.src), _indices(op.indices, op.dst)]
    return _indexed("gather", op, operands, {})


def _scatter(op: tile.ScatterOp) -> Form:
    operands = [_plain("dst", op.dst), _plain("src", op.src), _indices(op.indices, op.src)]
    fn = ScatterFn[op.fn.data.upper()]
    return _indexed("scatter", op, operands, {} if fn is ScatterFn.NONE else {"fn": fn})


def _indices(value: SSAValue, moved: SSAValue) -> OperandView:
    """The index array with the dims of the elements that move; stride 0 where they share it."""
    view, dims = resolve_view(value), resolve_view(moved).dims
    strides = tuple(0 if extent == 1 else stride for extent, stride in zip(view.dims, view.strides))
    return OperandView("indices", view, dims, strides)


def _indexed(
    name: str, op: tile.GatherOp | tile.ScatterOp, operands: Sequence[OperandView], fields: dict[str, FieldValue]
) -> Form:
    on_vx = op.engine == "vx"
    return Form(f"v.{name}" if on_vx else f"dma.{name}", operands, fields, unit=None if on_vx else _engine(op))


def _map(op: tile.MapOp) -> Form:
    on_out = op.engine == "out"
    names = ("acc", "s1", "s2", "s3") if on_out else ("s0", "s1", "s2", "s3")
    dst = _plain("dst", op.dst)
    loops = list(enumerate(dst.dims))
    sources = [_mapped(*operand, loops) for operand in zip(names, op.inputs, op.affine_maps)]
    return Form("out.store" if on_out else "v.map", _merged([dst, *sources]), kernel=op)


FORMS: dict[type[tile.InstructionOp], Callable[..., Form]] = {
    tile.CopyOp: _copy,
    tile.FillOp: _fill,
    tile.SyncOp: _sync,
    tile.GemmOp: _gemm,
    tile.ConvOp: _conv,
    tile.DwconvOp: _dwconv,
    tile.ReduceOp: _reduce,
    tile.WindowOp: _window,
    tile.NormOp: _norm,
    tile.SortOp: _sort,
    tile.ScanOp: _scan,
    tile.CompressOp: _compress,
    tile.GatherOp: _gather,
    tile.ScatterOp: _scatter,
    tile.MapOp: _map,
}


def short_text(op: tile.InstructionOp) -> str:
    """The operation and the shape it writes, such as `tile.gemm 197x64xf32`, for the debug map."""
    written = op.writes()
    if not written or not isinstance(written[0].type, MemRefType):
        return op.name
    shape = "x".join(str(extent) for extent in written[0].type.get_shape())
    return f"{op.name} {shape}x{tile.machine_dtype(written[0].type.element_type)}"
