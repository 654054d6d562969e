"""Page: ONNX operators that the importer knows."""

from __future__ import annotations

from npucc.docs.markdown import first_sentence, table
from npucc.frontend.registry import find_importer, supported_ops


def onnx_ops_page() -> str:
    """Operators with an importer function."""
    rows = [_row(domain, name, versions) for (domain, name), versions in supported_ops().items()]
    return "\n".join(
        (
            "# ONNX operators\n",
            f"{len(rows)} operators have an importer function; an opset version from the first one listed is imported.",
            "Nodes whose inputs are all constants are evaluated at import, whatever the operator.\n",
            table(("operator", "domain", "since", "import"), rows),
            "Operators without a function of their own are expanded through the function body that ONNX defines for",
            "them (docs of the onnx package), if every operator in it is known.",
        )
    )


def _row(domain: str, name: str, versions: list[int]) -> tuple[str, str, str, str]:
    function = find_importer(domain, name, versions[-1])
    return (name, domain or "ai.onnx", ", ".join(map(str, versions)), first_sentence(function))
