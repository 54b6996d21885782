"""normquant: fused norm + quantise operations for PyTorch, and the oracle that judges anybody's (docs/python.md).

Names that need torch are imported when they are first asked for, so that the oracle works without it.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

# name -> the module that has it
_TORCH_NAMES = {
    "activation_quant": "functional",
    "weight_quant": "functional",
    "norm_quant": "functional",
    "norm_quantise": "functional",
    "quantise": "functional",
    "layer_norm_linear_quant_fn": "functional",
    "rms_norm_linear_quant": "functional",
    "bit_linear": "functional",
    "BitLinear": "modules",
    "FusedBitLinear": "modules",
    "PackedBitLinear": "packed",
    "pack": "packed",
    "replace": "replacement",
    "ops": "ops",
}
_ORACLE_NAMES = {"bench": "bench", "testing": "testing"}

__all__ = ["__version__", *_TORCH_NAMES, *_ORACLE_NAMES]


def __getattr__(name: str):
    module_name = _TORCH_NAMES.get(name) or _ORACLE_NAMES.get(name)
    if module_name is None:
        raise AttributeError(f"module 'normquant' has no attribute {name!r}")
    module = importlib.import_module(f"normquant.{module_name}")
    value = module if name == module_name and not hasattr(module, name) else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
