"""Strides, dilations and leading pads of sliding windows over two axes."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence

from xdsl.dialects.builtin import DenseArrayBase, i64
from xdsl.ir import Attribute
from xdsl.irdl import prop_def
from xdsl.utils.exceptions import VerifyException

from npucc.dialects.tile_ops.instruction import InstructionOp


class WindowGeometryOp(InstructionOp, ABC):
    """An instruction whose windows slide over two axes: position i covers
    `i * stride + p * dilation - pad_lo` for p below the window's size."""

    strides = prop_def(DenseArrayBase.constr(i64))
    dilations = prop_def(DenseArrayBase.constr(i64))
    pads_lo = prop_def(DenseArrayBase.constr(i64))

    @staticmethod
    def geometry_properties(
        strides: Sequence[int], dilations: Sequence[int], pads_lo: Sequence[int]
    ) -> dict[str, Attribute]:
        """The three properties, for a constructor."""
        return {
            "strides": DenseArrayBase.from_list(i64, strides),
            "dilations": DenseArrayBase.from_list(i64, dilations),
            "pads_lo": DenseArrayBase.from_list(i64, pads_lo),
        }

    @property
    def geometry(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """(stride, dilation, pad_lo) of the first and of the second axis."""
        rows = zip(self.strides.get_values(), self.dilations.get_values(), self.pads_lo.get_values())
        first, second = rows
        return first, second

    def verify_geometry(self) -> None:
        """Two positive strides and dilations, two non-negative pads."""
        for what, values, least in (
            ("strides", self.strides, 1),
            ("dilations", self.dilations, 1),
            ("pads_lo", self.pads_lo, 0),
        ):
            numbers = values.get_values()
            if len(numbers) != 2 or min(numbers) < least:
                raise VerifyException(
                    f"{what} must be two integers of at least {least}, found {list(numbers)}"
                )
