"""The layer against float64, modules, autocast, compile, state dicts, packing."""

import numpy as np
import pytest
import torch
import truth
from torch import nn

import normquant

EPS32 = 2.0**-24
UNIT = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
K_IN, K_OUT = 96, 40


def sizes_of_codes(y_q, w_q):
    """What one code more or less of every activation can change of a product: its bound away from ties is far smaller."""
    return np.abs(y_q) @ np.abs(w_q).T


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("like_triton", [False, True])
@pytest.mark.parametrize("rms", [True, False])
def test_layer_and_gradients(device, dtype, like_triton, rms):
    x = torch.randn(4, 5, K_IN, device=device).to(dtype).requires_grad_()
    residual = torch.randn(4, 5, K_IN, device=device).requires_grad_()
    norm_weight = (torch.randn(K_IN, device=device) + 2).requires_grad_()
    norm_bias = torch.randn(K_IN, device=device).requires_grad_()
    weight = torch.randn(K_OUT, K_IN, device=device).requires_grad_()
    bias = torch.randn(K_OUT, device=device).requires_grad_()
    out, stream = normquant.layer_norm_linear_quant_fn(x, norm_weight, norm_bias, weight, bias, residual, prenorm=True,
                                                       is_rms_norm=rms, like_triton=like_triton)
    assert out.shape == (4, 5, K_OUT) and out.dtype == dtype and stream.dtype == torch.float32
    h, xhat, rstd, y = truth.norm(truth.f64(x), truth.f64(residual), truth.f64(norm_weight), truth.f64(norm_bias), rms=rms)
    y_q, w_q = truth.activations(y), truth.weights(truth.f64(weight))
    true = y_q @ w_q.T + truth.f64(bias.to(dtype))
    # Codes next to a tie may go either way: a step of one row's scale by |w_q|, for as many as are that near.
    step = (1 / truth.quant_scale(y)) * np.abs(w_q).max()
    near = np.abs(np.abs(y * truth.quant_scale(y)) % 1 - 0.5) < K_IN * 4 * EPS32 * 127
    ties = near.sum(-1, keepdims=True) * step
    roundings = UNIT[dtype] * 3 if like_triton else UNIT[dtype]
    operands = sizes_of_codes(y_q, w_q) * ((2 * UNIT[dtype] if like_triton else 0) + (K_IN + K_OUT * K_IN) * EPS32)
    assert np.all(np.abs(truth.f64(out) - true) <= ties + operands + (np.abs(true) + 1e-30) * roundings)
    dout, dstream = torch.randn_like(out), torch.randn_like(stream)
    torch.autograd.backward([out, stream], [dout, dstream])
    d = truth.f64(dout)
    dy = d @ w_q
    dx, dnorm_weight, dnorm_bias = truth.norm_backward(dy, xhat, rstd, truth.f64(norm_weight), truth.f64(dstream), rms)
    flat = d.reshape(-1, K_OUT)
    dweight = flat.T @ y_q.reshape(-1, K_IN)
    unit = 6 * UNIT[dtype] + 4 * K_IN * EPS32
    dy_size = np.abs(d) @ np.abs(w_q)
    wdy_size = (dy_size * np.abs(truth.f64(norm_weight))).max() * rstd.max() * (2 + np.abs(xhat).max() ** 2)
    checks = [
        (x.grad, dx, unit * (wdy_size + np.abs(dx))), (residual.grad, dx, unit * (wdy_size + np.abs(dx))),
        (norm_weight.grad, dnorm_weight, unit * (dy_size * np.abs(xhat)).sum((0, 1))),
        (norm_bias.grad, dnorm_bias, unit * dy_size.sum((0, 1))),
        (weight.grad, dweight, unit * np.abs(flat).T @ np.abs(y_q.reshape(-1, K_IN))
         + np.abs(flat).T @ (near * (1 / truth.quant_scale(y))).reshape(-1, K_IN)),
        (bias.grad, flat.sum(0), unit * np.abs(flat).sum(0)),
    ]
    for got, true, bound in checks:
        assert np.all(np.abs(truth.f64(got) - true) <= bound)


