"""Mistakes are Python exceptions that name what was wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import normquant
from normquant import ops


def forward(x, residual=None, weight=None, eps=1e-6, out_dtype=None, residual_dtype=None):
    return ops.norm_quant_forward(x, residual, weight, None, eps, True, False, False, out_dtype, residual_dtype)


@pytest.mark.parametrize("call,sentence", [
    (lambda x: forward(x.double()), "x has the type Double; it must be float32, float16 or bfloat16"),
    (lambda x: forward(x.long()), "x has the type Long"),
    (lambda x: forward(torch.tensor(1.0)), "x has no dimension"),
    (lambda x: forward(x[:, :0]), "its last dimension must be 1 or more"),
    (lambda x: forward(x, eps=0.0), "eps is 0"),
    (lambda x: forward(x, eps=float("nan")), "eps is nan"),
    (lambda x: forward(x, x[:2]), "residual has the shape [2, 8], x [4, 8]; they must have as many rows"),
    (lambda x: forward(x, x[:, :5]), "residual has the shape [4, 5]; its last dimension must be 8"),
    (lambda x: forward(x, weight=torch.ones(7)), "weight has the shape [7]; it must be [8]"),
    (lambda x: forward(x, out_dtype=torch.int8), "out has the type Char"),
    (lambda x: normquant.norm_quant(x, residual=x[0]), "residual has the shape [8] and x [4, 8]; they must be equal"),
    (lambda x: normquant.bit_linear(x, torch.ones(3, 9)), "linear_weight has the shape [3, 9]; its last dimension must be 8"),
    (lambda x: normquant.bit_linear(x, torch.ones(8)), "linear_weight must be [K_out, K_in]"),
    (lambda x: normquant.bit_linear(x, torch.ones(3, 8), torch.ones(4)), "linear_bias has the shape [4]; it must be [3]"),
    (lambda x: ops.packed_linear(x, torch.zeros(3, 3, dtype=torch.uint8), torch.ones(1), None, True, x.dtype),
     "packed has the shape [3, 3]; it must be [3, 2]"),
    (lambda x: ops.packed_linear(x, torch.zeros(3, 2), torch.ones(1), None, True, x.dtype), "packed must be uint8"),
])
def test_sentences(call, sentence):
    with pytest.raises(ValueError) as error:
        call(torch.ones(4, 8))
    assert sentence in str(error.value)


def test_gradient_through_a_residual_needs_its_sum():
    x = torch.ones(4, 8, requires_grad=True)
    with pytest.raises(ValueError, match="residual_dtype"):
        forward(x, x)


def test_overlapping_rows_are_read_as_they_are():
    base = torch.randn(20)
    windows = base.as_strided((5, 8), (3, 1))  # rows share memory; inputs may, outputs are always new
    assert torch.equal(forward(windows)[0], forward(windows.clone())[0])


def test_devices_are_not_mixed():
    if not torch.cuda.is_available():
        pytest.skip("no GPU: no second device")
    with pytest.raises(ValueError, match="weight is on cpu and x on cuda:0"):
        forward(torch.ones(4, 8, device="cuda"), weight=torch.ones(8))


def test_without_torch_the_package_imports():
    """And a name that needs torch says so."""
    code = ("import sys; sys.modules['torch'] = None\nimport normquant\n"
            "try: normquant.BitLinear\nexcept ImportError as error: print(error)")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "PyTorch" in said or "torch" in said


def test_said_once_that_the_cpu_is_slow():
    code = ("import torch, normquant\nfor _ in range(3): normquant.activation_quant(torch.ones(2, 2))")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert said.count("right and slow") == 1


def test_symbols_are_torch_s_c_interface_alone():
    """No C++ symbol of torch is needed: one binary serves torch 2.10 and later."""
    library = Path(normquant.__file__).parent / "lib" / "libnormquant_torch.so"
    try:
        needed = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("there is no nm here")
    names = [line.split()[-1].split("@")[0] for line in needed.splitlines()]
    of_torch = [name for name in names if "torch" in name or "c10" in name or "2at" in name]
    assert of_torch and all(name.startswith(("aoti_torch_", "torch_")) for name in of_torch)
    assert not [name for name in names if name.startswith(("Py", "_Py"))]
