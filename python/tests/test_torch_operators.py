"""Forward, backward and quantisers against float64; opcheck; strides; compile."""

import itertools

import numpy as np
import pytest
import torch
import truth

import normquant
from normquant import ops

EPS32 = 2.0**-24  # half a unit in the last place of float32
UNIT = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


def assert_codes(out, y, half_even, dtype):
    """Every out is code / quant_scale of a code that some value near y rounds to: near is N float32 roundings of the largest."""
    out, scale = truth.f64(out), truth.quant_scale(y)
    slack = y.shape[-1] * 4 * EPS32 * 127
    low = truth.round_half(y * scale - slack, half_even)
    high = truth.round_half(y * scale + slack, half_even)
    code = out * scale
    away = 127 * (UNIT[dtype] + y.shape[-1] * 4 * EPS32)
    assert np.all((code >= low - away) & (code <= high + away))
    assert np.mean(low != high) < 0.05  # a bound so loose that it hides errors would be met here


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rms", [True, False])
@pytest.mark.parametrize("with_residual", [False, True])
def test_forward_and_gradients(device, dtype, rms, with_residual):
    x = torch.randn(3, 7, 96, device=device).to(dtype).requires_grad_()
    residual = torch.randn(3, 7, 96, device=device).requires_grad_() if with_residual else None
    weight = torch.randn(96, device=device).requires_grad_()
    bias = torch.randn(96, device=device).requires_grad_()
    out, stream = normquant.norm_quant(x, weight, bias, residual, prenorm=True, is_rms_norm=rms)
    assert out.dtype == dtype and out.shape == x.shape
    h, xhat, rstd, y = truth.norm(truth.f64(x), truth.f64(residual), truth.f64(weight), truth.f64(bias), rms=rms)
    assert_codes(out, y, False, dtype)
    dout = torch.randn_like(out)
    dstream = torch.randn_like(stream)
    torch.autograd.backward([out, stream], [dout, dstream])
    dx, dweight, dbias = truth.norm_backward(truth.f64(dout), xhat, rstd, truth.f64(weight), truth.f64(dstream), rms)
    size = np.abs(dx).max() + np.abs(truth.f64(dout)).max() * rstd.max() * np.abs(truth.f64(weight)).max() * 4
    for got, true, unit in ((x.grad, dx, UNIT[dtype]), (weight.grad, dweight, EPS32), (bias.grad, dbias, EPS32)):
        bound = np.abs(true) * unit + (96 + 21) * 4 * EPS32 * max(size, np.abs(true).max())
        if true is dx and not with_residual:
            bound = bound + (np.abs(dx) + np.abs(truth.f64(dstream))) * 2 * unit  # torch adds the stream's gradient, rounded
        assert np.all(np.abs(truth.f64(got) - true) <= bound)
    if with_residual:
        assert np.all(np.abs(truth.f64(residual.grad) - dx) <= np.abs(dx) * EPS32 + 117 * 4 * EPS32 * size)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_codes_of_fp8_and_static_scales(device, dtype):
    x = (100 * torch.randn(5, 3, 130, device=device)).to(dtype)
    x[1, 1, 7] = float("nan")
    codes, scale = normquant.quantise(x, quant_scale=4)
    assert codes.dtype == torch.float8_e4m3fn and codes.shape == x.shape and scale is None
    wanted = (x.float() * 4).clamp(-448, 448).to(torch.float8_e4m3fn)
    assert torch.equal(codes.float().nan_to_num(1e9), wanted.float().nan_to_num(1e9))
    codes, _ = normquant.quantise(x, dtype=torch.int8, quant_scale=0.5)
    assert torch.equal(codes, (x.float() * 0.5).round().clamp(-128, 127).nan_to_num(0).to(torch.int8))
    codes, scale = normquant.quantise(x)
    assert scale.shape == (15,) and torch.isnan(scale[4]) and torch.isnan(codes[1, 1].float()).all()
    assert torch.allclose(scale[0], x[0, 0].float().abs().max() / 448) and codes[0, 0].float().abs().max() == 448
    assert torch.equal(normquant.quantise(torch.zeros_like(x), floor=0.5)[1], torch.full((15,), 0.5 / 448, device=device))


