"""The machine: instruction table, descriptors, encodings, assembler, program file, hardware targets."""
