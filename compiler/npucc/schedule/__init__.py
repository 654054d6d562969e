"""The schedule of a group: tile sizes, loop order, buffering, residency - chosen by a vectorised cost model."""
