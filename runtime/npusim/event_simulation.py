"""One run of the cycle model: events of engines and the sequencer, by the rules of `timing`."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from heapq import heappop, heappush

from npuisa.instructions import QUEUED_ENGINES, Engine, SBr, SemInit, SFence, SHalt
from npuisa.program import Program
from npuisa.target import Target

from npusim.bandwidth import Demand, Share, share
from npusim.cost import Cost, Traffic
from npusim.costs import BRANCH_TAKEN_CYCLES, ENGINE_LABELS
from npusim.costs_dma import port_bytes_per_cycle
from npusim.engine_state import (
    ALONE,
    Causes,
    Credit,
    EngineState,
    StallLog,
    Work,
    book_tail,
    changed_cost,
    prepare_work,
    timeline_entry,
)
from npusim.scalar_memory import AssumedLoads, Loaded, ReplayedLoads
from npusim.sequence import Issued, StaticInstruction, dynamic_stream
from npusim.timing_report import Books, assumed_note, build_result, deadlock
from npusim.timing_result import TimelineEntry, TimingResult

_READY, _FREE, _DONE = 0, 1, 2

WAIT_CAUSES = tuple(f"wait_{ENGINE_LABELS[engine]}" for engine in Engine)
"""By engine number: the cause of cycles in which others wait for it."""


class Simulation:
    """State of one run.

    The methods between `_issue` and `_reshare` run for every executed instruction. They trade some calls for
    speed: tests that usually fail stand in front of the call that they guard.
    """

    def __init__(
        self,
        program: Program,
        target: Target,
        statics: list[StaticInstruction],
        costs: list[Cost],
        timeline: bool,
        loads: Sequence[Loaded] | None,
    ) -> None:
        self.program, self.target, self.statics = program, target, statics
        self.work = [prepare_work(static, cost, static.index) for static, cost in zip(statics, costs)]
        self.changed: dict[int, tuple[StaticInstruction, Work]] = {}
        """Further entries for instructions with changed descriptors, by identity (which the entry keeps alive)."""
        self.engines = [EngineState(ENGINE_LABELS[engine], int(engine), deque()) for engine in Engine]
        self.engine_of = [
            None if static.engine is Engine.SEQ else self.engines[static.engine] for static in self.statics
        ]
        self.memory = AssumedLoads(program) if loads is None else ReplayedLoads(program, loads)
        self.stream = dynamic_stream(program, self.statics, memory=self.memory)
        self.depth = target.sequencer.queue_depth
        self.semaphores = list(program.semaphores)
        self.credits = [deque([Credit(0.0, 0, value)] if value else []) for value in program.semaphores]
        """Of each semaphore, in order of the posts."""
        self.waiters: list[list[EngineState]] = [[] for _ in program.semaphores]
        self.events: list[tuple[float, int, int, EngineState, int]] = []
        self.order = 0
        self.active: dict[int, Work] = {}
        """Instructions that share memories, by engine number."""
        self.active_key = 0
        """Sum of the keys of the active instructions: another one for every set."""
        self.known_shares: dict[Share, Share] = {}
        self.shares: dict[int, list[tuple[EngineState, Share, float]]] = {}
        """What `share` gave for a set of instructions; loops meet the same sets over and over."""
        self.dram_asked = self.sram_asked = 0.0
        self.contended = False
        slack = 1 + 1e-9
        self.dram_capacity = target.dram_bytes_per_cycle
        self.sram_capacity = float(target.sram.banks)
        self.port_capacity = port_bytes_per_cycle(target)
        self.dram_limit = min(self.dram_capacity, *self.port_capacity) * slack
        self.sram_limit = self.sram_capacity * slack
        self.clock = 0.0
        """Cycle in which the sequencer can issue next."""
        self.stalled: EngineState | None = None
        """The engine whose queue has no room for the instruction `held`."""
        self.held: Issued | None = None
        self.stalls = StallLog()
        self.fenced = self.halted = False
        self.sequencer: Causes = defaultdict(float)
        """Cycles in which the sequencer waited, by cause."""
        self.timeline: list[TimelineEntry] | None = [] if timeline else None

    def run(self) -> TimingResult:
        """Issue and process events until the program has halted and every engine is idle."""
        self._issue()
        while True:
            self._process_events()
            if any(state.queue for state in self.engines):
                raise deadlock(self.program, self.engines, self.semaphores)
            last = max(state.done_at for state in self.engines)
            self._stall("fence", last)
            if self.halted:
                break
            self.fenced = False
            self._issue()
        return self._result()

    def _process_events(self) -> None:
        events, try_start, free, post = self.events, self._try_start, self._free, self._post
        while events:
            now, _, kind, state, version = heappop(events)
            if kind == _FREE:
                if version == state.version:
                    free(state, now)
            elif kind == _DONE:
                post(state.posting.popleft(), state, now)
            else:
                try_start(state, now)

    # --- sequencer ----------------------------------------------------------------------------------------

    def _issue(self) -> None:
        """Issue until a queue is full, a fence waits or the program ends.

        Runs ahead of the engines: room that a queue has now it also has later, since nobody else fills it.
        """
        engine_of, work, depth = self.engine_of, self.work, self.depth
        for issued in self.stream:
            index, _, _, changed = issued
            state = engine_of[index]
            if state is None:
                if self._scalar(issued):
                    return
                continue
            queue = state.queue
            if len(queue) >= depth:
                self.stalled, self.held = state, issued
                return
            self.clock += 1.0
            queue.append((work[index] if changed is None else self._changed(changed), issued, self.clock))
            if state.running is None and len(queue) == 1:
                self._at(max(self.clock, state.free_at), _READY, state)
        self.halted = self.fenced = True

    def _scalar(self, issued: Issued) -> bool:
        """A sequencer instruction; True when it waits for all engines."""
        index, _, taken, changed = issued
        instruction = self.statics[index].instruction
        work = self.work[index] if changed is None else self._changed(changed)
        cycles = work.occupancy
        if isinstance(instruction, SBr) and taken:
            cycles += BRANCH_TAKEN_CYCLES
        self.clock += cycles
        work.executions += 1
        work.causes["compute"] += cycles
        if work.latency:
            self._stall("scalar_access", self.clock + work.latency)
        elif isinstance(instruction, SemInit):
            self._preset(instruction)
        self.halted = isinstance(instruction, SHalt)
        self.fenced = self.halted or isinstance(instruction, SFence)
        return self.fenced

    def _preset(self, instruction: SemInit) -> None:
        """Everything that uses the semaphore lies before the last fence or behind (the hazard checker sees to it)."""
        value = instruction.value
        self.semaphores[instruction.sem] = value
        self.credits[instruction.sem] = deque([Credit(self.clock, 0, value)] if value else [])

    def _changed(self, static: StaticInstruction) -> Work:
        """An instruction with descriptors that `d.set` has changed: another cost, so another entry in the books."""
        known = self.changed.get(id(static))
        if known is None:
            number = len(self.statics) + len(self.changed)
            work = prepare_work(static, changed_cost(static, self.program, self.target), number)
            known = self.changed[id(static)] = static, work
        return known[1]

    def _unstall(self, now: float) -> None:
        """The queue that stalls the sequencer has room from cycle `now` on. Its engine is at work."""
        state, issued = self.stalled, self.held
        assert state is not None and issued is not None
        self.stalled = None
        if now > self.clock:
            self._stall("queue_full", now)
        self.clock += 1.0
        work = self.work[issued.pc] if issued.changed is None else self._changed(issued.changed)
        state.queue.append((work, issued, self.clock))
        self._issue()

    def _stall(self, cause: str, until: float) -> None:
        """The sequencer issues nothing before cycle `until`."""
        if until > self.clock:
            self.stalls.add(cause, self.clock, until)
            self.sequencer[cause] += until - self.clock
            self.clock = until

    # --- engines ------------------------------------------------------------------------------------------

    def _at(self, time: float, kind: int, state: EngineState, version: int = 0) -> None:
        self.order += 1
        heappush(self.events, (time, self.order, kind, state, version))

    def _try_start(self, state: EngineState, now: float) -> None:
        """Start the head of the queue if it may start in cycle `now`; arrange for another try otherwise."""
        if state.running is not None or not state.queue:
            return
        work, issued, visible = state.queue[0]
        earliest = visible if visible > state.free_at else state.free_at
        if earliest < state.done_at and (work.drains or (work.traffic is not state.traffic and not work.transparent)):
            earliest = state.done_at
        if earliest > now:
            self._at(earliest, _READY, state)
            return
        if work.needs and not self._take(work, state):
            return
        ready = state.ready if work.needs else 0.0
        if now > state.free_at:
            self._book_gap(state, work, ready, visible, now)
        state.queue.popleft()
        state.running, state.issued, state.start, state.since = work, issued, now, now
        remaining = work.occupancy
        if work.fill:
            hidden = now - (ready if ready > visible else visible) if now <= state.stream_until else 0.0
            if hidden < work.fill:
                remaining += work.fill - hidden
                work.causes["fill_drain"] += work.fill - hidden
        state.remaining, state.share = remaining, ALONE
        if work.shares:
            self._activate(state, work, now)
        if state.share is ALONE:
            state.version += 1
            self.order += 1
            heappush(self.events, (now + remaining, self.order, _FREE, state, state.version))
        if self.stalled is state:
            self._unstall(now)

    def _take(self, work: Work, state: EngineState) -> bool:
        """Take all semaphores that `work` needs, or none of them and wait for the first that lacks.

        The engine's `ready` is the cycle of the last post among those taken, `blamed` names its poster.
        """
        semaphores = self.semaphores
        for semaphore, need in work.needs:
            if semaphores[semaphore] < need:
                waiters = self.waiters[semaphore]
                if state not in waiters:
                    waiters.append(state)
                    state.waiting.append(waiters)
                return False
        ready, poster = 0.0, 0
        for semaphore, need in work.needs:
            semaphores[semaphore] -= need
            credits = self.credits[semaphore]
            while need:
                credit = credits[0]
                if credit.posted > ready:
                    ready, poster = credit.posted, credit.poster
                if credit.left > need:
                    credit.left -= need
                    break
                need -= credit.left
                credits.popleft()
        state.ready, state.blamed = ready, WAIT_CAUSES[poster]
        if state.waiting:
            for waiters in state.waiting:
                waiters.remove(state)
            state.waiting.clear()
        return True

    def _book_gap(self, state: EngineState, work: Work, ready: float, visible: float, now: float) -> None:
        """Book the cycles between the instruction before and `now`: its tail, waiting for posts, late issue.

        Waiting comes first: cycles before the last post would be lost however early the instruction is issued, so a
        full queue (or a fence) is to blame only for those in which everything was there but the instruction.
        """
        begin = state.free_at
        if state.done_at > begin:
            tail = min(state.done_at - begin, now - begin)
            begin += tail
            book_tail(state, tail)
        if ready > begin:
            waited = min(ready, now) - begin
            begin += waited
            work.causes[state.blamed] += waited
        if now > begin:
            self._book_late(work, begin, now)

    def _book_late(self, work: Work, begin: float, end: float) -> None:
        """The engine's queue was empty: because the sequencer was stalled itself, or had not come so far."""
        issuing = end - begin
        for cause, cycles in self.stalls.within(begin, end):
            work.causes[cause] += cycles
            issuing -= cycles
        work.causes["issue"] += issuing

    def _free(self, state: EngineState, now: float) -> None:
        """The running instruction leaves the engine; its result completes after its latency."""
        work = state.running
        assert work is not None
        if work.shares:
            self._deactivate(state, work, now)
        done = now + work.latency
        if done < state.done_at:
            done = state.done_at
        state.running = None
        state.free_at, state.done_at, state.last = now, done, work
        if work.transparent:
            if state.start <= state.stream_until:
                state.stream_until = now
        else:
            state.traffic = work.traffic
            if work.streams:
                state.stream_until = now
        if not work.executions:
            work.first_start = state.start
        work.executions += 1
        work.last_done = done
        if self.timeline is not None:
            self.timeline.append(timeline_entry(state, work))
        if work.posts:
            if done > now:
                self._at(done, _DONE, state)
                state.posting.append(work)
            else:
                self._post(work, state, now)
        if state.queue:
            self._try_start(state, now)

    def _post(self, work: Work, poster: EngineState, now: float) -> None:
        semaphores, waiters = self.semaphores, self.waiters
        for semaphore in work.posts:
            semaphores[semaphore] += work.times
            self.credits[semaphore].append(Credit(now, poster.number, work.times))
        for semaphore in work.posts:
            if waiters[semaphore]:
                for state in tuple(waiters[semaphore]):
                    self._try_start(state, now)

    # --- shared bandwidth ---------------------------------------------------------------------------------

    def _activate(self, state: EngineState, work: Work, now: float) -> None:
        state.lost_dram = state.lost_sram = 0.0
        state.dram_rates = [(now, work.dram)] if work.dram else []
        self.active[state.number] = work
        self.active_key += work.key
        dram = self.dram_asked = self.dram_asked + work.dram
        sram = self.sram_asked = self.sram_asked + work.sram
        if self.contended or dram > self.dram_limit or sram > self.sram_limit:
            self._reshare(now)

    def _deactivate(self, state: EngineState, work: Work, now: float) -> None:
        if state.share is not ALONE:
            state.settle(now)
            if state.lost_dram or state.lost_sram:
                work.causes["dram_bandwidth"] += state.lost_dram
                work.causes["sram_bandwidth"] += state.lost_sram
        active = self.active
        del active[state.number]
        self.active_key -= work.key
        if not active:
            self.dram_asked = self.sram_asked = 0.0
            self.contended = False
            return
        dram = self.dram_asked = self.dram_asked - work.dram
        sram = self.sram_asked = self.sram_asked - work.sram
        if self.contended or dram > self.dram_limit or sram > self.sram_limit:
            self._reshare(now)

    def _reshare(self, now: float) -> None:
        """New speeds for all active instructions, where the demand exceeds, or exceeded, what there is."""
        self.contended = self.dram_asked > self.dram_limit or self.sram_asked > self.sram_limit
        shares = self.shares.get(self.active_key)
        if shares is None:
            shares = self.shares[self.active_key] = self._share_of_all()
        events, order = self.events, self.order
        for state, new, dram_rate in shares:
            if new is state.share and state.since != state.start:
                continue
            remaining = state.settle(now)
            state.share = new
            if dram_rate:
                state.dram_rates.append((now, dram_rate))
            state.version += 1
            order += 1
            heappush(events, (now + remaining / new.speed, order, _FREE, state, state.version))
        self.order = order

    def _share_of_all(self) -> list[tuple[EngineState, Share, float]]:
        """Engine, share and DRAM bytes per cycle of every active instruction; equal shares are one object."""
        demands = {
            number: Demand(work.dram, work.sram, work.traffic is Traffic.STORE) for number, work in self.active.items()
        }
        shares = share(demands, self.dram_capacity, self.sram_capacity, self.port_capacity)
        return [
            (self.engines[number], self.known_shares.setdefault(new, new), new.speed * demands[number].dram)
            for number, new in shares.items()
        ]

    # --- result -------------------------------------------------------------------------------------------

    def _result(self) -> TimingResult:
        total, idle = self.clock, dict[str, float]()
        for engine in QUEUED_ENGINES:
            state = self.engines[engine]
            tail = max(state.done_at - state.free_at, 0.0)
            if tail:
                book_tail(state, tail)
            idle[state.label] = total - state.done_at
        changed = [work for _, work in self.changed.values()]
        books = Books(self.statics, self.work, changed, self.sequencer, idle, total, self.timeline or (), self._notes())
        return build_result(self.program, self.target, books)

    def _notes(self) -> tuple[str, ...]:
        if isinstance(self.memory, AssumedLoads) and self.memory.answered:
            return (assumed_note(self.program, self.memory.answered),)
        return ()
