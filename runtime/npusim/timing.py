"""Cycle model: engines run in parallel, fed by the sequencer, held together by semaphores.

A discrete-event simulation. What an instruction costs alone comes from `costs.py`; here are the rules of
overlap:

* The sequencer issues at most one instruction per cycle, in order; s.* take 1 cycle, a taken branch 3 more,
  a hardware loop none. An instruction that does not fit into its engine's queue stalls the sequencer.
* An engine starts the head of its queue when the instruction before has left it and every semaphore the head
  waits for is positive; it takes all of them at once. Engines that wait for the same semaphore are served in
  the order in which they began to wait.
* Semaphores are posted when the result is complete. Completion is in order within an engine.
* A DMA channel requests the next transfer while the last bytes of the one before are in flight (its latency
  is hidden), unless the direction changes: then it drains first, since the second may read what the first
  wrote.
* Active transfers share the DRAM, all active engines share the SRAM (`bandwidth.py`).

Times are floats (bandwidth is fractional), reported as whole cycles; every engine's causes sum to the total.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.instructions import QUEUED_ENGINES, Engine, SBr, SFence, SHalt
from npuisa.program import Program
from npuisa.target import Target

from npusim.bandwidth import Share, share
from npusim.banks import sram_bytes_per_cycle
from npusim.cost import Traffic
from npusim.costs import BRANCH_TAKEN_CYCLES, ENGINE_LABELS
from npusim.engine_state import ALONE, EngineState, StallLog, Work, prepare_costs, prepare_work
from npusim.faults import place
from npusim.sequence import Issued, decode, dynamic_stream
from npusim.timing_report import Ledger, build_result
from npusim.timing_result import TimelineEntry, TimingResult

DEADLOCK = error_code("NPU-E0422", ExitCode.BAD_INPUT, "Engines wait for semaphores that nobody will post")

_READY, _FREE, _DONE = 0, 1, 2


def simulate_timing(program: Program, target: Target, *, timeline: bool = False) -> TimingResult:
    """Cycles of `program` on `target`. `timeline` keeps start and end of every execution.

    Raises NpuError when the target cannot execute an instruction, and on deadlock.
    """
    return _Simulation(program, target, timeline).run()


class _Simulation:
    """State of one run. Engines are addressed by the number of their `Engine`."""

    def __init__(self, program: Program, target: Target, timeline: bool) -> None:
        self.program, self.target = program, target
        self.statics = decode(program)
        self.costs = prepare_costs(program, target, self.statics)
        self.work = [prepare_work(static, cost) for static, cost in zip(self.statics, self.costs)]
        self.engine_of = [int(static.engine) for static in self.statics]
        self.stream = dynamic_stream(program, self.statics)
        self.engines = [EngineState(ENGINE_LABELS[engine], deque()) for engine in Engine]
        self.semaphores = list(program.semaphores)
        self.waiters: list[list[int]] = [[] for _ in program.semaphores]
        self.events: list[tuple[float, int, int, int, int]] = []
        self.order = 0
        self.active: dict[int, Work] = {}
        self.shares: dict[frozenset[int], dict[int, Share]] = {}
        """What `share` gave for a set of instructions; loops meet the same sets over and over."""
        self.dram_asked = self.sram_asked = 0.0
        self.contended = False
        self.dram_capacity = target.dram_bytes_per_cycle
        self.sram_capacity = float(sram_bytes_per_cycle(target))
        self.clock = 0.0
        """Cycle in which the sequencer can issue next."""
        self.stalled: tuple[int, Issued] | None = None
        self.stalls = StallLog()
        self.fenced = self.halted = False
        self.ledger = Ledger(len(self.statics))
        self.timeline: list[TimelineEntry] | None = [] if timeline else None

    def run(self) -> TimingResult:
        """Issue and process events until the program has halted and every engine is idle."""
        events = self.events
        self._issue()
        while True:
            while events:
                now, _, kind, engine, version = heappop(events)
                if kind == _DONE:
                    state = self.engines[engine]
                    self._post(state.posting.popleft(), state.label, now)
                elif kind == _READY:
                    self._try_start(engine, now)
                elif version == self.engines[engine].version:
                    self._free(engine, now)
            if any(state.queue for state in self.engines):
                raise self._deadlock()
            last = max(state.done_at for state in self.engines)
            self._stall("fence", last)
            if self.halted:
                break
            self.fenced = False
            self._issue()
        return self._result()

    # --- sequencer ----------------------------------------------------------------------------------------

    def _issue(self) -> None:
        """Issue until a queue is full, a fence waits or the program ends.

        Runs ahead of the engines: room that a queue has now it also has later, since nobody else fills it.
        """
        depth = self.target.sequencer.queue_depth
        for issued in self.stream:
            self.ledger.executed += 1
            engine = self.engine_of[issued[0]]
            if engine == Engine.SEQ:
                if self._scalar(issued):
                    return
            elif len(self.engines[engine].queue) >= depth:
                self.stalled = engine, issued
                return
            else:
                self._push(engine, issued)
        self.halted = self.fenced = True

    def _scalar(self, issued: Issued) -> bool:
        """A sequencer instruction; True when it waits for all engines."""
        index, _, taken = issued
        instruction = self.statics[index].instruction
        cycles = self.work[index].occupancy
        if isinstance(instruction, SBr) and taken:
            cycles += BRANCH_TAKEN_CYCLES
        self.clock += cycles
        self.ledger.scalar(index, cycles)
        self.halted = isinstance(instruction, SHalt)
        self.fenced = self.halted or isinstance(instruction, SFence)
        return self.fenced

    def _push(self, engine: int, issued: Issued) -> None:
        self.clock += 1.0
        self.ledger.sequencer["compute"] += 1.0
        state = self.engines[engine]
        state.queue.append((self.work[issued[0]], issued, self.clock))
        if len(state.queue) == 1 and state.running is None:
            self._at(max(self.clock, state.free_at), _READY, engine)

    def _unstall(self, engine: int, now: float) -> None:
        """The queue that stalls the sequencer has room from cycle `now` on."""
        if self.stalled is None or self.stalled[0] != engine:
            return
        _, issued = self.stalled
        self.stalled = None
        self._stall("queue_full", now)
        self._push(engine, issued)
        self._issue()

    def _stall(self, cause: str, until: float) -> None:
        """The sequencer issues nothing before cycle `until`."""
        if until > self.clock:
            self.stalls.add(cause, self.clock, until)
            self.ledger.sequencer[cause] += until - self.clock
            self.clock = until

    # --- engines ------------------------------------------------------------------------------------------

    def _at(self, time: float, kind: int, engine: int, version: int = 0) -> None:
        self.order += 1
        heappush(self.events, (time, self.order, kind, engine, version))

    def _try_start(self, engine: int, now: float) -> bool:
        """Start the head of the queue if it may start in cycle `now`; arrange for another try otherwise."""
        state = self.engines[engine]
        if state.running is not None or not state.queue:
            return False
        work, issued, visible = state.queue[0]
        earliest = max(visible, state.free_at)
        if (not work.transparent and work.cost.traffic is not state.traffic) or work.cost.traffic is Traffic.DRAM:
            earliest = max(earliest, state.done_at)
        if earliest > now:
            self._at(earliest, _READY, engine)
            return False
        semaphores, times = self.semaphores, work.times
        for semaphore in work.waits:
            if semaphores[semaphore] < times * work.waits.count(semaphore):
                if engine not in self.waiters[semaphore]:
                    self.waiters[semaphore].append(engine)
                return False
        for semaphore in work.waits:
            semaphores[semaphore] -= times
            if engine in self.waiters[semaphore]:
                self.waiters[semaphore].remove(engine)
        self._start(engine, work, issued, visible, now)
        return True

    def _start(self, engine: int, work: Work, issued: Issued, visible: float, now: float) -> None:
        state = self.engines[engine]
        self._book_gap(engine, work, visible, now)
        state.queue.popleft()
        fill = work.cost.fill if now > state.stream_until else 0.0
        state.running, state.issued, state.start, state.since = work, issued, now, now
        state.remaining = work.occupancy + fill
        state.lost_dram = state.lost_sram = 0.0
        state.share = ALONE
        state.dram_rates = [(now, work.demand.dram)] if work.demand.dram else []
        if fill:
            self.ledger.book(work.index, "fill_drain", fill)
        if work.demand.dram or work.demand.sram:
            self._activate(engine, work, now)
        if state.share is ALONE:
            state.version += 1
            self._at(now + state.remaining, _FREE, engine, state.version)
        self._unstall(engine, now)

    def _book_gap(self, engine: int, work: Work, visible: float, now: float) -> None:
        """Book the cycles between the instruction before and `now`: its tail, late issue, waiting."""
        state = self.engines[engine]
        gap = now - state.free_at
        if gap <= 0:
            return
        tail = min(max(state.done_at - state.free_at, 0.0), gap)
        begin = state.free_at + tail
        late = min(max(visible - begin, 0.0), now - begin)
        waited = now - begin - late
        if tail:
            self._book_tail(state, tail)
        if late:
            self._book_late(work.index, begin, begin + late)
        if waited:
            self.ledger.book(work.index, f"wait_{state.blamed}", waited)

    def _book_tail(self, state: EngineState, cycles: float) -> None:
        """The engine had nothing to do but complete its last result."""
        self.ledger.book(state.last, "fill_drain" if state.label == "mx" else "dram_latency", cycles)

    def _book_late(self, index: int, begin: float, end: float) -> None:
        """The engine's queue was empty: because the sequencer was stalled itself, or had not come so far."""
        issuing = end - begin
        for cause, cycles in self.stalls.within(begin, end):
            self.ledger.book(index, cause, cycles)
            issuing -= cycles
        self.ledger.book(index, "issue", issuing)

    def _free(self, engine: int, now: float) -> None:
        """The running instruction leaves the engine; its result completes after its latency."""
        state = self.engines[engine]
        work, issued = state.running, state.issued
        assert work is not None and issued is not None
        if work.demand.dram or work.demand.sram:
            self._settle(state, now)
            self._deactivate(engine, now)
        done = max(now + work.cost.latency, state.done_at)
        state.running = None
        if work.streams or (work.transparent and state.start <= state.stream_until):
            state.stream_until = now
        state.free_at, state.done_at = now, done
        if not work.transparent:
            state.traffic = work.cost.traffic
        ledger = self.ledger
        ledger.finish(work.index, state.start, done)
        state.last = work.index
        if state.lost_dram or state.lost_sram:
            ledger.book(work.index, "dram_bandwidth", state.lost_dram)
            ledger.book(work.index, "sram_bandwidth", state.lost_sram)
        if self.timeline is not None:
            entry = TimelineEntry(
                work.index,
                Engine(engine),
                state.start,
                now,
                done,
                issued.offsets,
                issued.accumulate,
                work.cost.dram_read,
                work.cost.dram_written,
                tuple(state.dram_rates),
            )
            self.timeline.append(entry)
        if work.posts:
            if done > now:
                self._at(done, _DONE, engine)
                state.posting.append(work)
            else:
                self._post(work, state.label, now)
        self._try_start(engine, now)

    def _post(self, work: Work, label: str, now: float) -> None:
        for semaphore in work.posts:
            self.semaphores[semaphore] += work.times
        for semaphore in work.posts:
            for engine in tuple(self.waiters[semaphore]):
                self.engines[engine].blamed = label
                self._try_start(engine, now)

    # --- shared bandwidth ---------------------------------------------------------------------------------

    def _activate(self, engine: int, work: Work, now: float) -> None:
        self.active[engine] = work
        self.dram_asked += work.demand.dram
        self.sram_asked += work.demand.sram
        self._reshare(now)

    def _deactivate(self, engine: int, now: float) -> None:
        demand = self.active.pop(engine).demand
        if self.active:
            self.dram_asked -= demand.dram
            self.sram_asked -= demand.sram
            self._reshare(now)
        else:
            self.dram_asked = self.sram_asked = 0.0
            self.contended = False

    def _reshare(self, now: float) -> None:
        """New speeds for all active instructions, where the demand exceeds, or exceeded, what there is."""
        slack = 1 + 1e-9
        contended = self.dram_asked > self.dram_capacity * slack or self.sram_asked > self.sram_capacity * slack
        if not contended and not self.contended:
            return
        self.contended = contended
        for engine, new in self._shares().items():
            state = self.engines[engine]
            if (new is state.share or new == state.share) and state.since != state.start:
                continue
            self._settle(state, now)
            state.share = new
            if state.dram_rates:
                state.dram_rates.append((now, new.speed * self.active[engine].demand.dram))
            state.version += 1
            self._at(now + state.remaining / new.speed, _FREE, engine, state.version)

    def _shares(self) -> dict[int, Share]:
        key = frozenset(work.index for work in self.active.values())
        found = self.shares.get(key)
        if found is None:
            demands = {engine: work.demand for engine, work in self.active.items()}
            found = self.shares[key] = share(demands, self.dram_capacity, self.sram_capacity)
        return found

    @staticmethod
    def _settle(state: EngineState, now: float) -> None:
        """Bring the progress of the running instruction up to `now`."""
        elapsed = now - state.since
        if elapsed > 0:
            state.remaining = max(state.remaining - elapsed * state.share.speed, 0.0)
            state.lost_dram += elapsed * (1.0 - state.share.dram_speed)
            state.lost_sram += elapsed * (state.share.dram_speed - state.share.speed)
            state.since = now

    # --- result -------------------------------------------------------------------------------------------

    def _result(self) -> TimingResult:
        total = self.clock
        for engine in QUEUED_ENGINES:
            state = self.engines[engine]
            tail = max(state.done_at - state.free_at, 0.0)
            if tail:
                self._book_tail(state, tail)
            self.ledger.idle[state.label] += total - state.done_at
        return build_result(
            self.program, self.target, self.statics, self.costs, self.ledger, total, self.timeline or ()
        )

    def _deadlock(self) -> NpuError:
        names = self.program.semaphore_names
        problems: list[NpuError] = []
        for state in self.engines:
            if state.queue:
                work = state.queue[0][0]
                missing = [
                    names[semaphore] if semaphore < len(names) else str(semaphore)
                    for semaphore in work.waits
                    if self.semaphores[semaphore] < work.times
                ]
                where = place(self.program, work.index)
                problems.append(NpuError(DEADLOCK, f"{state.label} waits", where, f"semaphore {', '.join(missing)}"))
        remedy = "every wait needs a post before it in program order and a consumer of its own"
        return NpuError(DEADLOCK, "the engines wait for each other", remedy=remedy, problems=problems)
