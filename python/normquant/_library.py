"""Loads the operators of the wheel into torch; says in a sentence why when it cannot."""

from __future__ import annotations

from pathlib import Path

OLDEST_TORCH = (2, 10)


def load() -> None:
    """Registers torch.ops.normquant. Raises ImportError with the reason when torch or the library is not there."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"normquant's operators need PyTorch {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]} or later: {error}") from error
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < OLDEST_TORCH:
        raise ImportError(f"normquant's operators need PyTorch {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]} or later; "
                          f"this is {torch.__version__}")
    library = Path(__file__).parent / "lib" / "libnormquant_torch.so"
    if not library.exists():
        raise ImportError(f"this normquant was built without PyTorch's headers and has no operators ({library} is missing): "
                          "install torch first and build it again (docs/python.md)")
    torch.ops.load_library(str(library))
