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


class PacksItsWeight:
    """What a linear layer with packed weights has beside nn.Linear, which it comes before."""

    _packed: tuple[Tensor, Tensor] | None = None

    def pack(self):
        """Packs the weights, a quarter byte each, for calls of few rows without gradients; right as long as `weight` does not
        change. train(True), load_state_dict and unpack() forget them."""
        self._packed = ops.pack_weight(self.weight.detach())
        return self

    def unpack(self):
        self._packed = None
        return self

    def packed_for(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """The packed weights where a call with x takes them."""
        packed = self._packed
        few = x.numel() <= MOST_DECODE_ROWS * x.shape[-1]
        return packed if packed is not None and not torch.is_grad_enabled() and packed[0].device == x.device and few else None

    def train(self, mode: bool = True):
        if mode:
            self.unpack()
        return super().train(mode)

    def _apply(self, *args, **kwargs):
        self.unpack()
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args, **kwargs):
        self.unpack()
        return super()._load_from_state_dict(*args, **kwargs)


class BitLinear(PacksItsWeight, nn.Linear):
    """RMS norm, 8-bit activations rounded half to even, ternary weights, product, bias.

    `like_triton` drops the bias, as the Triton system's BitLinear does, and multiplies fake-quantised operands. eps is 1e-8.
    `invariant`: a row's bits do not follow the number of rows (docs/row_invariance.md); not with `like_triton`.
    """

    eps = 1e-8
    half_even = True

    def __init__(self, in_features, out_features, bias=False, *, like_triton=False, invariant=False, device=None, dtype=None):
        super().__init__(in_features, out_features, bias=bias, device=device, dtype=dtype)
        self.norm = Norm(in_features, 1e-8, device, dtype)
        self.like_triton, self.invariant = like_triton, invariant

    def _bias(self):
        return None if self.like_triton else self.bias

    def forward(self, x: Tensor) -> Tensor:
        norm, bias = self.norm, self._bias()
        packed = self.packed_for(x)
        if packed is not None:
            return ops.call(ops.packed_bit_linear, False, x, norm.weight, norm.bias, *packed, bias, self.eps, True,
                            self.half_even, _out_dtype(x), self.invariant)
        return layer_norm_linear_quant_fn(x, norm.weight, norm.bias, self.weight, bias, eps=self.eps, is_rms_norm=True,
                                          like_triton=self.like_triton, half_even=self.half_even, invariant=self.invariant)


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
