"""The operations of the graph dialect, a file per family; import them from `npucc.dialects.graph`."""
