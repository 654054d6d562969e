"""Cycle model: engines run in parallel, fed by the sequencer, held together by semaphores.

A discrete-event simulation. What an instruction costs alone comes from `costs.py`; here are the rules of
overlap:

* The sequencer issues at most one instruction per cycle, in order; s.* take 1 cycle, a taken branch 3 more,
  a hardware loop 1 at its start; s.ld and s.st wait for the memory as well. An instruction that does not fit into
  its engine's queue stalls the sequencer.
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

from collections.abc import Sequence

from npuisa.program import Program
from npuisa.target import Target

from npusim.engine_state import prepare_costs
from npusim.event_simulation import Simulation
from npusim.scalar_memory import Loaded
from npusim.sequence import decode
from npusim.timing_result import TimingResult

__all__ = ["TimingResult", "TimingSimulator", "simulate_timing"]


def simulate_timing(
    program: Program, target: Target, *, timeline: bool = False, loads: Sequence[Loaded] | None = None
) -> TimingResult:
    """Cycles of `program` on `target`. `timeline` keeps start and end of every execution.

    `loads`: what the sequencer loaded in a run on data (`FunctionalSimulator.loads`); without it the loads are
    assumed as the program says, and the result notes it. Raises NpuError when the target cannot execute an
    instruction, and on deadlock.
    """
    return TimingSimulator(program, target).run(timeline=timeline, loads=loads)


class TimingSimulator:
    """A program prepared for the cycle model: decoded, with the cost of every instruction. Runs any number of times.

    Raises NpuError when the target cannot execute an instruction.
    """

    def __init__(self, program: Program, target: Target) -> None:
        self.program, self.target = program, target
        self._statics = decode(program)
        self._costs = prepare_costs(program, target, self._statics)

    def run(self, *, timeline: bool = False, loads: Sequence[Loaded] | None = None) -> TimingResult:
        """Cycles of one execution (see `simulate_timing`); raises NpuError on deadlock."""
        return Simulation(self.program, self.target, self._statics, self._costs, timeline, loads).run()
