"""Executable semantics of the dialects: what the IR at a level computes, in NumPy."""
