"""Layers without float weights: ternary codes, four to a byte, for inference; and `pack`, which makes every BitLinear of a model
keep such a copy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normquant import ops
from normquant.modules import BitLinear, _out_dtype


class PackedBitLinear(nn.Module):
    """A layer whose weights are packed once: uint8 `packed` [K_out, ceil(K_in / 4)], float32 `dequant_factor` [1].

    With `eps` it has the RMS norm of BitLinear, and its `norm_weight`; without, activations are quantised as they come. It has no
    gradient, and refuses an x that wants one. `invariant`: a row's bits do not follow the number of rows.
    """

    def __init__(self, packed: Tensor, dequant_factor: Tensor, in_features: int, bias: Tensor | None = None,
                 norm_weight: Tensor | None = None, eps: float | None = None, half_even: bool = True, invariant: bool = False):
        super().__init__()
        self.in_features, self.out_features = in_features, packed.shape[0]
        self.eps, self.half_even, self.invariant = eps, half_even, invariant
        self.register_buffer("packed", packed)
        self.register_buffer("dequant_factor", dequant_factor)
        self.register_buffer("bias", bias)
        self.register_buffer("norm_weight", norm_weight)

    @classmethod
    def from_weight(cls, weight: Tensor, dequant_factor: Tensor | None = None, **options) -> "PackedBitLinear":
        """Packs weight [K_out, K_in]. A ternary weight brings its own `dequant_factor`; another's is max(absmean, 1e-5)."""
        packed, factor = ops.pack_weight(weight.detach())
        if dequant_factor is not None:
            factor = dequant_factor.detach().to(torch.float32).reshape(1).to(weight.device)
        return cls(packed, factor, weight.shape[1], **options)

    def _apply(self, function, recurse=True):
        """Half precision is for activations: the factor stays float32."""
        factor = self.dequant_factor
        super()._apply(function, recurse)
        self.dequant_factor = factor.to(self.packed.device)
        return self

    def forward(self, x: Tensor) -> Tensor:
        if ops.needs_gradient(x):
            raise ValueError("PackedBitLinear has no gradient, and x requires one: call it under torch.no_grad(), or train a layer "
                             "with float weights")
        bias, dtype = self.bias, _out_dtype(x)
        if self.eps is None:
            return ops.call(ops.packed_linear, False, x, self.packed, self.dequant_factor, bias, self.half_even, dtype)
        return ops.call(ops.packed_bit_linear, False, x, self.norm_weight, None, self.packed, self.dequant_factor, bias, self.eps,
                        True, self.half_even, dtype, self.invariant)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, eps={self.eps}"


def pack(model: nn.Module) -> nn.Module:
    """Calls pack() of every BitLinear and QuantLinear of the model; returns the model."""
    from normquant.replacement import QuantLinear

    for module in model.modules():
        if isinstance(module, (BitLinear, QuantLinear)):
            module.pack()
    return model
