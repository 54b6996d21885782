#!/usr/bin/env python3
"""Trains a small decoder with our layers and with the Triton system's, from the same weights on the same text: do the losses agree?

    python scripts/train_on_gpu.py --seed-folder DIR [--steps 1000] [--seeds 3] [--device cuda] [--out FILE]

--seed-folder DIR  the folder of the Triton system's fused_bitlinear.py and bench_seed.py (needs triton)
--steps N          steps of each run (default: 1000)
--seeds N          runs of each system; a run's seed draws its weights and its batches (default: 3)
--device NAME      cuda; cpu trains our layers alone on the host device, which is slow and shows that the script works
--out FILE         JSON lines: the loss of every step (default: none)

The text is that of `pydoc_data`, which comes with Python, byte by byte: 465,000 bytes. The decoder has 4 layers of width 512 with 8 heads;
all their linear layers are FusedBitLinear. Weights are float32, products bfloat16 (autocast), the optimizer is AdamW.

For every tenth of the run the mean loss is shown: ours, the Triton system's, and how far its own runs lie apart (the scatter of seeds).
Ends with status 0 when our mean lies within that scatter of the Triton system's mean in every tenth, with 1 when it does not, with 77
where torch sees no GPU.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from pathlib import Path

WIDTH, HEADS, LAYERS, INNER, CONTEXT, BATCH = 512, 8, 4, 1408, 256, 32
PARTS = 10


def text_of(device):
    import torch
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics)).encode()
    return torch.frombuffer(bytearray(text), dtype=torch.uint8).to(device).long()


def decoder(linear, width=WIDTH):
    """A decoder over bytes. `linear(inputs, outputs)` makes its linear layers, each of which normalises and quantises its input."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.project = linear(width, 3 * width), linear(width, width)
            self.up, self.down = linear(width, 2 * INNER), linear(INNER, width)

        def forward(self, x):
            rows, length, _ = x.shape
            q, k, v = (part.view(rows, length, HEADS, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
            attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(attended.transpose(1, 2).reshape(rows, length, width))
            gate, value = self.up(x).chunk(2, dim=-1)
            return x + self.down(functional.silu(gate) * value)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Embedding(256, width), nn.Embedding(CONTEXT, width)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)

        def forward(self, tokens):
            x = self.token(tokens) + self.place.weight[: tokens.shape[1]]
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    model = Decoder()
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def losses_of(linear, seed, steps, text, device):
    """The loss of every step."""
    import torch

    torch.manual_seed(seed)
    model = decoder(linear).to(device)
    chosen = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 50) * (1 - 0.9 * step / steps))
    places = torch.arange(CONTEXT + 1, device=device)
    losses = []
    for _ in range(steps):
        starts = torch.randint(len(text) - CONTEXT - 1, (BATCH, 1), generator=chosen).to(device)
        batch = text[starts + places]
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            logits = model(batch[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


def means_of_parts(losses):
    parts = min(PARTS, len(losses))
    cuts = [len(losses) * i // parts for i in range(parts + 1)]
    return [statistics.mean(losses[a:b]) for a, b in zip(cuts, cuts[1:])]


def agreement(ours, theirs):
    """A row for each part of the run: (our mean, their mean, their scatter, agrees)."""
    rows = []
    for our, their in zip(zip(*map(means_of_parts, ours)), zip(*map(means_of_parts, theirs))):
        scatter = max(their) - min(their)
        away = abs(statistics.mean(our) - statistics.mean(their))
        rows.append((statistics.mean(our), statistics.mean(their), scatter, away <= scatter))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed-folder", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.seeds < 2 and arguments.device != "cpu":
        parser.error("--steps is at least 1, and --seeds 2: one run has no scatter")

    import torch

    import normquant

    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("train_on_gpu: torch sees no GPU here", file=sys.stderr)
        return 77
    kinds = {"normquant": normquant.FusedBitLinear}
    if arguments.device == "cpu" and arguments.seed_folder is not None:
        parser.error("the Triton system needs a GPU: leave --seed-folder out, or --device cpu")
    if arguments.seed_folder is not None:
        if not (arguments.seed_folder / "bench_seed.py").is_file():
            parser.error(f"there is no bench_seed.py in {arguments.seed_folder}")
        sys.path.insert(0, str(arguments.seed_folder.resolve()))
        kinds["Triton system"] = importlib.import_module("bench_seed").load_seed().FusedBitLinear
    elif arguments.device != "cpu":
        parser.error("--seed-folder is needed: there is nothing to compare with")

    text = text_of(arguments.device)
    curves = {name: [] for name in kinds}
    try:
        out = arguments.out.open("w", encoding="utf-8") if arguments.out else None
    except OSError as error:
        print(f"train_on_gpu: {arguments.out} cannot be written: {error.strerror}", file=sys.stderr)
        return 5
    for seed in range(1, arguments.seeds + 1):
        for name, linear in kinds.items():
            began = time.perf_counter()
            losses = losses_of(linear, seed, arguments.steps, text, arguments.device)
            curves[name].append(losses)
            seconds = time.perf_counter() - began
            print(f"{name}, seed {seed}: loss {losses[0]:.3f} to {losses[-1]:.3f}, {len(losses)} steps in {seconds:.1f} s", flush=True)
            if out:
                out.write(json.dumps({"system": name, "seed": seed, "seconds": round(seconds, 1),
                                      "losses": [round(loss, 5) for loss in losses]}) + "\n")
                out.flush()
    if len(kinds) == 1:
        return 0
    rows = agreement(*curves.values())
    print("part  ours    Triton  scatter of its seeds")
    for part, (our, their, scatter, agrees) in enumerate(rows, 1):
        print(f"{part:4}  {our:.4f}  {their:.4f}  {scatter:.4f}{'' if agrees else '  our mean lies outside'}")
    apart = sum(not agrees for *_, agrees in rows)
    print(f"{len(rows) - apart} of {len(rows)} parts: our mean loss lies within the scatter of the Triton system's seeds")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
