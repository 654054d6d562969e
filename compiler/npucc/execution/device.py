"""Runs programs: simulators are kept ready, and the cycles of a program that always takes the same are counted once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from time import perf_counter

from npuisa.program import Program
from npuisa.target import Target
from npusim.functional import FunctionalSimulator
from npusim.scalar_memory import Loaded

from npucc.bounded_outputs import crop_outputs
from npucc.driver import cycles_of
from npucc.inputs import check_inputs
from npucc.overflows import overflow_results
from npucc.results import Array, CycleResult, OverflowResult

MAX_SIMULATORS = 8
"""Simulators kept ready; each holds the memories of the machine, but no copy of the weights."""


@dataclass
class ProgramRuns:
    """What one program did during an execution."""

    program: Program
    runs: int = 0
    reports: list[CycleResult] = field(default_factory=list[CycleResult])
    """One per run, if cycles are counted."""
    loads: list[list[Loaded]] = field(default_factory=list[list[Loaded]])
    """What the sequencer loaded in each run; empty lists where it loads nothing."""
    overflows: list[OverflowResult] = field(default_factory=list[OverflowResult])


class Device:
    """The simulated NPU."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._simulators: OrderedDict[int, FunctionalSimulator] = OrderedDict()
        self.seconds = 0.0

    def run(self, runs: ProgramRuns, inputs: dict[str, Array], cycles: bool) -> dict[str, Array]:
        """Outputs by name, bounded ones cropped; the run is noted in `runs`."""
        begin = perf_counter()
        program = runs.program
        check_inputs(program.inputs, inputs)
        simulator = self._simulator(program)
        outputs = crop_outputs(program, simulator.run(inputs))
        runs.overflows += overflow_results(program, simulator.overflows)
        if cycles:
            runs.reports.append(self._cycles(runs, simulator.loads))
        runs.loads.append(list(simulator.loads))
        runs.runs += 1
        self.seconds += perf_counter() - begin
        return outputs

    def _cycles(self, runs: ProgramRuns, loads: list[Loaded]) -> CycleResult:
        """Counted once for a program whose sequencer loads nothing: it always takes the same."""
        if runs.reports and not loads:
            return runs.reports[0]
        return cycles_of(runs.program, self._target, loads)

    def _simulator(self, program: Program) -> FunctionalSimulator:
        key = id(program)
        found = self._simulators.get(key)
        if found is None or found.program is not program:
            found = self._simulators[key] = FunctionalSimulator(program, self._target)
        self._simulators.move_to_end(key)
        if len(self._simulators) > MAX_SIMULATORS:
            self._simulators.popitem(last=False)
        return found
