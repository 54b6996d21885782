"""normquant's own layer and quantisers, judged by normquant.testing; and tensors of torch as strangers hand them over."""

import pytest
import torch

import normquant
from normquant import ops
from normquant.testing import (WrongResult, assert_activation_quant, assert_bit_linear_backward, assert_bit_linear_forward,
                               assert_norm_quant_forward)

K_IN, K_OUT = 96, 40


def made(device, dtype):
    def some(*shape):
        return torch.randn(*shape, device=device)

    return {"x": some(3, 5, K_IN).to(dtype), "residual": some(3, 5, K_IN), "norm_weight": some(K_IN) + 2, "norm_bias": some(K_IN),
            "linear_weight": some(K_OUT, K_IN), "linear_bias": some(K_OUT).to(dtype)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize("exact", [True, False])
def test_the_operators(device, dtype, norm, exact):
    inputs, rms = made(device, dtype), norm == "rms"
    out, w_q, mean, rstd, h = ops.bit_linear_forward(*(inputs[n] for n in ("x", "residual", "norm_weight", "norm_bias", "linear_weight",
                                                                          "linear_bias")),
                                                     1e-6, rms, False, exact, True, dtype, torch.float32, False)
    mean = None if rms else mean
    assert_bit_linear_forward(**inputs, out=out, w_q=w_q, mean=mean, rstd=rstd, residual_out=h, norm=norm, eps=1e-6)
    if dtype != torch.float32:
        product, other = ("codes", str(dtype)[6:]) if exact else (str(dtype)[6:], "codes")
        assert_bit_linear_forward(**inputs, out=out, norm=norm, eps=1e-6, product=product)
        with pytest.raises(WrongResult, match=f'with product="{product}".* all of it would be right'):
            assert_bit_linear_forward(**inputs, out=out, norm=norm, eps=1e-6, product=other)
    dout, dresidual = torch.randn(3, 5, K_OUT, device=device).to(dtype), torch.randn(3, 5, K_IN, device=device)
    dx, dnorm_weight, dnorm_bias, dlinear_weight, dlinear_bias, dx_residual = ops.bit_linear_backward(
        dout, h, inputs["norm_weight"], inputs["norm_bias"], w_q, mean, rstd, dresidual, False, dtype, torch.float32, torch.float32,
        torch.float32)
    assert_bit_linear_backward(h, dout, dx, w_q=w_q, rstd=rstd, mean=mean, dx_residual=dx_residual, dnorm_weight=dnorm_weight,
                               dnorm_bias=dnorm_bias, dlinear_weight=dlinear_weight, dlinear_bias=dlinear_bias,
                               norm_weight=inputs["norm_weight"], norm_bias=inputs["norm_bias"], dresidual=dresidual, norm=norm)


@pytest.mark.parametrize("kind,eps,rounding", [("BitLinear", 1e-8, "half_even"), ("FusedBitLinear", 1e-6, "half_away")])
def test_modules_and_packed_weights(device, kind, eps, rounding):
    layer = getattr(normquant, kind)(K_IN, K_OUT, bias=True, device=device).eval()
    x = torch.randn(4, K_IN, device=device, requires_grad=True)
    given = {"linear_weight": layer.weight, "linear_bias": layer.bias, "norm_weight": layer.norm.weight, "norm": "rms", "eps": eps,
             "rounding": rounding}
    assert_bit_linear_forward(x, layer(x), **given)  # parameters and outputs that require gradients
    with torch.no_grad():
        assert_bit_linear_forward(x, layer.pack()(x), product="codes", **given)
        x16 = x.bfloat16()
        with torch.autocast(device, torch.bfloat16):
            out = layer.unpack()(x)
        assert out.dtype == torch.bfloat16
        assert_bit_linear_forward(x, out, **{**given, "linear_bias": layer.bias.bfloat16()})
        half = layer.bfloat16()
        given |= {"linear_weight": half.weight, "linear_bias": half.bias, "norm_weight": half.norm.weight}
        assert_bit_linear_forward(x16.t().contiguous().t(), half(x16), **given)
        with pytest.raises(WrongResult):
            assert_bit_linear_forward(x16, half(x16) * (1 + 2**-6), **given)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
@pytest.mark.parametrize("scale", [None, 50.0])
@pytest.mark.parametrize("floor", [1e-5, 30.0])
def test_quantised_outputs(device, dtype, scale, floor):
    x, weight = torch.randn(16, 256, device=device), torch.randn(256, device=device)
    words = {"format": "int8" if dtype == torch.int8 else "fp8_e4m3", "static_scale": scale, "floor": floor if scale is None else None}
    codes, dequant_scale, _ = normquant.norm_quantise(x, weight, eps=1e-6, dtype=dtype, quant_scale=scale, floor=floor)
    assert_norm_quant_forward(x, codes=codes, dequant_scale=dequant_scale, weight=weight, norm="rms", eps=1e-6, **words)
    codes, dequant_scale = normquant.quantise(x, dtype=dtype, quant_scale=scale, floor=floor)
    assert_activation_quant(x, codes=codes, dequant_scale=dequant_scale, **words)
    byte = codes.view(torch.uint8)
    byte[7, 200] ^= 8
    with pytest.raises(WrongResult, match=r"WRONG: codes\[7,200\]"):
        assert_activation_quant(x, codes=codes, dequant_scale=dequant_scale, **words)


def test_strangers():
    x, w = torch.randn(4, K_IN), torch.randn(K_OUT, K_IN)
    out = normquant.bit_linear(x, w)
    given = {"linear_weight": w, "norm": "rms", "eps": 1e-8}
    assert_bit_linear_forward(x, out, **given)
    for kind, text, changed in (
        (ValueError, "x is on the device meta", {"x": x.to("meta")}),
        (TypeError, "linear_weight is a tensor of layout torch.sparse_coo", {"linear_weight": w.to_sparse()}),
        (TypeError, "out holds int64", {"out": out.long()}),
        (TypeError, "out is a list; pass a tensor", {"out": out.tolist()}),
        (TypeError, "out holds complex64", {"out": out + 0j}),
        (ValueError, "nothing was checked", {"x": x[:0], "out": out[:0]}),
    ):
        with pytest.raises(kind, match=text):
            assert_bit_linear_forward(**{"x": x, "out": out, **given, **changed})
    assert_bit_linear_forward(x.expand(1, 4, K_IN), out[None], **given)
    assert_bit_linear_forward(x[:1].expand(4, K_IN), out[:1].expand(4, K_OUT), **given)


def test_a_kernel_of_fp8_codes_is_timed():
    def kernel(x, largest=448):
        scale = largest / x.float().abs().amax(1, keepdim=True).clamp(min=1e-5)
        return (x.float() * scale).to(torch.float8_e4m3fn), 1 / scale

    words = {"op": "activation_quant", "shape": (4, 64), "device": "cpu", "quick": True, "format": "fp8_e4m3"}
    standing = normquant.bench(kernel, outputs=("codes", "dequant_scale"), **words)
    assert standing.us > 0 and "format=fp8_e4m3" in standing.title
    with pytest.raises(WrongResult, match="with the scale of int8, 127 / absmax all of it would be right"):
        normquant.bench(lambda x: kernel(x, 127), outputs=("codes", "dequant_scale"), **words)
