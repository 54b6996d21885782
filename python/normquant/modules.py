"""BitLinear and FusedBitLinear: parameters `weight`, `bias`, `norm.weight`, as in the Triton system, so that checkpoints load
across."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normquant import ops
from normquant.functional import layer_norm_linear_quant_fn

# Rows up to which packed weights, a quarter byte each, are the fastest (kernels/bit_linear/forward.cpp).
MOST_DECODE_ROWS = 16


class Norm(nn.Module):
    """The parameters of an RMS norm over K_in features. BitLinear computes it together with the rest."""

    def __init__(self, features: int, eps: float, device=None, dtype=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features, device=device, dtype=dtype))
        self.register_parameter("bias", None)
        self.eps = eps

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}"


def _forget_packed(module, _incompatible_keys) -> None:
    module.unpack()


class BitLinear(nn.Linear):
    """RMS norm, 8-bit activations rounded half to even, ternary weights, product, bias.

    `like_triton` drops the bias, as the Triton system's BitLinear does, and multiplies fake-quantised operands. eps is 1e-8.
    """

    eps = 1e-8
    half_even = True

    def __init__(self, in_features, out_features, bias=False, *, like_triton=False, device=None, dtype=None):
        super().__init__(in_features, out_features, bias=bias, device=device, dtype=dtype)
        self.norm = Norm(in_features, 1e-8, device, dtype)
        self.like_triton = like_triton
        self._packed: tuple[Tensor, Tensor] | None = None
        self.register_load_state_dict_post_hook(_forget_packed)

    def _bias(self):
        return None if self.like_triton else self.bias

    def forward(self, x: Tensor) -> Tensor:
        norm, bias = self.norm, self._bias()
        packed = self._packed
        if (packed is not None and not torch.is_grad_enabled() and packed[0].device == x.device
                and x.numel() <= MOST_DECODE_ROWS * x.shape[-1]):
            return ops.call(ops.packed_bit_linear, False, x, norm.weight, norm.bias, *packed, bias, self.eps, True,
                            self.half_even, _out_dtype(x))
        return layer_norm_linear_quant_fn(x, norm.weight, norm.bias, self.weight, bias, eps=self.eps, is_rms_norm=True,
                                          like_triton=self.like_triton, half_even=self.half_even)

    def pack(self) -> "BitLinear":
        """Packs the weights, a quarter byte each, for calls of few rows without gradients; right as long as `weight` does not
        change. train(True), load_state_dict and unpack() forget them."""
        self._packed = ops.pack_weight(self.weight.detach())
        return self

    def unpack(self) -> "BitLinear":
        self._packed = None
        return self

    def train(self, mode: bool = True):
        if mode:
            self.unpack()
        return super().train(mode)

    def _apply(self, *args, **kwargs):
        self.unpack()
        return super()._apply(*args, **kwargs)


def _out_dtype(x: Tensor) -> torch.dtype:
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class FusedBitLinear(BitLinear):
    """As BitLinear; activations are rounded half away from zero, eps is 1e-6, and the bias is always added: what the Triton
    system's fused layer computes."""

    eps = 1e-6
    half_even = False

    def _bias(self):
        return self.bias
