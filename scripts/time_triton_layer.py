#!/usr/bin/env python3
"""Times the whole layer of the Triton system, one JSON object a line: the other side of reports/*/layer.md.

    scripts/time_triton_layer.py SEED_FOLDER [--shape MxK_inxK_out]... [--out FILE]

SEED_FOLDER holds bench_seed.py and fused_bitlinear.py. RMS norm with weight, bfloat16, no linear bias. Buffers are rotated
past the L2; the calls run in a CUDA graph, or one by one where they cannot be captured (the line says which).
"""
import argparse
import json
import pathlib
import statistics
import sys

import torch


def one_by_one_us(calls, repeats=10):
    """Median microseconds a call, each between two events: for calls that a graph cannot hold."""
    times = []
    for _ in range(repeats):
        for call in calls:
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            stop.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(stop) * 1e3)
    return statistics.median(times)


def timed(bench_seed, calls):
    try:
        return bench_seed.graph_us(calls), "graph"
    except Exception:  # whatever capture could not do, the calls alone can
        torch.cuda.synchronize()
        return one_by_one_us(calls), "one by one"


def cases(seed, rows, k_in, k_out):
    """Yields (what, callables over distinct buffers)."""
    make = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16)
    l2 = torch.cuda.get_device_properties(0).L2_cache_size
    slots = max(2, min(24, 4 * l2 // (2 * (rows * (k_in + k_out) + k_in * k_out)) + 1))
    x = [make(rows, k_in).requires_grad_() for _ in range(slots)]
    w = [(make(k_out, k_in) * 0.02).requires_grad_() for _ in range(slots)]
    dout = [make(rows, k_out) for _ in range(slots)]
    norm_weight = (make(k_in) * 0.1 + 1).requires_grad_()
    layer = lambda i: seed.rms_norm_linear_quant(x[i], norm_weight, None, w[i], None)

    def forward(i):
        with torch.no_grad():
            return layer(i)

    def both(i):
        return torch.autograd.grad(layer(i), [x[i], norm_weight, w[i]], dout[i])

    over_slots = lambda call: [lambda i=i: call(i) for i in range(slots)]
    quiet = [[t.detach() for t in tensors] for tensors in (x, w)]
    yield "forward", over_slots(forward)
    yield "forward+backward", over_slots(both)
    yield "weight_quant", over_slots(lambda i: seed.weight_quant(quiet[1][i]))
    yield "product", over_slots(lambda i: torch.nn.functional.linear(quiet[0][i], quiet[1][i]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=pathlib.Path)
    parser.add_argument("--shape", action="append", help="MxK_inxK_out; repeatable")
    parser.add_argument("--out", help="JSON Lines file; default: standard output")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("time_triton_layer: no CUDA device")
    sys.path.insert(0, str(options.seed))
    import bench_seed
    seed = bench_seed.load_seed()
    sink = open(options.out, "w") if options.out else sys.stdout
    shapes = options.shape or ["8192x4096x4096", "8192x2048x2048", "2048x4096x4096", "16384x2560x6912"]
    for shape in shapes:
        rows, k_in, k_out = map(int, shape.split("x"))
        for tuner in (seed._layer_norm_fwd_quant_kernel, seed._layer_norm_bwd_kernel):
            tuner.cache.clear()  # its key leaves M out; tuning again for every shape favours it
        for what, calls in cases(seed, rows, k_in, k_out):
            calls[0]()
            us, how = timed(bench_seed, calls)
            print(json.dumps(dict(impl="triton", what=what, shape=shape, dtype="bfloat16", us=round(us, 2), how=how,
                                  device=torch.cuda.get_device_name(), torch=torch.__version__)), file=sink, flush=True)
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
