#!/usr/bin/env python3
"""What a validation on the host device costs: the figures behind validate/cost.cpp, and how far its estimates are off.

    scripts/validation_cost.py PROGRAM [--op OPERATION]...

Runs PROGRAM (normquant) on one problem after another, each on all its variants by one thread, and prints CPU seconds: of the
reference (inputs, float64 truth, bounds) and of one variant (two launches, comparison), each divided by the elements, the rows
or the products of the problem; of short rows also by the threads that a launch has for each; and what the program estimates
before it starts, over what it took. CPU time, so that a machine that is not idle does; takes a minute or a few. Ends with status 5 when PROGRAM does not run.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

LONG, SHORT = "64x4096", "256x8"
OWN = {"norm_quant_forward": "weight=bfloat16 out=bfloat16",
       "norm_quant_backward": "weight=bfloat16 out=bfloat16 dy=bfloat16",
       "activation_quant": "out=bfloat16 rounding=half_even",
       "weight_quant": "out=bfloat16"}
PROBLEMS = [(op, shape, f"op={op} shape={shape} x=bfloat16 {own}") for op, own in OWN.items() for shape in (LONG, SHORT)]
PROBLEMS.append(("bit_linear_forward", "256x1024x1024",
                 "op=bit_linear_forward shape=256x1024 k_out=1024 x=bfloat16 weight=bfloat16 out=bfloat16"))


def in_seconds(text):
    value, unit = re.search(r"takes about ([0-9.e+]+) (seconds|minutes)", text).groups()
    return float(value) * (60 if unit == "minutes" else 1)


def threads_per_row(program):
    """{variant: threads}; 0 where they depend on N."""
    listed = subprocess.run([program, "list", "--format", "json"], capture_output=True, text=True, check=True).stdout
    return {v["name"]: v["threads_per_row"] for op in json.loads(listed)["operations"] for v in op["variants"]}


def run(program, case):
    """CPU seconds of the reference, {variant: of it}, and the estimate."""
    command = [program, "validate", "--jobs", "1", "--case", case]
    refused = subprocess.run(command + ["--most-minutes", "0.000001"], capture_output=True, text=True, check=False)
    if refused.returncode != 2:
        sys.exit(f"validation_cost.py: no estimate for {case}: {refused.stderr.strip()}")
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "v.json")
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command + ["--json", str(file)], capture_output=True, text=True, check=False)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            print(f"validation_cost.py: {case}: {done.stderr.strip()}", file=sys.stderr)
            sys.exit(5)
        cases = json.loads(file.read_text(encoding="utf-8"))["cases"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ran = min(1, cpu / wall)  # the program's own seconds are those of a clock
    variants = {entry["variant"]: entry["seconds"] * ran for entry in cases}
    return max(0, cpu - sum(variants.values())), variants, in_seconds(refused.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--op", action="append", help="this operation only; repeatable")
    arguments = parser.parse_args()
    if not os.access(arguments.program, os.X_OK):
        print(f"validation_cost.py: {arguments.program} does not run", file=sys.stderr)
        return 5
    version = subprocess.run([arguments.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%F', time.gmtime())}")
    print(f"{'operation':<20} {'shape':>14} {'variants':>8} {'reference':>10} {'a variant':>10} {'per':>8} "
          f"{'estimate/took':>13}")
    by_figure, threads = {}, threads_per_row(arguments.program)
    for op, shape, case in PROBLEMS:
        if arguments.op and op not in arguments.op:
            continue
        reference, variants, estimate = run(arguments.program, case)
        all_variants, count = sum(variants.values()), len(variants)
        sizes = [int(size) for size in shape.split("x")]
        unit, number = ("element", sizes[0] * sizes[1]) if shape == LONG else ("row", sizes[0])
        if len(sizes) == 3:
            unit, number = "product", sizes[0] * sizes[1] * sizes[2]
        figures = reference / number, all_variants / count / number
        print(f"{op:<20} {shape:>14} {count:>8} {figures[0]:>10.2g} {figures[1]:>10.2g} {unit:>8} "
              f"{estimate / (reference + all_variants):>13.2f}", flush=True)
        for name, figure in zip(("reference", "a variant"), figures):
            by_figure.setdefault((name, unit), []).append(figure)
        if shape == SHORT and op != "weight_quant":  # which does not go row by row
            by_figure.setdefault(("one launch", "row and thread"), []).extend(
                seconds / 2 / number / threads[name] for name, seconds in variants.items() if threads[name] > 0)
            by_figure.setdefault(("one launch", "row of few threads"), []).extend(
                seconds / 2 / number for name, seconds in variants.items() if threads[name] == 0)
    for (name, unit), figures in by_figure.items():
        print(f"{name}, seconds per {unit}: {min(figures):.2g} to {max(figures):.2g}, median {statistics.median(figures):.2g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
