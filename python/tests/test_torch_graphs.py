"""CUDA graphs: captured once, replayed on other inputs, and judged by the oracle. A test on the CPU is skipped: it has no graphs."""

import pytest
import torch

import normquant
from normquant.testing import WrongResult, assert_bit_linear_backward, assert_bit_linear_forward, assert_norm_quant_forward

ROWS, K_IN, K_OUT = 33, 256, 160
REPLAYS = 3

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs are captured on a GPU, and torch sees none")


def captured(call, warm_ups=2):
    """The graph of `call`, and what it returned while it was captured: the memory that every replay writes."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # opens the device, and lets torch's allocator have its memory
        for _ in range(warm_ups):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = call()
    return graph, outputs


def other_values(*tensors):
    for tensor in tensors:
        tensor.copy_(torch.randn(tensor.shape, device=tensor.device))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_norm_quant_forward(dtype, norm):
    x, residual = torch.randn(ROWS, K_IN, device="cuda").to(dtype), torch.randn(ROWS, K_IN, device="cuda")
    weight, bias = torch.randn(K_IN, device="cuda"), torch.randn(K_IN, device="cuda")
    graph, (out, stream) = captured(lambda: normquant.norm_quant(x, weight, bias, residual, prenorm=True, is_rms_norm=norm == "rms"))
    given = {"weight": weight, "bias": bias, "residual": residual, "norm": norm, "eps": 1e-6}
    for _ in range(REPLAYS):
        other_values(x, residual, weight, bias)
        graph.replay()
        assert_norm_quant_forward(x, out, residual_out=stream, **given)
    other_values(x)  # and not replayed: the graph's outputs are of the inputs before
    with pytest.raises(WrongResult):
        assert_norm_quant_forward(x, out, **given)


@pytest.mark.parametrize("scale", [None, 40.0])
def test_fp8_codes(scale):
    x, weight = torch.randn(ROWS, K_IN, device="cuda").bfloat16(), torch.randn(K_IN, device="cuda").bfloat16()
    graph, (codes, dequant_scale, _) = captured(lambda: normquant.norm_quantise(x, weight, quant_scale=scale))
    for _ in range(REPLAYS):
        other_values(x, weight)
        graph.replay()
        assert_norm_quant_forward(x, codes=codes, dequant_scale=dequant_scale, weight=weight, norm="rms", eps=1e-6,
                                  format="fp8_e4m3", static_scale=scale)


@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_layer(rows, pack, dtype):
    layer = normquant.FusedBitLinear(K_IN, K_OUT, bias=True, device="cuda", dtype=dtype).eval()
    if pack:
        layer.pack()
    x = torch.randn(rows, K_IN, device="cuda").to(dtype)
    with torch.no_grad():
        graph, out = captured(lambda: layer(x))
        for _ in range(REPLAYS):
            other_values(x)
            if not pack:
                other_values(layer.weight)
            graph.replay()
            assert_bit_linear_forward(x, out, linear_weight=layer.weight, linear_bias=layer.bias, norm_weight=layer.norm.weight,
                                      norm="rms", eps=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_training_step(dtype):
    layer = normquant.FusedBitLinear(K_IN, K_OUT, bias=True, device="cuda", dtype=dtype)
    x = torch.randn(ROWS, K_IN, device="cuda").to(dtype).requires_grad_()
    dout = torch.randn(ROWS, K_OUT, device="cuda").to(dtype)
    wanted = (x, layer.norm.weight, layer.weight, layer.bias)

    def step():
        out = layer(x)
        return out, torch.autograd.grad(out, wanted, dout)

    graph, (out, (dx, dnorm_weight, dlinear_weight, dlinear_bias)) = captured(step)
    for _ in range(REPLAYS):
        with torch.no_grad():
            other_values(x, layer.weight, dout)
        graph.replay()
        given = {"norm_weight": layer.norm.weight, "norm": "rms"}
        assert_bit_linear_forward(x, out, linear_weight=layer.weight, linear_bias=layer.bias, eps=1e-6, **given)
        # The layer keeps its own rstd and w_q; these are off by roundings, far fewer than the bounds count.
        w_q = normquant.weight_quant(layer.weight.detach())
        rstd = torch.rsqrt(x.detach().double().square().mean(-1) + 1e-6).float()
        assert_bit_linear_backward(x, dout, dx, w_q=w_q, rstd=rstd, dnorm_weight=dnorm_weight, dlinear_weight=dlinear_weight,
                                   dlinear_bias=dlinear_bias, **given)