def test_norm_and_codes(device):
    x, residual = torch.randn(6, 96, device=device), torch.randn(6, 96, device=device)
    weight = torch.randn(96, device=device)
    codes, scale, stream = normquant.norm_quantise(x, weight, None, residual)
    assert torch.equal(stream, x + residual)
    _h, _xhat, _rstd, y = truth.norm(truth.f64(x), truth.f64(residual), truth.f64(weight), None, rms=True)
    got = truth.f64(codes.float()) * truth.f64(scale)[:, None]
    assert np.all(np.abs(got - y) <= np.abs(y) / 16 * 1.001 + np.abs(y).max(1, keepdims=True) * 2.0**-18)
    static, none, _ = normquant.norm_quantise(x, weight, quant_scale=3, dtype=torch.int8)
    _h, _xhat, _rstd, y = truth.norm(truth.f64(x), None, truth.f64(weight), None, rms=True)
    assert none is None and np.all(np.abs(truth.f64(static.float()) - np.clip(3 * y, -128, 127)) <= 0.5 + 1e-4)
    with pytest.raises(ValueError, match="quant_scale"):
        normquant.norm_quantise(x, quant_scale=-1)
    with pytest.raises(ValueError, match="int8 or float8_e4m3fn"):
        normquant.quantise(x, dtype=torch.float16)
    with pytest.raises(ValueError, match="floor"):
        normquant.quantise(x, floor=0.0)


def test_quantisers(device):
    x = torch.randn(5, 130, device=device, requires_grad=True)
    out = normquant.activation_quant(x)
    assert_codes(out, truth.f64(x), True, torch.float32)
    out.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    w = torch.randn(33, 50, device=device, requires_grad=True)
    out = normquant.weight_quant(w)
    true = truth.weights(truth.f64(w))
    assert np.all(np.abs(truth.f64(out) - true) <= np.abs(true) * 1650 * EPS32)
    out.sum().backward()
    assert torch.equal(w.grad, torch.ones_like(w))


def test_ties(device):
    x = torch.tensor([[127.0, 0.5, 1.5, -0.5, -2.5, 3.0]], device=device)
    assert normquant.activation_quant(x).tolist() == [[127, 0, 2, 0, -2, 3]]


def test_strides_and_offsets(device):
    """The same bits whatever the strides, as row invariance promises."""
    base = torch.randn(4, 6, 3, 70, device=device)
    weight = torch.randn(140, device=device)[::2]
    views = [base[:, :, 1], base.transpose(0, 1)[2], base[1:, 2:5, :, 3:40], base[..., ::2], base[:1].expand(5, 6, 3, 70)]
    for view in views:
        one = normquant.norm_quant(view, weight[: view.shape[-1]], is_rms_norm=True)
        other = normquant.norm_quant(view.contiguous(), weight[: view.shape[-1]].contiguous(), is_rms_norm=True)
        assert torch.equal(one, other)


def test_rows_that_are_not_finite(device):
    x = torch.randn(3, 32, device=device)
    x[1, 4] = float("nan")
    out = normquant.norm_quant(x, is_rms_norm=True)
    assert out[1].isnan().all() and out[[0, 2]].isfinite().all()
    codes, scale = ops.norm_quant_codes(x, None, None, None, 1e-6, True, False)
    assert (codes[1] == 0).all() and scale[1].isnan() and codes.dtype == torch.int8


def test_no_rows(device):
    x = torch.randn(0, 32, device=device, requires_grad=True)
    weight = torch.ones(32, device=device, requires_grad=True)
    bias = torch.ones(32, device=device, requires_grad=True)
    for rms in (True, False):
        out = normquant.norm_quant(x, weight, bias, is_rms_norm=rms)
        out.sum().backward()
        assert out.shape == (0, 32) and (weight.grad == 0).all() and (bias.grad == 0).all()


