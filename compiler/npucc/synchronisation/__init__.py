"""Where engines must wait for each other: dependences of a tile program, turned into semaphores.

`tile-insert-semaphores` runs these steps: `tree` (instructions and loops in program order), `dependences` (which access
must wait for which, reduced by what is already known), `rotation` (reuse of pool slots), `naming` (semaphores from a
limited number), `placement` (headers and `tile.sync`).
"""
