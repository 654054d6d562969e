"""What the machine guarantees about the order of instructions on different engines: vector clocks.

An instruction's clock says, per engine, how many of that engine's instructions are complete before this one
starts, in every legal execution. It follows from

* in-order engines: all earlier instructions of the same engine;
* `s.fence`: everything issued before it, for everything issued after it;
* the sequencer, which waits for its own loads and stores: each is complete for everything issued after it, and
  itself knows to be complete what the last fence waited for;
* `sem.init`: with it the books of the semaphore begin anew (all that used it must be known to be complete);
* semaphores: a wait that has taken n credits in all, of which `initial` were preset, proves that n - initial
  posts are done. With one posting engine these are its first n - initial posts. With several, each is
  guaranteed what the others, at the most they can have posted by then, cannot account for. With several
  waiting engines, only the waits known to precede this one count.

Full queues delay the sequencer as well, but nothing may depend on their depth.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from npuisa.instructions import Engine, QSync, SemInit, SFence, SLd, SSt
from npuisa.program import Program

from npusim.sequence import Issued, StaticInstruction

Clock = tuple[int, ...]
ENGINES = len(Engine)
_MOST_PASSES = 4
_SEQ = int(Engine.SEQ)


@dataclass(frozen=True, slots=True)
class Execution:
    """One executed instruction that an engine or, for loads and stores, the sequencer executes.

    It is the `number`-th (from 1) of `engine`; `position` in program order.
    """

    position: int
    issued: Issued
    engine: int
    number: int
    clock: Clock


@dataclass(slots=True)
class Ordering:
    """All executions in program order, and what is wrong with the semaphores.

    `blocked`: the first instruction that program order never lets start (the list ends before it), with the
    semaphore. `contended`: the first pair of executions per pair of instructions and semaphore that may take
    its credits in either order. `unsettled`: per `sem.init` and instruction, the last execution that uses the semaphore
    and need not be complete. `balance`, `peak`: final and greatest value of every semaphore in program order.
    """

    executions: list[Execution] = field(default_factory=list)
    blocked: tuple[Issued, int] | None = None
    contended: dict[tuple[int, int, int], tuple[Execution, Execution]] = field(default_factory=dict)
    unsettled: dict[tuple[int, int], Execution] = field(default_factory=dict)
    balance: list[int] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Ledger:
    """Posts (or waits) of one engine on one semaphore: execution numbers and credits up to each."""

    numbers: list[int] = field(default_factory=list)
    credits: list[int] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Credits in all."""
        return self.credits[-1] if self.credits else 0

    def add(self, execution: Execution, credits: int) -> None:
        """`execution` posts or takes `credits` more."""
        self.numbers.append(execution.number)
        self.credits.append(self.total + credits)
        self.executions.append(execution)

    def before(self, number: int) -> int:
        """Credits of the engine's first `number` instructions."""
        place = bisect_left(self.numbers, number + 1)
        return self.credits[place - 1] if place else 0

    def reaching(self, credits: int) -> Execution:
        """The execution with which the engine's credits reach `credits`."""
        return self.executions[bisect_left(self.credits, credits)]


def order(program: Program, statics: Sequence[StaticInstruction], stream: Iterable[Issued]) -> Ordering:
    """Clocks of every queued execution of `stream` (see `dynamic_stream`).

    Several posting engines on a semaphore need more than one pass: what a pass proves limits how much each of
    them can have posted, which proves more in the next.
    """
    issued = list(stream)
    posters = _posters(program, statics, issued)
    several = any(len(engines) > 1 for engines in posters)
    previous: _Pass | None = None
    for _ in range(_MOST_PASSES):
        current = _Pass(program, statics, posters, previous)
        current.run(issued)
        proved = [execution.clock for execution in current.ordering.executions]
        known = previous and [execution.clock for execution in previous.ordering.executions]
        previous = current
        if not several or proved == known:
            break
    assert previous is not None
    return previous.ordering


def credits_per_step(static: StaticInstruction) -> int:
    """How often the instruction takes each semaphore it waits for and posts each it posts."""
    return static.instruction.count if isinstance(static.instruction, QSync) else 1


def _posters(
    program: Program, statics: Sequence[StaticInstruction], issued: Sequence[Issued]
) -> list[set[int]]:
    """Engines that post each semaphore."""
    posters: list[set[int]] = [set() for _ in program.semaphores]
    for index in {record[0] for record in issued}:
        for semaphore in statics[index].posts:
            posters[semaphore].add(int(statics[index].engine))
    return posters


