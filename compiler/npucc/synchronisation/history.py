"""Latest accesses to buffers and to ranges of addresses."""

from __future__ import annotations

from dataclasses import dataclass, field

from npucc.synchronisation.tree import Node


@dataclass
class History:
    """Per engine the latest instruction that wrote, and the latest that read."""

    writes: dict[str, Node] = field(default_factory=dict[str, Node])
    reads: dict[str, Node] = field(default_factory=dict[str, Node])

    def record(self, node: Node, write: bool) -> None:
        """`node` has accessed it."""
        table = self.writes if write else self.reads
        table[node.engine] = node

    def merge(self, other: History) -> None:
        """Keep the later of both per engine."""
        for mine, theirs in ((self.writes, other.writes), (self.reads, other.reads)):
            for engine, node in theirs.items():
                if engine not in mine or mine[engine].first < node.first:
                    mine[engine] = node

    def copy(self) -> History:
        """A history that can be changed on its own."""
        return History(dict(self.writes), dict(self.reads))

    def conflicts(self, write: bool) -> list[Node]:
        """Accesses that a new read, or write, must come after."""
        return [*self.writes.values(), *(self.reads.values() if write else ())]


class AddressMap:
    """Histories of disjoint ranges of addresses in one memory."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, History]] = []

    def of_range(self, low: int, high: int) -> History:
        """What has been accessed within bytes [low, high)."""
        merged = History()
        for start, end, history in self._ranges:
            if start < high and low < end:
                merged.merge(history)
        return merged

    def replace(self, low: int, high: int, history: History) -> None:
        """From now on, `history` describes bytes [low, high)."""
        kept: list[tuple[int, int, History]] = []
        for start, end, old in self._ranges:
            if start < low:
                kept.append((start, min(end, low), old))
            if high < end:
                kept.append((max(start, high), end, old))
        self._ranges = [*kept, (low, high, history)]
