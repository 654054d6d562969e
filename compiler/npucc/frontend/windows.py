"""Geometry of sliding windows (convolution and pooling): ONNX's padding rules resolved to explicit padding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

from npuisa.encoding import field_limits
from npuisa.instructions import VWindow

from npucc.frontend.node import ImportNode
from npucc.frontend.problems import Malformed, Unsupported

LARGEST_STEP = min(field_limits(spec)[1] for name, spec in VWindow.fields() if name in ("stride_a", "dilation_a"))
"""Greatest stride, dilation and leading padding of the machine's window and convolution instructions."""


@dataclass(frozen=True)
class Window:
    """One spatial axis: positions `o * stride + k * dilation - before` for output o and kernel element k.

    `after` is the padding that the last window needs, so that `output` windows fit exactly. `declared_after` is the
    padding that the node asks for (it counts for averages that include padding; padding added by rounding up does not).
    """

    input: int
    output: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int
    declared_after: int

    @property
    def extent(self) -> int:
        """Positions from a window's first to its last element."""
        return (self.size - 1) * self.dilation + 1

    def thinned(self) -> tuple[Window, int, int]:
        """(window, first, step): the same windows over every step-th input position from `first` on.

        A stride and a dilation with a common divisor only ever meet one position in that many.
        """
        step = gcd(self.stride, self.dilation) if self.output > 1 else self.dilation
        if step == 1:
            return self, 0, 1
        first = -self.before % step
        before, stride, dilation = (self.before + first) // step, self.stride // step or 1, self.dilation // step
        last = (self.output - 1) * stride + (self.size - 1) * dilation - before
        size = min(-(-(self.input - first) // step), last + 1)
        return Window(size, self.output, self.size, stride, dilation, before, last + 1 - size, 0), first, step


def spatial_rank(node: ImportNode, shape: tuple[int, ...]) -> int:
    """Number of spatial axes of `[n, c, spatial...]`."""
    rank = len(shape) - 2
    if rank < 1:
        raise Malformed(f"{node.op_type} has an input of shape [n, c, spatial ...]", f"shape {list(shape)}")
    return rank


def per_axis(node: ImportNode, name: str, rank: int, least: int = 1) -> list[int]:
    """A per-axis attribute with default 1; Malformed if its length or a value is wrong."""
    values = node.integers(name) or [1] * rank
    if len(values) != rank or min(values) < least:
        raise Malformed(f"`{name}` holds {rank} integers >= {least}", f"{values}")
    return values


def explicit_pads(node: ImportNode, rank: int) -> tuple[list[int], list[int]]:
    """The `pads` attribute as (before, after) per axis."""
    pads = node.integers("pads") or [0] * (2 * rank)
    if len(pads) != 2 * rank or min(pads) < 0:
        raise Malformed(f"`pads` holds {2 * rank} integers >= 0", f"{pads}")
    return pads[:rank], pads[rank:]


def same_pads(total: int, upper: bool) -> tuple[int, int]:
    """`total` padding split in halves; an odd one goes to the end (SAME_UPPER) or the start."""
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def windows(node: ImportNode, spatial: tuple[int, ...], kernel: list[int]) -> list[Window]:
    """The window of each spatial axis, from strides, dilations, pads, auto_pad and ceil_mode of the node.

    Without ceil_mode every window of the padded input counts, also one that lies in the padding alone.
    """
    rank = len(spatial)
    if len(kernel) != rank or min(kernel) < 1:
        raise Malformed(f"the kernel has {rank} sizes >= 1", f"{kernel}")
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    before, after = explicit_pads(node, rank)
    mode, ceil_mode = node.text("auto_pad", "NOTSET"), bool(node.integer("ceil_mode"))
    result: list[Window] = []
    for axis, size in enumerate(spatial):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        low, high = before[axis], after[axis]
        if mode == "VALID":
            low = high = 0
        elif mode in ("SAME_UPPER", "SAME_LOWER"):
            total = (-(-size // strides[axis]) - 1) * strides[axis] + extent - size
            low, high = same_pads(max(total, 0), mode == "SAME_UPPER")
        output = _output_size(size + low + high - extent, strides[axis], ceil_mode)
        if ceil_mode and output > 1 and (output - 1) * strides[axis] >= size + low:
            output -= 1  # rounding up adds no window that would start in the padding behind the input
        if output < 1:
            found = f"axis {axis}: input {size}, padding {low} + {high}, window of {extent}"
            raise Malformed("the window fits into the padded input", found)
        needed = (output - 1) * strides[axis] + extent - size - low
        window = Window(size, output, kernel[axis], strides[axis], dilations[axis], low, max(needed, 0), high)
        result.append(_within_the_machine(window, axis))
    return result


def _within_the_machine(window: Window, axis: int) -> Window:
    """The same window with steps that the instructions hold; Unsupported when there is none."""
    if window.size == 1:
        window = replace(window, dilation=1)  # there is no second element to step to
    for name, value in (("stride", window.stride), ("dilation", window.dilation), ("padding", window.before)):
        if value > LARGEST_STEP:
            rule = f"strides, dilations and paddings of windows are at most {LARGEST_STEP}"
            remedy = "slice the input with a Slice node before this one" if name == "stride" else ""
            raise Unsupported(rule, f"{name} {value} on spatial axis {axis}", remedy or f"use a smaller {name}")
    return window


def _output_size(room: int, stride: int, ceil_mode: bool) -> int:
    """Number of window positions when the first window leaves `room` positions behind it, or lacks some."""
    return max((-(-room // stride) if ceil_mode else room // stride) + 1, 0)


def check_channels(kernel: tuple[int, ...], rank: int, channels: int, groups: int) -> None:
    """Weights [co, ci / groups, kernel] agree with `channels` = ci."""
    if len(kernel) != rank + 2:
        raise Malformed(f"the weights have rank {rank + 2}", f"shape {list(kernel)}")
    if groups < 1 or kernel[1] * groups != channels or kernel[0] % groups:
        found = f"{channels} channels, weights {list(kernel)}, group {groups}"
        raise Malformed("channels = weights' axis 1 x group, and group divides axis 0", found)
