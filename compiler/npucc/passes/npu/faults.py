"""Error codes of the lowering to the npu dialect and of emission (NPU-E0720 to NPU-E0732)."""

from __future__ import annotations

from npuisa.errors import ExitCode, error_code

KERNEL_LIMIT = error_code("NPU-E0720", ExitCode.DOES_NOT_FIT, "An element-wise kernel exceeds the machine")
KERNEL_OP = error_code("NPU-E0721", ExitCode.UNSUPPORTED, "A kernel uses an operation without micro-operation")
OUT_OF_REGISTERS = error_code("NPU-E0722", ExitCode.DOES_NOT_FIT, "A group needs too many scalar registers")
NOT_PLANNED = error_code("NPU-E0723", ExitCode.BAD_INPUT, "A buffer has no address")
BAD_VIEW = error_code("NPU-E0724", ExitCode.UNSUPPORTED, "An operand cannot be a tensor descriptor")
TILE_OP = error_code("NPU-E0725", ExitCode.UNSUPPORTED, "A tile operation has no instruction")
NO_PROGRAM = error_code("NPU-E0726", ExitCode.BAD_INPUT, "The module does not hold the code that is expected")
CONSTANT_BYTES = error_code("NPU-E0727", ExitCode.BAD_INPUT, "A constant is missing or has another size")
TABLE_FULL = error_code("NPU-E0728", ExitCode.DOES_NOT_FIT, "A table of the program is full")
DRAM_FULL = error_code("NPU-E0729", ExitCode.DOES_NOT_FIT, "The program is larger than the target's DRAM")
LOWERING_FAILED = error_code("NPU-E0730", ExitCode.DOES_NOT_FIT, "Several groups cannot become instructions")
NOT_INTERPRETED = error_code("NPU-E0731", ExitCode.UNSUPPORTED, "The IR interpreter does not run this instruction")
FIELD_LIMIT = error_code("NPU-E0732", ExitCode.UNSUPPORTED, "A value of the model does not fit its instruction")
