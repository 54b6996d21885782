#!/usr/bin/env python3
"""Measures the Python package on the GPU of this machine: JSON lines, and a table.

    python scripts/python_on_gpu.py [--out FILE] [--seed DIR] [--seconds N]

--out FILE     JSON lines (default: none)
--seed DIR     the folder of the Triton system's fused_bitlinear.py and bench_seed.py, to be timed beside ours (needs triton)
--seconds N    what is not begun by then is left out and said to be (default: 150)

Parts: CPU time of an eager call; training step of the module; generation by a BitNet of transformers with and without our layers.
Ends with status 77 where torch sees no GPU.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from pathlib import Path

SHAPES = [(2048, 4096, 4096), (8192, 4096, 4096), (8192, 2048, 2048), (16384, 2560, 6912)]  # rows, K_in, K_out


def load_seed(folder):
    """The Triton system's module, by its own loader (bench_seed.py), which stands in for fla and for what newer Tritons lack."""
    sys.path.insert(0, str(Path(folder).resolve()))
    return importlib.import_module("bench_seed").load_seed()


def cpu_us(call, calls=300, repeats=15):
    """Median microseconds that a call takes before it returns. As long as the GPU's queue does not fill, that is CPU time."""
    import torch

    for _ in range(min(calls, 50)):
        call()
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - began) / calls * 1e6)
    torch.cuda.synchronize()
    return statistics.median(times)


def gpu_us(call, repeats=30):
    """Median microseconds on the GPU, by events, after a sweep over the L2."""
    import torch

    sweep = torch.empty(256 << 20, dtype=torch.int8, device="cuda")
    for _ in range(5):
        call()
    times = []
    for _ in range(repeats):
        sweep.zero_()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return statistics.median(times)


def following_us(call, calls=100):
    """Microseconds a call of many that follow one another without waiting: the larger of what the GPU and what the CPU takes."""
    import torch

    for _ in range(5):
        call()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(calls):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / calls * 1e6


