"""Reuse of memory by repetition: pool slots that come round again, and buffers that a loop uses every iteration.

Generation n of a pool of depth d may begin when generation n - d is over. So every engine that ends a generation
posts, and every engine that begins one waits, on a semaphore that starts at d. A buffer that lives outside a loop
whose iterations pass it between engines is the same with d = 1 and an iteration as generation. Each generation
waits once and posts once, so that the credits are back at d when all is done, for whoever uses the semaphore
next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.ir import Operation

from npucc.synchronisation.tree import Node


@dataclass(frozen=True)
class Spot:
    """A place in an engine's queue: before or after a node, or (no node to attach to) after an operation."""

    node: Node | None
    after: bool
    anchor: Operation | None = None


@dataclass
class Rotation:
    """One use of a semaphore that starts at `credits`.

    In every execution of their scope, `consumer` waits once at each of `waits` and `producer` posts once at
    each of `posts`. In use from number `first` to `last` in program order.
    """

    producer: str
    consumer: str
    credits: int
    group: int
    first: int
    last: int
    waits: list[Spot] = field(default_factory=list[Spot])
    posts: list[Spot] = field(default_factory=list[Spot])
