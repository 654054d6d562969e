"""What an import builds: a block with the program's inputs, the values by ONNX name, and the problems found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from npuisa.errors import NpuError
from onnx import GraphProto
from xdsl.ir import Block, BlockArgument, SSAValue

from npucc.constants import ConstantStore
from npucc.frontend.builder import GraphBuilder, Shape
from npucc.frontend.graph_code import GraphCode
from npucc.frontend.imported import ImportedModel, finished_module
from npucc.frontend.load import LoadedModel
from npucc.frontend.model_work import ModelWork
from npucc.frontend.node import Bounded
from npucc.frontend.placeholders import HostValue, Scope, Unknown
from npucc.frontend.problems import BAD_NODE, UNSUPPORTED_NODES, Unsupported, one_error
from npucc.frontend.sparse_tensors import sparse_to_array
from npucc.frontend.strings import holds_strings, stored_strings
from npucc.frontend.tensors import tensor_to_array, type_name
from npucc.types import Array, element_of_numpy, tensor
from npucc.values import kind_of


class ProgramUnderConstruction:
    """`scope` holds the values of `code` by ONNX name, `inputs` the shapes of the program's inputs, `arguments` their
    names by value."""

    def __init__(self, loaded: LoadedModel, constants: ConstantStore, code: GraphCode) -> None:
        self.loaded, self.code = loaded, code
        self.block = Block()
        self.build = GraphBuilder(self.block, constants)
        self.scope: Scope = {}
        self.inputs: dict[str, Shape] = {}
        self.arguments: dict[BlockArgument, str] = {}
        self.model_work = ModelWork()
        self.malformed: list[NpuError] = []
        self.unsupported: list[NpuError] = []

    # Inputs and initializers

    def bind(self, known: Mapping[str, Array], arguments: Mapping[str, object]) -> None:
        """What the nodes see when only a part of them is imported: arrays that are constants, and values of which the
        program only knows shape and type. Inputs of the code that are not given are left out by the caller."""
        self.scope.update(dict.fromkeys(self.code.inputs))
        self.scope.update(known)
        for name, value in arguments.items():
            kind = kind_of(value)
            if kind:
                self.scope[name] = HostValue(kind)
                continue
            array = np.asarray(value)
            self.add_argument(name, array.shape, onnx.helper.np_dtype_to_tensor_dtype(array.dtype))

    def argument_name(self, value: SSAValue) -> str | None:
        """The ONNX name of an input of the program."""
        return self.arguments.get(value) if isinstance(value, BlockArgument) else None

    def add_argument(self, name: str, shape: Shape, element_type: int) -> None:
        """An input of the program. `element_type` is ONNX's number."""
        try:
            element = element_of_numpy(onnx.helper.tensor_dtype_to_np_dtype(element_type))
        except KeyError:
            rule = "inputs have an element type of the machine"
            self.refuse(f"input `{name}`", Unsupported(rule, type_name(element_type)))
            self.scope[name] = Unknown()
            return
        self.inputs[name] = shape
        argument = self.block.insert_arg(tensor(shape, element), len(self.block.args))
        self.arguments[argument] = name
        self.scope[name] = argument

    def add_initializers(self, proto: GraphProto | None, scope: Scope) -> None:
        """Stored tensors as known arrays."""
        if proto is None:
            return
        for initializer in proto.initializer:
            where = f"initializer `{initializer.name}`"
            is_text = holds_strings(initializer)
            array = (
                stored_strings(initializer, where)
                if is_text
                else tensor_to_array(initializer, self.loaded.folder, where)
            )
            scope[initializer.name] = HostValue("strings") if is_text else array
        for sparse in proto.sparse_initializer:
            name = sparse.values.name
            scope[name] = sparse_to_array(sparse, self.loaded.folder, f"initializer `{name}`")

    # Problems

    def refuse(self, where: str, problem: Unsupported) -> None:
        """Note what is not supported."""
        remedy = problem.remedy or "replace it in the model, or run this part outside"
        self.unsupported.append(
            NpuError(
                UNSUPPORTED_NODES, f"not supported, since this must hold: {problem.rule}", where, problem.found, remedy
            )
        )

    def raise_problems(self) -> None:
        """One error for damaged nodes, else one for all unsupported ones."""
        name = self.loaded.name
        if self.malformed:
            raise one_error(BAD_NODE, "nodes of the model do not fit their inputs", name, self.malformed)
        if self.unsupported:
            raise NpuError(
                UNSUPPORTED_NODES,
                "the model uses what the compiler does not support",
                where=name,
                found=f"{len(self.unsupported)} unsupported nodes or values",
                remedy="see each of them below",
                problems=self.unsupported,
            )

    # The end

    def drop_arguments(self, keep_declared: bool) -> None:
        """Forget inputs that no node of the program reads; those that the graph declares may stay."""
        for argument, name in list(self.arguments.items()):
            if argument.first_use is None and not (keep_declared and name in self.code.inputs):
                self.block.erase_arg(argument)
                del self.arguments[argument], self.inputs[name]

    def finish(self, names: Sequence[str]) -> ImportedModel:
        """The module whose results are the named values, all of which this import has made."""
        values = {name: self._output(name) for name in names}
        return finished_module(self.loaded, self.build, self.inputs, values, self.model_work)

    def _output(self, name: str) -> SSAValue | Bounded:
        value = self.scope[name]
        if isinstance(value, SSAValue | Bounded):
            return value
        if not isinstance(value, np.ndarray | np.generic):
            raise TypeError(f"output {name} has no value although no problem was reported")
        return self.build.constant(np.asarray(value), name)
