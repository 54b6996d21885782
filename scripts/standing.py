#!/usr/bin/env python3
"""Where the kernels stand: a Markdown table of record files, one row a case, against the copy, the targets and Triton.

    scripts/standing.py [--triton seed.jsonl] RECORDS... > standing.md

RECORDS are files of `normquant bench --out`; seed.jsonl is that of the Triton baseline's bench_seed.py. Needs Python 3
and nothing else. Ends with status 2, and a sentence, when a file cannot be read or is no record file.
"""
import argparse
import json
import math
import sys

TRITON_FORMS = {
    "fwd.rms": ("norm_quant_forward", "rms"), "fwd.rms.res": ("norm_quant_forward", "rms+residual"),
    "fwd.ln": ("norm_quant_forward", "layer"), "bwd.rms": ("norm_quant_backward", "rms"),
    "bwd.rms.res": ("norm_quant_backward", "rms+dresidual"), "bwd.ln": ("norm_quant_backward", "layer"),
}
MB = 1e6


def fail(sentence):
    print(f"standing.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def read_lines(path):
    """The JSON objects of a file, one a line."""
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")


def best_of_each_case(paths):
    """{(operation, shape, type, form): (best record, time of auto's variant or None)}; the first file with a case wins."""
    best = {}
    for path in paths:
        cases = {}
        for record in read_lines(path):
            if record.get("kind") != "timing" or record.get("verdict") != "pass":
                continue
            case = (record["op"], record["shape"], record["dtype"], record["form"])
            cases.setdefault(case, []).append(record)
        if not cases:
            fail(f"{path}: it holds no timing that passed")
        for case, records in cases.items():
            best.setdefault(case, min(records, key=lambda record: record["median_us"]))
    return best


def read_triton(path):
    """{case: microseconds} of bench_seed.py's lines."""
    times = {}
    for line in read_lines(path) if path else []:
        if line.get("impl") != "triton" or line.get("op") not in TRITON_FORMS:
            fail(f"{path}: a line is not bench_seed.py's")
        operation, form = TRITON_FORMS[line["op"]]
        times[(operation, f"{line['M']}x{line['N']}", line["dtype"], form)] = line["us"]
    return times


def target_of(record):
    """(what is asked, whether it is met) for one record; (None, None) where no target is set."""
    size, share = record["bytes"], record.get("share_of_copy", 0)
    if record["op"] == "norm_quant_forward":
        if size < 2 * MB:
            return "1.4 x copy", record["median_us"] <= 1.4 * record["copy_us"]
        least = 0.95 if size >= 32 * MB else 0.88
    elif record["op"] == "norm_quant_backward":
        if record["columns"] == 4096 and record["rows"] <= 16:
            return "3.5 us", record["median_us"] <= 3.5
        if size < 8 * MB:
            return None, None
        least = 0.90 if size >= 64 * MB else 0.75
    else:
        return None, None
    return f"{least:.0%}", share >= least


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+")
    parser.add_argument("--triton")
    arguments = parser.parse_args()
    triton = read_triton(arguments.triton)
    print("| operation | shape | type | form | best variant | us | of copy | target | met | Triton us | Triton / best |")
    print("| --- | ---: | --- | --- | --- | ---: | ---: | ---: | --- | ---: | ---: |")
    met, asked, ratios = 0, 0, {}
    for case, record in best_of_each_case(arguments.records).items():
        target, reached = target_of(record)
        asked += target is not None
        met += reached is True
        theirs = triton.get(case)
        if theirs:
            ratios.setdefault(case[0], []).append(theirs / record["median_us"])
        print("| " + " | ".join([
            *case, record["variant"], f"{record['median_us']:.2f}", f"{record.get('share_of_copy', 0):.0%}",
            target or "", {True: "met", False: "missed", None: ""}[reached],
            f"{theirs:.2f}" if theirs else "", f"{theirs / record['median_us']:.2f}" if theirs else ""]) + " |")
    print(f"\nTargets met: {met} of {asked}.")
    for operation, values in ratios.items():
        mean = math.exp(sum(map(math.log, values)) / len(values))
        print(f"Triton / best, {operation}: geometric mean {mean:.2f}, least {min(values):.2f}, {len(values)} cases.")


if __name__ == "__main__":
    main()
