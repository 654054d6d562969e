"""What each engine knows about the progress of the others, at every point of the program: vector clocks."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

Vector = dict[str, int]
"""Engine -> number in program order up to which all of its instructions are known to be done."""


@dataclass
class _Timeline:
    """Vectors of one engine in the order in which it learned."""

    times: list[int] = field(default_factory=list[int])
    vectors: list[Vector] = field(default_factory=list[Vector])


class Knowledge:
    """Happens-before by semaphores. Numbers refer to the current iteration of the loops that hold them.

    What an engine learns inside a loop about instructions of that loop holds after the loop for its last
    iteration (loops run at least once), and at later places of the same iteration.
    """

    def __init__(self) -> None:
        self._timelines: dict[str, _Timeline] = {}

    def at(self, engine: str, time: int) -> Vector:
        """What `engine` knows when it has finished its instructions up to number `time`."""
        timeline = self._timelines.get(engine)
        index = bisect_right(timeline.times, time) if timeline else 0
        return timeline.vectors[index - 1] if timeline and index else {}

    def knows(self, engine: str, other: str, number: int, time: int) -> bool:
        """Whether at `time` `engine` knows that `other` is done with its instructions up to `number`."""
        return engine == other or self.at(engine, time).get(other, 0) >= number

    def learn(self, engine: str, other: str, number: int, time: int) -> None:
        """At `time` `engine` has waited for `other` to be done with everything up to `number`.

        With it comes what `other` knew by then. Times per engine must not decrease.
        """
        vector = dict(self.at(engine, time))
        for third, known in self.at(other, number).items():
            if third != engine:
                vector[third] = max(vector.get(third, 0), known)
        vector[other] = max(vector.get(other, 0), number)
        timeline = self._timelines.setdefault(engine, _Timeline())
        timeline.times.append(time)
        timeline.vectors.append(vector)
