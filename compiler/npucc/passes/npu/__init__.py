"""Passes that make or change npu dialect IR."""
