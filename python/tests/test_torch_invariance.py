"""`invariant=True`: a row has the same bits alone and among others, and so has its gradient."""

import pytest
import torch

import normquant

COLUMNS = 1024


def _bits(tensor):
    return tensor.detach().contiguous().view(torch.uint8)


def _same_rows(one, among, places):
    return all(torch.equal(_bits(one[:1]), _bits(among[i : i + 1])) for i in places)


def _rows_among_others(x, rows=300):
    """x's first row as the first, one in the midst and the last of others."""
    others = torch.randn(rows, x.shape[1], device=x.device).to(x.dtype)
    places = (0, 137, rows - 1)
    for i in places:
        others[i] = x[0]
    return others, places


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rms", [True, False])
def test_norm_and_gradient(device, dtype, rms):
    weight = torch.randn(COLUMNS, device=device, dtype=dtype)
    x = torch.randn(1, COLUMNS, device=device).to(dtype)
    others, places = _rows_among_others(x)
    dout = torch.randn(1, COLUMNS, device=device).to(dtype)
    results = []
    for rows in (x, others):
        rows = rows.clone().requires_grad_()
        out = normquant.norm_quant(rows, weight, eps=1e-6, is_rms_norm=rms, invariant=True)
        out.backward(dout.expand_as(out))
        results.append((out, rows.grad))
    for one, among in zip(*results):
        assert _same_rows(one, among, places)


@pytest.mark.parametrize("pack", [False, True])
def test_layer(device, pack):
    layer = normquant.BitLinear(COLUMNS, 64, invariant=True, device=device).eval()
    if pack:
        layer.pack()
    x = torch.randn(1, COLUMNS, device=device)
    others, places = _rows_among_others(x)
    with torch.no_grad():
        assert _same_rows(layer(x), layer(others), places)


def test_fake_quantised_products_do_not_promise_it(device):
    layer = normquant.BitLinear(COLUMNS, 64, like_triton=True, invariant=True, device=device)
    with pytest.raises(Exception, match="row_invariant needs the exact product"):
        layer(torch.randn(2, COLUMNS, device=device))