def _samples(device):
    x = torch.randn(2, 3, 32, device=device, requires_grad=True)
    weight, bias = (torch.randn(32, device=device, requires_grad=True) for _ in range(2))
    residual = torch.randn(2, 3, 32, device=device, requires_grad=True)
    linear = torch.randn(16, 32, device=device, requires_grad=True)
    linear_bias = torch.randn(16, device=device, requires_grad=True)
    plain = x.detach()
    packed, factor = ops.pack_weight(linear.detach())
    rstd = torch.ones(6, device=device)
    f32 = torch.float32
    return [
        (ops.norm_quant, (plain, residual.detach(), weight.detach(), None, 1e-6, True, False, torch.bfloat16)),
        (ops.bit_linear, (plain, None, weight.detach(), None, linear.detach(), linear_bias.detach(), 1e-6, True, False, True, f32)),
        (ops.norm_quant_forward, (x, residual, weight, bias, 1e-6, False, False, False, None, f32)),
        (ops.norm_quant_forward, (x, None, weight, None, 1e-6, True, True, False, torch.bfloat16, None)),
        (ops.norm_quant_codes, (plain, None, None, None, 1e-6, True, False)),
        (ops.norm_quant_backward, (plain, plain, weight.detach(), None, None, rstd, plain, f32, torch.float16, False, f32)),
        (ops.activation_quant, (x, True)),
        (ops.weight_quant, (linear, None)),
        (ops.bit_linear_forward, (x, residual, weight, bias, linear, linear_bias, 1e-6, False, False, True, True, f32, f32)),
        (ops.bit_linear_forward, (plain, None, None, None, linear.detach(), None, 1e-6, True, False, False, False, f32, None)),
        (ops.bit_linear_backward, (torch.randn(2, 3, 16, device=device), plain, weight.detach(), None, linear.detach(), None,
                                   rstd, None, False, f32, None, f32, f32)),
        (ops.pack_weight, (linear.detach(),)),
        (ops.packed_bit_linear, (plain, weight.detach(), None, packed, factor, None, 1e-6, True, False, f32)),
        (ops.packed_linear, (plain, packed, factor, None, True, torch.bfloat16)),
        (ops.norm_quant_codes, (plain, None, None, None, 1e-6, True, False, True)),
        (ops.norm_quantise, (plain, None, None, None, 1e-6, True, False, torch.int8, 0.0, 1e-5, None)),
        (ops.quantise, (plain, True, torch.int8, 2.0, 1e-5)),
    ]


@pytest.mark.parametrize("index", range(15))
def test_opcheck(device, index):
    operator, arguments = _samples(device)[index]
    torch.library.opcheck(operator, arguments)


def test_function_and_library_gradients_agree(device):
    """Eager code goes through a Function of ours, compiled code through torch.library: one gradient."""
    operator, arguments = next(sample for sample in _samples(device) if sample[0] is ops.bit_linear_forward)
    inputs = [a for a in arguments if isinstance(a, torch.Tensor)]
    results = []
    for outputs in (operator(*arguments), ops.forward(operator, True, *arguments)):
        loss = outputs[0].square().sum() + outputs[-1].sin().sum()
        results.append(torch.autograd.grad(loss, inputs))
    for one, other in zip(*results):
        assert torch.equal(one, other)


def test_a_call_without_gradient_gives_the_same_bits(device):
    """Without a gradient an operator runs that returns the output alone."""
    torch.manual_seed(3)
    x, residual = torch.randn(5, 48, device=device).bfloat16(), torch.randn(5, 48, device=device)
    weight, linear = torch.randn(48, device=device), torch.randn(33, 48, device=device).bfloat16()
    bias = torch.randn(33, device=device).bfloat16()
    for is_rms_norm, like_triton, second in itertools.product((False, True), (False, True), (None, residual)):
        results = []
        for gradient in (False, True):
            parameters = [p.clone().requires_grad_(gradient) for p in (weight, linear, bias)]
            norm = normquant.norm_quant(x, parameters[0], None, second, is_rms_norm=is_rms_norm)
            layer = normquant.layer_norm_linear_quant_fn(x, parameters[0], None, parameters[1], parameters[2], second,
                                                         is_rms_norm=is_rms_norm, like_triton=like_triton)
            assert norm.requires_grad == layer.requires_grad == gradient
            results.append((norm.detach(), layer.detach()))
        for one, other in zip(*results):
            assert torch.equal(one, other)
