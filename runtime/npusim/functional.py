"""The functional simulator: computes the values of a program, one instruction at a time in program order.

Program order is legal by the machine's contract, so every wait must find its semaphore posted already; where it
does not, the program is wrong and the simulator says at which instruction. Semantics are prepared once per static
instruction; a `FunctionalSimulator` can run many inputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from npuisa.descriptor import Space
from npuisa.errors import NpuError
from npuisa.instructions import SEMAPHORES, Engine, QSync, SemInit
from npuisa.program import Program
from npuisa.target import Target
from threadpoolctl import ThreadpoolController

from npusim.descriptor_table import KEPT_VERSIONS
from npusim.faults import BAD_INPUTS, PROGRAM_ORDER, place
from npusim.memory import Memory
from npusim.scalar_memory import ElementMemory, Loaded
from npusim.semantics import SEMANTICS, Context
from npusim.sequence import DEFAULT_STEP_LIMIT, Issued, StaticInstruction, decode, dynamic_stream
from npusim.staging import Staging
from npusim.views import Array, OperandBinder

Tensors = dict[str, npt.NDArray[np.generic]]
Progress = Callable[[int], None]
"""Called now and then with the number of instructions executed so far."""
Tap = Callable[[Issued, Memory], None]
"""Called after an instruction has executed."""

PROGRESS_INTERVAL = 1024


def run_functional(
    program: Program,
    inputs: Tensors,
    *,
    target: Target | None = None,
    progress: Progress | None = None,
    taps: dict[int, Tap] | None = None,
) -> Tensors:
    """Run `program` on `inputs` (by name, shapes and types of its signature); the outputs by name.

    `target` gives the sizes of the memories; by default the one the program names. `taps` maps instruction
    numbers to callbacks that may look at the memory each time that instruction has executed.
    """
    simulator = FunctionalSimulator(program, target or Target.load(program.target))
    return simulator.run(inputs, progress=progress, taps=taps)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _one_blas_thread() -> AbstractContextManager[object]:
    """With several threads BLAS splits a product by their number, and equal columns may round differently: the values
    would depend on the machine. (A model whose weights are all equal shows it: its scores are ties.)"""
    return _blas().limit(limits=1, user_api="blas")


@dataclass(slots=True)
class _Step:
    """A static instruction ready to execute: `waits` and `posts` in (semaphore, count).

    `writes`: number of the operand that is written in SRAM, and the machine addresses it spans without an offset.
    """

    static: StaticInstruction
    binder: OperandBinder
    known: dict[tuple[int, ...], tuple[Array, ...]]
    """The binder's: looking into it first saves a call."""
    run: Callable[..., None]
    waits: tuple[tuple[int, int], ...]
    posts: tuple[tuple[int, int], ...]
    writes: tuple[int, int, int] | None


