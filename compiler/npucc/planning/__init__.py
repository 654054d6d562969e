"""Placement of buffers in a memory; independent of the IR."""
