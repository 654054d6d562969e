"""Models that take shapes, axes or options as inputs: which inputs must be known to compile them."""

from __future__ import annotations

from collections.abc import Mapping

from npucc.constants import ConstantStore
from npucc.frontend.importer import GraphImport
from npucc.frontend.load import ModelSource, load_model
from npucc.types import Array


def needed_values(model: ModelSource, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Those of `inputs` whose values, not only their shapes, the import has to know (`fixed_inputs` of `import_model`).

    Empty for models that are the same for all values. Problems of the model itself are left to the import.
    """
    shapes = {name: array.shape for name, array in inputs.items()}
    fixed: dict[str, Array] = {}
    loaded = load_model(model)
    while True:
        work = GraphImport(loaded, ConstantStore())
        work.run(None, shapes, fixed)
        new = work.needs_values - fixed.keys()
        if not new:
            return fixed
        fixed.update({name: inputs[name] for name in new})
