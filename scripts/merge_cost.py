#!/usr/bin/env python3
"""What `normquant merge` of many small shards takes: invented files, merged; seconds and memory.

    scripts/merge_cost.py NORMQUANT [--shards 10000] [--records 9] [--results]

Writes SHARDS files of RECORDS timings with 41 samples each into a temporary folder; with --results, files of `validate --json` with as
many results. Prints one line of docs/clusters.md.
"""
import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time


def environment(number, shards, records):
    return {"kind": "environment", "suite": "normquant", "schema": 1, "version": "1", "time": "2026-01-01T00:00:00Z", "commit": "abc",
            "build": {"compiler": "GNU 12.2.0", "flags": "-O3"}, "cpu": {"model": "x", "logical_cores": 8}, "os": {},
            "gpu": {"name": "NVIDIA Invented", "driver": "580.1", "ecc": True, "power_limit_w": 700.0}, "device": "cuda:0",
            "card": f"GPU-{number % 64:08x}", "plan": {"sweep": "s", "shard": f"{number}/{shards}", "cases": records}}


def timing(index, card):
    samples = [round(10 + 0.01 * ((index + i) // 11), 4) for i in range(41)]
    ordered = sorted(samples)
    return {"kind": "timing", "op": "norm_quant_forward", "variant": f"one_pass_e{index % 9}", "auto_variant": "one_pass_e8",
            "shape": f"{index // 9 + 1}x4096", "rows": index // 9 + 1, "columns": 4096, "dtype": "bfloat16", "form": "rms",
            "problem": "op=forward shape=1x4096", "time_kind": "steady", "verdict": "pass", "reason": "", "bytes": 1,
            "requested_bytes": 1, "index": index, "card": card, "median_us": ordered[20],
            "q1_us": ordered[10], "q3_us": ordered[30], "samples": samples}


def results_of(number, shards, records):
    """A file of `validate --shard`: all cases passed."""
    cases = [{"device": "host", "variant": f"one_pass_e{i}", "problem": f"op=activation_quant shape={number}x64 x=float16 out=float16",
              "elements_checked": 64 * number, "codes_checked": 0, "codes_ambiguous": 0, "codes_on_ties": 0, "index": (number - 1) * records + i,
              "worst_error_over_bound": 0.5, "worst_tensor": "out", "seconds": 0.001} for i in range(records)]
    device = {"name": "host", "kind": "host", "model": "host", "compute_capability": 0, "sm_count": 1, "shared_memory_per_block": 0,
              "l2_bytes": 0, "max_cluster_blocks": 1, "resident_clusters": [0, 0, 0, 0]}
    plan = {"commit": "abc", "driver": "", "devices": [device], "suite": "smoke", "variant": "one", "ops": ["activation_quant"],
            "shapes": ["1x64"], "dtypes": [], "problems": [], "seed": 1, "of_other_shapes": "", "shard": f"{number}/{shards}",
            "cases": records, "cases_of_shards": records * shards}
    summary = {"passed": records, "failed": 0, "skipped": 0, "errors": 0, "elements_checked": sum(case["elements_checked"] for case in cases),
               "ambiguous_share": 0.0, "left_out": "", "never_checked": []}
    return json.dumps({"schema": "normquant.validate/1", "plan": plan, "summary": summary, "variants": [], "skipped": [], "results": [],
                       "run": {"program": "f00", "schedule_seed": 1, "warm": False, "after_others": False}, "cases": cases}, indent=1)


def records_of(number, shards, records):
    first = environment(number, shards, records)
    lines = [first]
    for i in range(records):  # a case with its variants is of one shard, cases go round
        lines.append(timing((number - 1) * records + i, first["card"]))
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("normquant")
    parser.add_argument("--shards", type=int, default=10000)
    parser.add_argument("--records", type=int, default=9)
    parser.add_argument("--results", action="store_true")
    arguments = parser.parse_args()
    program = pathlib.Path(arguments.normquant).resolve()
    with tempfile.TemporaryDirectory() as folder:
        size = 0
        for number in range(1, arguments.shards + 1):
            text = (results_of if arguments.results else records_of)(number, arguments.shards, arguments.records)
            size += len(text)
            pathlib.Path(folder, f"s.{number:05}.jsonl").write_text(text, encoding="utf-8")
        files = sorted(str(path.name) for path in pathlib.Path(folder).glob("s.*.jsonl"))
        began = time.monotonic()
        done = subprocess.run([program, "merge", "--out", "merged.jsonl", *files], cwd=folder, check=False, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            return done.returncode
        lines = pathlib.Path(folder, "merged.jsonl").read_text(encoding="utf-8").count("\n")
    print(f"{arguments.shards} shards of {arguments.records} {'results' if arguments.results else 'records'} ({size / 1e6:.0f} MB): {seconds:.1f} s"
          f" ({used.ru_utime + used.ru_stime:.1f} s of CPU), {used.ru_maxrss / 1024:.0f} MiB, {lines} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