def test_autocast(device):
    layer = normquant.FusedBitLinear(K_IN, K_OUT, bias=True).to(device)
    x = torch.randn(6, K_IN, device=device, requires_grad=True)
    with torch.autocast(device, dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32 and x.grad.dtype == torch.float32
    plain = layer(x)
    assert plain.dtype == torch.float32 and torch.allclose(plain, out.float(), atol=0.05, rtol=0.02)


def test_residual_in_fp32(device):
    x = torch.randn(6, K_IN, device=device, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(K_OUT, K_IN, device=device, dtype=torch.bfloat16, requires_grad=True)
    out, stream = normquant.rms_norm_linear_quant(x, None, None, weight, None, prenorm=True, residual_in_fp32=True)
    assert stream.dtype == torch.float32 and torch.equal(stream, x.float())
    (out.sum() + stream.sum()).backward()
    assert x.grad.dtype == torch.bfloat16 and weight.grad.dtype == torch.bfloat16
    _, same = normquant.rms_norm_linear_quant(x, None, None, weight, None, prenorm=True)
    assert same is x


class TritonBitLinear(nn.Linear):
    """The parameters of the Triton system's modules."""

    def __init__(self, in_features, out_features, bias=False):
        super().__init__(in_features, out_features, bias=bias)
        self.norm = nn.Module()
        self.norm.weight = nn.Parameter(torch.rand(in_features))


@pytest.mark.parametrize("module", [normquant.BitLinear, normquant.FusedBitLinear])
@pytest.mark.parametrize("bias", [False, True])
def test_checkpoints_load_across(module, bias):
    theirs, ours = TritonBitLinear(K_IN, K_OUT, bias), module(K_IN, K_OUT, bias)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert torch.equal(ours.norm.weight, theirs.norm.weight) and list(ours.state_dict()) == list(theirs.state_dict())


def test_unfused_bias_is_added_unless_like_triton(device):
    x = torch.randn(3, K_IN, device=device)
    torch.manual_seed(2)
    ours = normquant.BitLinear(K_IN, K_OUT, bias=True).to(device)
    without = normquant.BitLinear(K_IN, K_OUT, bias=False).to(device)
    without.load_state_dict({k: v for k, v in ours.state_dict().items() if k != "bias"})
    assert torch.allclose(ours(x), without(x) + ours.bias, atol=1e-5)
    ours.like_triton = True
    assert torch.allclose(ours(x), without(x), atol=1e-5)


def test_bit_linear_eps(device):
    x = torch.randn(3, K_IN, device=device) * 1e-3
    w = torch.randn(K_OUT, K_IN, device=device)
    exact = normquant.rms_norm_linear_quant(x, None, None, w, None, eps=1e-8)
    assert torch.equal(normquant.bit_linear(x, w), exact)
    triton = normquant.layer_norm_linear_quant_fn(x, None, None, w, None, eps=1e-6, is_rms_norm=True, like_triton=True)
    assert torch.equal(normquant.bit_linear(x, w, like_triton=True), triton)


def test_packed(device):
    layer = normquant.FusedBitLinear(K_IN + 1, K_OUT, bias=True).to(device).eval()
    x = torch.randn(2, 3, K_IN + 1, device=device)
    with torch.no_grad():
        exact = layer(x)
        layer.pack()
        assert torch.equal(layer(x), exact)  # both sum integer codes
        layer.weight.mul_(-1)
        assert torch.equal(layer(x), exact)  # packed once
        layer.unpack()
        assert not torch.equal(layer(x), exact)
        layer.pack()
        layer.load_state_dict({k: v * 0 for k, v in layer.state_dict().items()})
        assert (layer(x) == 0).all()
    layer.pack()
    assert layer(x).requires_grad  # with gradients: the weights themselves


@pytest.mark.parametrize("gradient", [False, True])
def test_compile_without_a_break(device, gradient):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = normquant.FusedBitLinear(64, 128), normquant.BitLinear(128, 64, bias=True)

        def forward(self, x, residual):
            out, stream = normquant.layer_norm_linear_quant_fn(
                self.down(torch.relu(self.up(x))), self.up.norm.weight, None, self.up.weight, None, residual, prenorm=True)
            return out.sum() + (stream * stream).sum()

    block = Block().to(device)
    x, residual = torch.randn(3, 64, device=device), torch.randn(3, 64, device=device)
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager" if device == "cpu" else "inductor")
    if not gradient:
        with torch.no_grad():
            assert torch.allclose(compiled(x, residual), block(x, residual), rtol=1e-4)
        return
    grads = []
    for run in (compiled, block):
        block.zero_grad()
        run(x, residual).backward()
        grads.append([p.grad.clone() for p in block.parameters()])
    for one, other in zip(*grads):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3)
