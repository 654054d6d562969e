"""`npucc check`: where each node of a model runs, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from npuisa.target import Target

from npucc.constants import ConstantStore
from npucc.frontend.importer import GraphImport
from npucc.frontend.load import ModelSource, load_model
from npucc.results import NodeSupport


def check_model(
    source: ModelSource,
    target: Target | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> list[NodeSupport]:
    """One entry per node, in execution order. Errors: damaged models and missing sizes as in `import_model`.

    What the importer accepts runs on every target; `target` is taken for rules of single targets.
    """
    del target
    work = GraphImport(load_model(source), ConstantStore())
    work.run(dims, input_shapes)
    return work.reports
