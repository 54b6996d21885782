"""Layers of other libraries and ours compute the same. transformers' are the real ones where it is installed; fla's and
onebitllms', whose forward needs Triton on a GPU, are stand-ins with the same parameters."""

import numpy as np
import pytest
import torch
import truth
from torch import nn

import normquant

K_IN, K_OUT = 96, 40


def stand_in(name, module, with_norm):
    class Layer(nn.Module):
        def __init__(self, in_features, out_features, bias=False):
            super().__init__()
            self.in_features, self.out_features = in_features, out_features
            self.weight = nn.Parameter(torch.randn(out_features, in_features))
            self.bias = nn.Parameter(torch.randn(out_features)) if bias else None
            if with_norm:
                self.norm = nn.Module()
                self.norm.weight = nn.Parameter(torch.rand(in_features))
                self.norm.bias = None

    Layer.__name__ = name
    Layer.__module__ = module
    return Layer


def true_out(layer, x, eps=None, half_even=True, norm_weight=None):
    y = truth.f64(x)
    if eps is not None:
        y = truth.norm(y, weight=truth.f64(norm_weight), eps=eps)[3]
    out = truth.activations(y, half_even) @ truth.weights(truth.f64(layer.weight)).T
    step = np.abs(truth.weights(truth.f64(layer.weight))).max() / truth.quant_scale(y)  # of one code
    return out + (0 if layer.bias is None else truth.f64(layer.bias)), step


@pytest.mark.parametrize("name,module,eps,half_even,ours", [
    ("BitLinear", "fla.modules.fused_bitlinear", 1e-8, True, "BitLinear"),
    ("FusedBitLinear", "fla.modules.fused_bitlinear", 1e-6, False, "FusedBitLinear"),
    ("BitNetLinear", "onebitllms.layers.bitnet", None, True, "QuantLinear"),
])
def test_fla_and_onebitllms(device, name, module, eps, half_even, ours):
    layer = stand_in(name, module, eps is not None)(K_IN, K_OUT, bias=True).to(device)
    model = nn.Sequential(nn.Linear(4, 4), nn.ModuleDict({"inner": layer})).to(device)
    said = []
    lines = normquant.replace(model, report=said.append)
    assert lines == said == [f"1.inner: {module}.{name} -> normquant.{ours}, {K_IN} to {K_OUT}"]
    new = model[1]["inner"]
    assert new.weight is layer.weight and new.bias is layer.bias
    x = torch.randn(5, K_IN, device=device)
    true, step = true_out(layer, x, eps, half_even, layer.norm.weight if eps else None)
    out = new(x)
    assert np.all(np.abs(truth.f64(out) - true) <= step)  # a code beside a tie may go either way
    out.sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        packed = new.eval().pack()(x)
    assert np.all(np.abs(truth.f64(packed) - true) <= step)


def bitnet():
    return pytest.importorskip("transformers.integrations.bitnet")


@pytest.mark.parametrize("with_norm", [False, True])
def test_transformers_packed(device, with_norm):
    theirs_of = bitnet()
    layer = theirs_of.BitLinear(K_IN, K_OUT, True, dtype=torch.float32, use_rms_norm=with_norm).to(device)
    ternary = torch.randint(-1, 2, (K_OUT, K_IN), device=device)
    layer.weight.copy_(theirs_of.pack_weights(ternary.clone()))
    layer.weight_scale.fill_(3.7)
    layer.bias.copy_(torch.randn(K_OUT))
    model = nn.Sequential(layer)
    assert "normquant.PackedBitLinear" in normquant.replace(model, report=None)[0]
    x = torch.randn(2, 3, K_IN, device=device)
    y = truth.norm(truth.f64(x), eps=1e-6)[3] if with_norm else truth.f64(x)
    true = truth.activations(y, True) @ truth.f64(ternary).T / float(layer.weight_scale) + truth.f64(layer.bias)
    with torch.no_grad():
        assert np.all(np.abs(truth.f64(model(x)) - true) <= 1 / 3.7 / truth.quant_scale(y))


def test_transformers_auto(device):
    theirs_of = bitnet()
    online = theirs_of.AutoBitLinear(K_IN, K_OUT, True, online_quant=True).to(device)
    normed = theirs_of.AutoBitLinear(K_IN, K_OUT, False, online_quant=True, use_rms_norm=True).to(device)
    offline = theirs_of.AutoBitLinear(K_IN, K_OUT, True).to(device)
    unloaded = theirs_of.AutoBitLinear(K_IN, K_OUT, True).to(device)
    with torch.no_grad():
        offline.weight.copy_(torch.randint(-1, 2, (K_OUT, K_IN)))
        offline.weight_scale.fill_(0.3)
    model = nn.ModuleList([online, normed, offline, unloaded])
    lines = normquant.replace(model, report=None)
    assert ["is kept: its weights are not ternary" in line for line in lines] == [False, False, False, True]
    x = torch.randn(5, K_IN, device=device)
    true, step = true_out(online, x)
    assert np.all(np.abs(truth.f64(model[0](x)) - true) <= step)
    true, step = true_out(normed, x, 1e-6, True, normed.rms_norm.weight)
    assert np.all(np.abs(truth.f64(model[1](x)) - true) <= step)
    y = truth.f64(x)
    true = (truth.activations(y, True) @ truth.f64(offline.weight).T + truth.f64(offline.bias)) * float(offline.weight_scale)
    assert np.all(np.abs(truth.f64(model[2](x)) - true) <= 0.3 / truth.quant_scale(y))


def test_nothing_to_replace():
    said = []
    assert normquant.replace(nn.Sequential(nn.Linear(3, 3)), report=said.append) == []
    assert said == ["replace: the model has no layer of fla, onebitllms or transformers' BitNet"]


def test_packed_layer_moves_and_keeps_its_factor():
    layer = normquant.PackedBitLinear.from_weight(torch.randn(K_OUT, K_IN))
    assert layer.bfloat16().dequant_factor.dtype == torch.float32
    x = torch.randn(4, K_IN, dtype=torch.bfloat16)
    assert layer(x).dtype == torch.bfloat16


def test_packed_layer_refuses_a_gradient():
    layer = normquant.PackedBitLinear.from_weight(torch.randn(K_OUT, K_IN))
    with pytest.raises(ValueError, match="PackedBitLinear has no gradient"):
        layer(torch.randn(4, K_IN, requires_grad=True))
