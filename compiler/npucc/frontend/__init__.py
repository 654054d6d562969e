"""The ONNX importer: `import_model`, and `check_model` for what a model needs that the compiler lacks."""

from npucc.frontend.check import check_model
from npucc.frontend.imported import ImportedModel
from npucc.frontend.importer import import_model
from npucc.frontend.load import LoadedModel, ModelSource, load_model
from npucc.frontend.node import Bounded, ImportNode
from npucc.frontend.problems import Malformed, NeedsHost, NeedsValue, Unsupported
from npucc.frontend.registry import onnx_op, supported_ops

__all__ = [
    "Bounded",
    "ImportNode",
    "ImportedModel",
    "LoadedModel",
    "Malformed",
    "ModelSource",
    "NeedsHost",
    "NeedsValue",
    "Unsupported",
    "check_model",
    "import_model",
    "load_model",
    "onnx_op",
    "supported_ops",
]
