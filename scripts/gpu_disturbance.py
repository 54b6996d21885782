#!/usr/bin/env python3
"""Whether GPUs that time at once disturb one another: a sweep on one GPU alone, and the same while another one times too.

    scripts/gpu_disturbance.py NORMQUANT [--device cuda:0] [--other cuda:1] [--sweep quick] [--blocks 4] [--most 0.005]

Runs A B B A blocks: A is the sweep on --device alone, B the same with `normquant bench` on --other beside it. Prints the ratio of B to
A over all cases and those that differ most. Status 0: the median ratio is within --most of 1. Status 3: it is not, so fewer devices
should run at once (name them: --device cuda:0,2). Status 77: there are no two GPUs.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile


def medians(path):
    """{case and variant: us} of a record file."""
    with open(path, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return {(record["problem"], record["form"], record["variant"]): record["median_us"]
            for record in records if record["kind"] == "timing" and record["verdict"] == "pass"}


def bench(program, device, sweep, out):
    return [program, "bench", "--device", device, "--sweep", sweep, "--variant", "auto", "--no-cold", "--force", "--out", out]


def run_alone(arguments, out):
    done = subprocess.run(bench(arguments.normquant, arguments.device, arguments.sweep, out), check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"gpu_disturbance: normquant bench failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        sys.exit(done.returncode)
    return medians(out)


def run_beside(arguments, out, folder):
    """The same, while the other device times as long as that takes."""
    other = bench(arguments.normquant, arguments.other, arguments.sweep, f"{folder}/other.jsonl")
    loop = subprocess.Popen(["bash", "-c", 'while "$@" >/dev/null; do :; done', "bash", *other], start_new_session=True,
                            stderr=subprocess.DEVNULL)
    try:
        return run_alone(arguments, out)
    finally:
        os.killpg(loop.pid, signal.SIGTERM)  # its own group alone
        loop.wait()


def judge(alone, beside, most):
    """Prints what was found; the exit status."""
    cases = [case for case in alone[0] if all(case in run for run in alone + beside)]
    if not cases:
        print("gpu_disturbance: no case was timed in every run", file=sys.stderr)
        return 4
    ratios = {case: statistics.median(run[case] for run in beside) / statistics.median(run[case] for run in alone) for case in cases}
    middle = statistics.median(ratios.values())
    spread = statistics.median(abs(run[case] / statistics.median(other[case] for other in alone) - 1) for run in alone for case in cases)
    print(f"{len(cases)} cases: beside another device they take {middle:.4f} of the time alone, in the median"
          f" ({min(ratios.values()):.4f} to {max(ratios.values()):.4f}); runs alone differ by {spread:.2%}")
    for case in sorted(cases, key=lambda one: -abs(ratios[one] - 1))[:5]:
        print(f"  {ratios[case]:.4f}  {case[0]} {case[1]} {case[2]}")
    if abs(middle - 1) <= most:
        print(f"within {most:.1%}: they may time at once")
        return 0
    print(f"gpu_disturbance: more than {most:.1%}: let fewer devices time at once (--device cuda:0,2)", file=sys.stderr)
    return 3


def gpus():
    listed = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return listed.stdout.count("GPU ")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("normquant")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--other", default="cuda:1")
    parser.add_argument("--sweep", default="quick")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--most", type=float, default=0.005)
    arguments = parser.parse_args()
    try:
        listed = gpus() if arguments.device.startswith("cuda") else 2
    except FileNotFoundError:
        listed = 0
    if listed < 2:
        print("gpu_disturbance: skipped: it takes two GPUs, and nvidia-smi does not list as many", file=sys.stderr)
        return 77
    arguments.normquant = str(pathlib.Path(arguments.normquant).resolve())
    alone, beside = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.blocks):
            alone.append(run_alone(arguments, f"{folder}/a.jsonl"))
            beside.append(run_beside(arguments, f"{folder}/b.jsonl", folder))
            beside.append(run_beside(arguments, f"{folder}/b.jsonl", folder))
            alone.append(run_alone(arguments, f"{folder}/a.jsonl"))
    return judge(alone, beside, arguments.most)


if __name__ == "__main__":
    sys.exit(main())
