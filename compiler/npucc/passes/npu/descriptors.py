"""Tensor descriptors of a program: equal ones are one, and views of several operands merge axes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from npuisa.descriptor import Descriptor

from npucc.passes.npu.limits import check_view

Dims = tuple[int, ...]


@dataclass
class Names:
    """Unique symbols."""

    taken: set[str] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)

    def unique(self, wanted: str) -> str:
        """`wanted`, with a number behind it when it is taken."""
        name = wanted
        while name in self.taken:
            self._next[wanted] = self._next.get(wanted, 0) + 1
            name = f"{wanted}.{self._next[wanted]}"
        self.taken.add(name)
        return name


@dataclass
class DescriptorPool:
    """The descriptors of a program, without duplicates."""

    names: Names
    items: list[Descriptor] = field(default_factory=list)
    _symbols: dict[Descriptor, str] = field(default_factory=dict)

    def symbol(self, descriptor: Descriptor, where: str) -> str:
        """The symbol of a descriptor equal to this one but for its name, which is the wish for a new one.

        NpuError when the machine has no such descriptor.
        """
        key = replace(descriptor, name="")
        if key not in self._symbols:
            check_view(descriptor, where)
            self._symbols[key] = self.names.unique(descriptor.name)
            self.items.append(replace(descriptor, name=self._symbols[key]))
        return self._symbols[key]


def merge_axes(dims: Dims, strides: Sequence[Dims], keep: int = 0) -> tuple[Dims, list[Dims]]:
    """Fewer axes for operands that share `dims`: axes of extent 1 vanish, contiguous neighbours become one.

    An axis merges with the next one when that is contiguous in every operand. The last `keep` axes stay. At
    least one axis remains.
    """
    split = len(dims) - keep
    axes = [axis for axis in range(split) if dims[axis] != 1]
    merged: list[tuple[int, Dims]] = []
    for axis in axes:
        step = tuple(each[axis] for each in strides)
        if merged and all(outer == inner * dims[axis] for outer, inner in zip(merged[-1][1], step)):
            merged[-1] = (merged[-1][0] * dims[axis], step)
        else:
            merged.append((dims[axis], step))
    merged += [(dims[axis], tuple(each[axis] for each in strides)) for axis in range(split, len(dims))]
    if not merged:
        merged = [(1, (1,) * len(strides))]
    return tuple(dim for dim, _ in merged), [tuple(step[i] for _, step in merged) for i in range(len(strides))]