class FunctionalSimulator:
    """A program prepared for execution, with its memory."""

    def __init__(self, program: Program, target: Target, *, step_limit: int = DEFAULT_STEP_LIMIT) -> None:
        self.program = program
        self.memory = Memory(program, target)
        self._step_limit = step_limit
        self._statics = decode(program)
        self._staging = Staging(keep=True)
        self.overflows: Counter[int] = Counter()
        """Of the last run: static instruction -> finite elements that it stored as an infinite f16."""
        self.loads: list[Loaded] = []
        """Of the last run: what each executed `s.ld` gave, for the cycle model and the hazard checker to replay."""
        self._context = Context(program, staging=self._staging, overflows=self.overflows)
        self._steps = [self._prepare(static) for static in self._statics]
        self._presets = {index: item for index, item in enumerate(program.instructions) if isinstance(item, SemInit)}
        self._changed: dict[int, tuple[StaticInstruction, _Step | None]] = {}
        """Steps of instructions whose descriptors `d.set` has changed, by identity (which the entry keeps alive)."""

    def _prepare(self, static: StaticInstruction) -> _Step | None:
        if static.engine is Engine.SEQ:
            return None
        prepared = SEMANTICS[type(static.instruction)](static, self._context)
        count = static.instruction.count if isinstance(static.instruction, QSync) else 1
        binder = OperandBinder(self.program, self.memory, static, prepared.views)
        return _Step(
            static,
            binder,
            binder.known,
            prepared.run,
            tuple((semaphore, count) for semaphore in static.waits),
            tuple((semaphore, count) for semaphore in static.posts),
            self._sram_write(static),
        )

    def _changed_step(self, static: StaticInstruction) -> _Step | None:
        known = self._changed.get(id(static))
        if known is None:
            if len(self._changed) >= KEPT_VERSIONS:
                self._changed.clear()
            known = self._changed[id(static)] = static, self._prepare(static)
        return known[1]

    def _sram_write(self, static: StaticInstruction) -> tuple[int, int, int] | None:
        for operand, (descriptor, access) in enumerate(zip(static.descriptors, static.access)):
            if descriptor is not None and "w" in access and descriptor.space is Space.SRAM:
                origin = self.memory.sram_address
                low, high = descriptor.byte_range()
                return operand, origin + low, origin + high
        return None

    def run(
        self, inputs: Tensors, *, progress: Progress | None = None, taps: dict[int, Tap] | None = None
    ) -> Tensors:
        """Reset the memory, run the program and return copies of its outputs."""
        self.memory.reset()
        self.overflows.clear()
        self._load(inputs)
        self.execute(progress=progress, taps=taps)
        return {port.name: self.memory.port(port).copy() for port in self.program.outputs}

    def _load(self, inputs: Tensors) -> None:
        names = {port.name for port in self.program.inputs}
        if names != inputs.keys():
            missing, unknown = sorted(names - inputs.keys()), sorted(inputs.keys() - names)
            found = f"missing {missing}, unknown {unknown}"
            remedy = f"the program takes {sorted(names)}"
            raise NpuError(BAD_INPUTS, "the names of the inputs do not match", found=found, remedy=remedy)
        for port in self.program.inputs:
            self.memory.write_input(port, inputs[port.name])

    def execute(self, *, progress: Progress | None = None, taps: dict[int, Tap] | None = None) -> None:
        """Run the program on the memory as it is."""
        self._staging.forget()
        with np.errstate(all="ignore"), _one_blas_thread():
            self._execute(progress, taps or {})

    def _execute(self, progress: Progress | None, taps: dict[int, Tap]) -> None:
        semaphores = (self.program.semaphores + [0] * SEMAPHORES)[:SEMAPHORES]
        steps, staging = self._steps, self._staging
        elements = ElementMemory(self.program, self.memory, staging.written)
        self.loads = elements.record
        presets = self._presets
        stream = dynamic_stream(self.program, self._statics, step_limit=self._step_limit, memory=elements)
        for executed, (pc, offsets, accumulate, changed) in enumerate(stream, 1):
            step = steps[pc] if changed is None else self._changed_step(changed)
            if step is not None:
                for semaphore, count in step.waits:
                    semaphores[semaphore] -= count
                    if semaphores[semaphore] < 0:
                        raise self._blocked(step, semaphore, semaphores[semaphore] + count)
                step.run(accumulate, *(step.known.get(offsets) or step.binder.arrays(offsets)))
                if step.writes is not None and staging.holding:
                    operand, low, high = step.writes
                    offset = offsets[operand]
                    staging.written(low + offset, high + offset)
                for semaphore, count in step.posts:
                    semaphores[semaphore] += count
            elif pc in presets:
                semaphores[presets[pc].sem] = presets[pc].value
            if pc in taps:
                taps[pc](Issued(pc, offsets, accumulate, changed), self.memory)
            if progress is not None and executed % PROGRESS_INTERVAL == 0:
                progress(executed)

    def _blocked(self, step: _Step, semaphore: int, value: int) -> NpuError:
        names = self.program.semaphore_names
        name = names[semaphore] if semaphore < len(names) else f"s{semaphore}"
        where = place(self.program, step.static.index)
        message = f"program order blocks at instruction {step.static.index} waiting on semaphore {name}"
        found = f"{name} = {value}"
        return NpuError(PROGRAM_ORDER, message, where, found, "its post must stand earlier in the program")
