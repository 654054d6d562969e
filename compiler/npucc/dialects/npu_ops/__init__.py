"""The operations and attributes of the `npu` dialect, one file per family."""