class _Pass:
    """One walk in program order."""

    def __init__(
        self,
        program: Program,
        statics: Sequence[StaticInstruction],
        posters: Sequence[set[int]],
        previous: _Pass | None,
    ) -> None:
        self.statics = statics
        self.posters = posters
        self.previous = previous
        self.initial = list(program.semaphores)
        self.epochs = [0] * len(program.semaphores)
        """How often each semaphore has been preset; `closed` holds the posts of the epochs that are over."""
        self.closed: dict[tuple[int, int], dict[int, _Ledger]] = {}
        self.ordering = Ordering(balance=list(program.semaphores), peak=list(program.semaphores))
        self.posts: list[dict[int, _Ledger]] = [{} for _ in program.semaphores]
        self.waits: list[dict[int, _Ledger]] = [{} for _ in program.semaphores]
        self.clocks = [[0] * ENGINES for _ in range(ENGINES)]
        self.numbers = [0] * ENGINES
        self.fenced = [0] * ENGINES

    def run(self, issued: Sequence[Issued]) -> None:
        """Walk until the end or until program order blocks."""
        for position, record in enumerate(issued):
            static = self.statics[record[0]]
            if static.engine is Engine.SEQ:
                self._sequencer(position, record, static)
                continue
            if not self._take(record, static):
                return
            self._execute(position, record, static)

    def _sequencer(self, position: int, record: Issued, static: StaticInstruction) -> None:
        instruction = static.instruction
        if isinstance(instruction, SFence):
            self.fenced = list(self.numbers)
        elif isinstance(instruction, SemInit):
            self._preset(record, instruction)
        elif isinstance(instruction, SLd | SSt):
            clock = list(self.fenced)
            clock[_SEQ] = self.numbers[_SEQ]
            self.numbers[_SEQ] += 1
            self.ordering.executions.append(Execution(position, record, _SEQ, self.numbers[_SEQ], tuple(clock)))

    def _preset(self, record: Issued, instruction: SemInit) -> None:
        semaphore = instruction.sem
        for ledger in (*self.posts[semaphore].values(), *self.waits[semaphore].values()):
            last = ledger.executions[-1]
            if last.number > self.fenced[last.engine]:
                self.ordering.unsettled.setdefault((record.pc, last.issued.pc), last)
        self.closed[semaphore, self.epochs[semaphore]] = self.posts[semaphore]
        self.epochs[semaphore] += 1
        self.posts[semaphore], self.waits[semaphore] = {}, {}
        self.initial[semaphore] = self.ordering.balance[semaphore] = instruction.value
        self.ordering.peak[semaphore] = max(self.ordering.peak[semaphore], instruction.value)

    def posted(self, semaphore: int, epoch: int) -> dict[int, _Ledger]:
        """By engine, all posts between two presets of the semaphore."""
        return self.closed.get((semaphore, epoch), self.posts[semaphore] if epoch == self.epochs[semaphore] else {})

    def _take(self, record: Issued, static: StaticInstruction) -> bool:
        """Move the semaphores' values in program order; False when a wait blocks."""
        balance, credits = self.ordering.balance, credits_per_step(static)
        for semaphore in static.waits:
            balance[semaphore] -= credits
            if balance[semaphore] < 0:
                self.ordering.blocked = record, semaphore
                return False
        for semaphore in static.posts:
            balance[semaphore] += credits
            self.ordering.peak[semaphore] = max(self.ordering.peak[semaphore], balance[semaphore])
        return True

    def _execute(self, position: int, record: Issued, static: StaticInstruction) -> None:
        engine, credits = int(static.engine), credits_per_step(static)
        clock = self.clocks[engine]
        _merge(clock, self.fenced)
        clock[_SEQ], clock[engine] = self.numbers[_SEQ], self.numbers[engine]
        number = self.numbers[engine] = self.numbers[engine] + 1
        for semaphore in static.waits:
            self._acquire(semaphore, engine, number, credits * static.waits.count(semaphore), clock)
        execution = Execution(position, record, engine, number, tuple(clock))
        self.ordering.executions.append(execution)
        for semaphore in dict.fromkeys(static.waits):
            self._note_contention(semaphore, execution)
            ledger = self.waits[semaphore].setdefault(engine, _Ledger())
            ledger.add(execution, credits * static.waits.count(semaphore))
        for semaphore in dict.fromkeys(static.posts):
            ledger = self.posts[semaphore].setdefault(engine, _Ledger())
            ledger.add(execution, credits * static.posts.count(semaphore))

    def _acquire(self, semaphore: int, engine: int, number: int, credits: int, clock: list[int]) -> None:
        """Merge into `clock` what taking `credits` of `semaphore` proves; repeat while that proves more."""
        waits, posts = self.waits[semaphore], self.posts[semaphore]
        while True:
            taken = credits - self.initial[semaphore]
            for waiter, ledger in waits.items():
                taken += ledger.before(clock[waiter])
            if taken <= 0:
                return
            most = {
                poster: self._most_posted(semaphore, poster, engine, number)
                for poster in self.posters[semaphore]
            }
            everybody = sum(most.values())
            changed = False
            for poster, ledger in posts.items():
                sure = min(taken - (everybody - most[poster]), ledger.total)
                if sure > 0:
                    source = ledger.reaching(sure)
                    changed |= source.number > clock[poster]
                    _merge(clock, source.clock)
                    clock[poster] = max(clock[poster], source.number)
            if not changed or len(waits) < 2:
                return

    def _most_posted(self, semaphore: int, poster: int, engine: int, number: int) -> int:
        """Credits that `poster` can have given before instruction `number` of `engine` starts."""
        if poster == engine:
            mine = self.posts[semaphore].get(poster)
            return mine.total if mine else 0
        known = self.previous and self.previous.posted(semaphore, self.epochs[semaphore]).get(poster)
        if known is None:
            return _UNLIMITED
        after = bisect_left(known.executions, number, key=lambda execution: execution.clock[engine])
        return known.credits[after - 1] if after else 0

    def _note_contention(self, semaphore: int, execution: Execution) -> None:
        """Another engine's earlier wait that is not known to be over may come second."""
        for waiter, ledger in self.waits[semaphore].items():
            if waiter != execution.engine and ledger.numbers[-1] > execution.clock[waiter]:
                first = ledger.executions[-1]
                key = first.issued[0], execution.issued[0], semaphore
                self.ordering.contended.setdefault(key, (first, execution))


_UNLIMITED = 1 << 40


def _merge(into: list[int], other: Sequence[int]) -> None:
    for engine, number in enumerate(other):
        if number > into[engine]:
            into[engine] = number
