"""From the text of one instruction to the instruction: fields, registers, choices and names resolved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lark import Token

from npuisa.assembly_names import BAD_FIELDS, UNKNOWN_NAME, NameTable, unexpected_value
from npuisa.assembly_syntax import Argument, Block, InstructionText, Source, did_you_mean, integer
from npuisa.encoding import field_limits
from npuisa.instructions import MAX_POSTS, MAX_WAITS, NO_OPERAND, SCALAR_REGISTERS, Instruction, Operand
from npuisa.program import Increment, LoopSpec
from npuisa.spelling import ABSENT, SPELLINGS, TextField, text_fields

REGISTERS = {f"r{number}": number for number in range(SCALAR_REGISTERS)}


@dataclass(frozen=True)
class InstructionResolver:
    """Resolves instructions against the names of a program."""

    source: Source
    names: dict[str, NameTable]
    """Tables by what they hold: descriptor, kernel, loop, semaphore, label."""
    new_loop: Callable[[LoopSpec], int]
    """Enters an entry that was written inline and returns its index."""

    def resolve(self, text: InstructionText) -> Instruction:
        """The instruction of `text`; NpuError at the token that is wrong."""
        spelled = SPELLINGS.get(str(text.mnemonic))
        if spelled is None:
            remedy = did_you_mean(str(text.mnemonic), SPELLINGS, "see the instruction reference")
            raise self.source.error(UNKNOWN_NAME, text.mnemonic, f"unknown instruction {text.mnemonic}", remedy)
        values = self._fields(text, spelled.cls)
        if spelled.unit is not None:
            values["unit"] = spelled.unit
        values["waits"] = self._semaphores(text.waits, "waits", MAX_WAITS)
        values["posts"] = self._semaphores(text.posts, "posts", MAX_POSTS)
        return spelled.cls(**values)

    def loop(self, block: Block) -> LoopSpec:
        """The loop table entry of a block of increments."""
        return LoopSpec(tuple(Increment(self.register(item.reg), item.step, item.modulus) for item in block.increments))

    def register(self, token: Token) -> int:
        """The number of a scalar register such as r7."""
        found = REGISTERS.get(str(token))
        if found is None:
            remedy = f"scalar registers are r0..r{SCALAR_REGISTERS - 1}"
            raise unexpected_value(self.source, token, f"{token} is not a scalar register", remedy)
        return found

    def _fields(self, text: InstructionText, cls: type[Instruction]) -> dict[str, Any]:
        fields = {item.name: item for item in text_fields(cls)}
        given = self._arguments(text, cls, fields)
        values = {name: self._value(fields[name], argument) for name, argument in given.items()}
        if text.block is not None:
            self._block(text, text.block, cls, fields, values)
        for item in fields.values():
            if item.name not in values and item.default is dataclasses.MISSING:
                message = f"{text.mnemonic} needs {item.name}"
                raise self.source.error(BAD_FIELDS, text.mnemonic, message, f"usage: {usage(cls)}")
        return values

    def _arguments(
        self, text: InstructionText, cls: type[Instruction], fields: dict[str, TextField]
    ) -> dict[str, Argument]:
        positional = [item.name for item in fields.values() if item.positional]
        if len(text.arguments) > len(positional):
            message = f"{text.mnemonic} takes {len(positional)} operands"
            extra = text.arguments[len(positional)].token
            raise self.source.error(BAD_FIELDS, extra, message, f"usage: {usage(cls)}")
        given = dict(zip(positional, text.arguments))
        for name, argument in text.keywords:
            if str(name) not in fields:
                remedy = did_you_mean(str(name), fields, f"usage: {usage(cls)}")
                raise self.source.error(UNKNOWN_NAME, name, f"{text.mnemonic} has no field {name}", remedy)
            if str(name) in given:
                raise self.source.error(BAD_FIELDS, name, f"field {name} is given twice", "give it once")
            given[str(name)] = argument
        return given

    def _block(
        self,
        text: InstructionText,
        block: Block,
        cls: type[Instruction],
        fields: dict[str, TextField],
        values: dict[str, Any],
    ) -> None:
        name = next((item.name for item in fields.values() if item.spec.kind == "loop"), None)
        if name is None or name in values:
            message = f"{text.mnemonic} takes no increments here"
            raise self.source.error(BAD_FIELDS, text.mnemonic, message, f"usage: {usage(cls)}")
        values[name] = self.new_loop(self.loop(block))

    def _value(self, item: TextField, argument: Argument) -> Any:
        spec, token = item.spec, argument.token
        if spec.kind == "operand":
            return self._operand(item, argument)
        if argument.register is not None:
            raise unexpected_value(self.source, token, f"{item.name} is not an operand", "leave out the brackets")
        if spec.kind == "reg":
            return self.register(token)
        if spec.enum is not None:
            return self._choice(item, token)
        if spec.kind in ("kernel", "loop", "descriptor", "semaphore"):
            return self._named(self.names[spec.kind], token)
        if spec.kind == "target" and token.type != "INT":
            return self._named(self.names["label"], token)
        return self._integer(item, token)

    def _operand(self, item: TextField, argument: Argument) -> Operand:
        if str(argument.token) == ABSENT:
            if not item.spec.optional:
                message = f"operand {item.name} is not optional"
                raise unexpected_value(self.source, argument.token, message, "name a descriptor")
            return NO_OPERAND
        desc = self._named(self.names["descriptor"], argument.token)
        return Operand(desc, 0 if argument.register is None else self.register(argument.register))

    def _named(self, table: NameTable, token: Token) -> int:
        if token.type == "INT":
            message = f"a {table.what} is given by name"
            raise unexpected_value(self.source, token, message, "write the name it is declared with")
        return table.lookup(token)

    def _choice(self, item: TextField, token: Token) -> Any:
        assert item.spec.enum is not None
        choices = {member.name.lower(): member for member in item.spec.enum}
        if str(token) not in choices:
            remedy = did_you_mean(str(token), choices, f"one of {', '.join(choices)}")
            raise self.source.error(UNKNOWN_NAME, token, f"{item.name} cannot be {token}", remedy)
        return choices[str(token)]

    def _integer(self, item: TextField, token: Token) -> int:
        low, high = field_limits(item.spec)
        if token.type != "INT":
            raise unexpected_value(self.source, token, f"{item.name} is an integer", f"legal: {low}..{high}")
        value = integer(token)
        if not low <= value <= high:
            raise unexpected_value(self.source, token, f"{item.name} is out of range", f"legal: {low}..{high}")
        return value

    def _semaphores(self, tokens: list[Token], what: str, limit: int) -> tuple[int, ...]:
        if len(tokens) > limit:
            message = f"an instruction has at most {limit} {what}"
            raise self.source.error(BAD_FIELDS, tokens[limit], message, "put the others into a sync before it")
        return tuple(self.names["semaphore"].lookup(token) for token in tokens)


def usage(cls: type[Instruction]) -> str:
    """One line that says how an instruction is written."""
    positional: list[str] = []
    named: list[str] = []
    for item in text_fields(cls):
        required = item.default is dataclasses.MISSING
        shown = item.name if item.positional else f"{item.name}=..."
        (positional if item.positional else named).append(shown if required else f"[{shown}]")
    mnemonic = cls.mnemonic if cls.fixed_engine is not None else f"<unit>.{cls.mnemonic.partition('.')[2]}"
    return " ".join(part for part in (mnemonic, ", ".join(positional), *named) if part)
