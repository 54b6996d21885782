"""What the tests of the operators share. Without torch, or without the operators in this build, they are skipped with the reason."""

import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

TORCH_TESTS = ("operators", "layer", "modules", "replacement", "arguments", "invariance", "wheel", "gpu", "asserts", "logits", "graphs")


def _why_no_operators():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from normquant import ops  # noqa: F401
    except ImportError as error:
        return str(error)
    return None


_REASON = _why_no_operators()


def pytest_ignore_collect(collection_path, config):
    """Files that import torch are not opened without it."""
    if _REASON is not None and any(collection_path.name == f"test_torch_{name}.py" for name in TORCH_TESTS):
        return True
    return None


def pytest_terminal_summary(terminalreporter):
    if _REASON is not None:
        terminalreporter.write_line(f"SKIPPED: the tests of the operators for torch: {_REASON}")


def pytest_generate_tests(metafunc):
    """`device`: the CPU, and a GPU where torch has one."""
    if "device" in metafunc.fixturenames:
        import torch

        metafunc.parametrize("device", ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])


@pytest.fixture(autouse=True)
def seed():
    if _REASON is None:
        import torch

        torch.manual_seed(1)