def graph_of(call):
    """The call as a CUDA graph: what the GPU alone takes."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def eager_calls(record, _seed):
    import torch

    import normquant
    from normquant import ops

    x = torch.randn(16, 4096, device="cuda", dtype=torch.bfloat16)
    w = torch.ones(4096, device="cuda", dtype=torch.bfloat16)
    arguments = (x, None, w, None, 1e-6, True, False)
    out = torch.empty_like(x)
    direct = []
    for _ in range(15):
        torch.cuda.synchronize()
        direct.append(torch.ops.normquant.direct_launch_us(x, w, out, 1e-6, 300))

    def below(operator, *more):
        with torch._C._AutoDispatchBelowAutograd():
            operator(*arguments, *more)

    with torch.no_grad():
        record("eager_call", what="the library by itself, output allocated", cpu_us=statistics.median(direct))
        record("eager_call", what="torch.empty_like alone", cpu_us=cpu_us(lambda: torch.empty_like(x)))
        record("eager_call", what="operator norm_quant (out alone) below autograd", cpu_us=cpu_us(lambda: below(ops.norm_quant, None)))
        record("eager_call", what="operator norm_quant_forward (what a gradient needs) below autograd",
               cpu_us=cpu_us(lambda: below(ops.norm_quant_forward, False, None, None)))
        record("eager_call", what="operator norm_quant_forward through torch.library's autograd",
               cpu_us=cpu_us(lambda: ops.norm_quant_forward(*arguments, False, None, None)))
        record("eager_call", what="normquant.norm_quant", cpu_us=cpu_us(lambda: normquant.norm_quant(x, w, is_rms_norm=True)))
        record("eager_call", what="torch rms_norm", cpu_us=cpu_us(lambda: torch.nn.functional.rms_norm(x, (4096,), w)))
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        normquant.norm_quant(x, w, is_rms_norm=True)
    record("eager_call", what="replay of a CUDA graph", cpu_us=cpu_us(graph.replay))


def training_steps(record, seed):
    import torch

    import normquant

    for rows, k_in, k_out in SHAPES:
        x = torch.randn(rows, k_in, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        dout = torch.randn(rows, k_out, device="cuda", dtype=torch.bfloat16)
        kinds = {"normquant": normquant.FusedBitLinear}
        if seed is not None:
            kinds["seed"] = seed.FusedBitLinear
        for who, kind in kinds.items():
            layer = kind(k_in, k_out).to("cuda", torch.bfloat16)

            def step(layer=layer):
                x.grad = layer.weight.grad = layer.norm.weight.grad = None
                layer(x).backward(dout)

            before = torch.cuda.memory_allocated()
            out = layer(x)
            kept = torch.cuda.memory_allocated() - before
            del out
            with torch.no_grad():
                forward = gpu_us(lambda layer=layer: layer(x))
            record("training_step", who=who, rows=rows, k_in=k_in, k_out=k_out, forward_us=forward, step_us=gpu_us(step),
                   graph_us=gpu_us(graph_of(step)), following_us=following_us(step), cpu_us=cpu_us(step, 5, 5), kept_bytes=kept)


def generation(record, _seed):
    import torch
    from transformers import BitNetConfig, BitNetForCausalLM
    from transformers.integrations import bitnet

    import normquant

    config = BitNetConfig(vocab_size=32000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=12,
                          num_attention_heads=16, num_key_value_heads=16, max_position_embeddings=512)
    torch.manual_seed(1)
    model = BitNetForCausalLM(config).to(torch.bfloat16).eval()
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            packed = bitnet.BitLinear(module.in_features, module.out_features, module.bias is not None, dtype=torch.bfloat16)
            scale = 1 / module.weight.float().abs().mean().clamp(min=1e-5)
            packed.weight = bitnet.pack_weights((module.weight.float() * scale).round().clamp(-1, 1))
            packed.weight_scale = scale.reshape(1).to(torch.bfloat16)
            model.set_submodule(name, packed)
    model = model.to("cuda")
    prompt = torch.randint(0, 32000, (1, 16), device="cuda")

    def seconds():
        with torch.no_grad():
            model.generate(prompt, max_new_tokens=16, min_new_tokens=16, do_sample=False)
            torch.cuda.synchronize()
            began = time.perf_counter()
            model.generate(prompt, max_new_tokens=128, min_new_tokens=128, do_sample=False)
            torch.cuda.synchronize()
            return time.perf_counter() - began

    with torch.no_grad():
        theirs = model(prompt).logits.float()
    without = seconds()
    lines = normquant.replace(model, report=None)
    with torch.no_grad():
        ours = model(prompt).logits.float()
    with_ours = seconds()
    parameters = sum(p.numel() for p in model.parameters()) + sum(4 * b.numel() for b in model.buffers() if b.dtype == torch.uint8)
    record("generation", tokens=128, weights=parameters, layers=len(lines), without_s=without, with_s=with_ours, ratio=without / with_ours,
           largest_logit=theirs.abs().max().item(), largest_difference=(theirs - ours).abs().max().item())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out")
    parser.add_argument("--seed")
    parser.add_argument("--seconds", type=float, default=150)
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("python_on_gpu.py: torch sees no GPU", file=sys.stderr)
        return 77
    began, failed = time.monotonic(), 0
    out = open(options.out, "w", encoding="utf-8") if options.out else None
    machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}

    def record(part, **fields):
        line = {"part": part, **machine, **fields}
        if out:
            out.write(json.dumps(line) + "\n")
            out.flush()
        print(f"{part:14} " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in fields.items()), flush=True)

    seed = None
    try:
        seed = load_seed(options.seed) if options.seed else None
    except Exception as error:  # noqa: BLE001: what another's file raises is its own affair
        print(f"the seed could not be loaded and is left out: {error!r}", flush=True)
    for part in (eager_calls, training_steps, generation):
        if time.monotonic() - began > options.seconds:
            print(f"{part.__name__} was left out: {options.seconds:g} s are spent", flush=True)
            failed = 1
            continue
        try:
            part(record, seed)
        except Exception as error:  # noqa: BLE001: the parts do not depend on each other
            failed = 1
            record(part.__name__, error=repr(error)[:500])
    return failed


if __name__ == "__main__":
    sys.exit(main())
