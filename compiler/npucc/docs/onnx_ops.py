"""Page: ONNX operators that the importer knows."""

from __future__ import annotations

import onnx

from npucc.docs.markdown import first_sentence, table
from npucc.frontend.registry import find_importer, supported_ops


def onnx_ops_page() -> str:
    """Operators with an importer function, and the standard ones that are expanded through ONNX's own function body."""
    rows = [_row(domain, name, versions) for (domain, name), versions in supported_ops().items()]
    expanded = _expanded()
    return "\n".join(
        (
            "# ONNX operators\n",
            f"{len(rows)} operators have an importer function; an opset version from the first one listed is imported.",
            "Nodes whose inputs are all constants are evaluated at import, whatever the operator.\n",
            table(("operator", "domain", "since", "import"), rows),
            "Operators without a function of their own are expanded through the function body that ONNX defines for",
            f"them, if every operator in it is known: {', '.join(f'`{name}`' for name in expanded)}.",
        )
    )


def _row(domain: str, name: str, versions: list[int]) -> tuple[str, str, str, str]:
    function = find_importer(domain, name, versions[-1])
    return (name, domain or "ai.onnx", ", ".join(map(str, versions)), first_sentence(function))


def _expanded() -> list[str]:
    own = {name for domain, name in supported_ops() if not domain}
    schemas = [schema for schema in onnx.defs.get_all_schemas() if not schema.domain and not schema.deprecated]
    # Properties of the C extension that its type stub leaves out.
    flags = ("has_function", "has_context_dependent_function")
    bodies = {schema.name for schema in schemas if any(getattr(schema, flag) for flag in flags)}
    return sorted(bodies - own)
