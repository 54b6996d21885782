"""What normquant.testing and normquant.bench say of a kernel in Triton and of torch.compile, on a GPU (about half a minute)."""

import sys

import torch
import triton
import triton.language as tl

import normquant
from normquant import testing


@triton.jit
def _rms_quant(x, weight, codes, scale, columns, eps, truncate: tl.constexpr, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    inside = at < columns
    h = tl.load(x + row * columns + at, mask=inside, other=0).to(tl.float32)
    rstd = 1 / tl.sqrt_rn(tl.sum(h * h, 0) / columns + eps)
    y = h * rstd * tl.load(weight + at, mask=inside, other=0).to(tl.float32)
    largest = tl.maximum(tl.max(tl.abs(y), 0), 1e-5)
    q = y * (127 / largest)
    if not truncate:
        q = tl.where(q < 0, q - 0.5, q + 0.5)  # the conversion cuts off: half away from zero
    tl.store(codes + row * columns + at, q.to(tl.int8), mask=inside)
    tl.store(scale + row, largest / 127)


def in_triton(x, weight, truncate=False):
    codes = torch.empty_like(x, dtype=torch.int8)
    scale = torch.empty(x.shape[0], dtype=torch.float32, device=x.device)
    block = triton.next_power_of_2(x.shape[1])
    _rms_quant[(x.shape[0],)](x, weight, codes, scale, x.shape[1], 1e-6, truncate, block, num_warps=8)
    return codes, scale


@torch.compile
def in_torch(x, weight):
    h = x.float()
    y = h * torch.rsqrt((h * h).mean(1, keepdim=True) + 1e-6) * weight.float()
    largest = y.abs().amax(1, keepdim=True).clamp(min=1e-5)
    q = y * (127 / largest)
    return (q.sign() * (q.abs() + 0.5).floor()).to(torch.int8), (largest / 127).squeeze(1)


def main() -> int:
    rms = {"op": "forward", "norm": "rms", "eps": 1e-6, "outputs": ("codes", "dequant_scale"), "shape": (8192, 4096),
           "weight": True}
    for name, function in (("Triton", in_triton), ("torch.compile", in_torch)):
        print(f"== {name}\n{normquant.bench(function, ours='all', quick=True, **rms)}\n", flush=True)
    print("== Triton, truncating: no time")
    try:
        normquant.bench(lambda x, weight: in_triton(x, weight, truncate=True), **rms)
    except testing.WrongResult as wrong:
        print(wrong)
        return 0
    print("it was timed although it is wrong")
    return 1


if __name__ == "__main__":
    sys.exit(main())
