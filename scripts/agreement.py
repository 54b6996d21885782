#!/usr/bin/env python3
"""Do two processes agree with each other, and with the hardware's own counter? Markdown tables.

    scripts/agreement.py --measured A.jsonl --again B.jsonl [--ncu NCU.csv] [--sustained C.jsonl] > agreement.md

A and B are of `normquant bench --out`, two processes, one after the other; NCU is of scripts/qualify.sh: lines "case,NAME",
each followed by ncu's CSV of gpu__time_duration of that case; C is of `normquant bench --sustained S --out`. Needs Python 3 and
nothing else. Ends with status 2, and a sentence, when a file cannot be read or is no such file.
"""
import argparse
import csv
import json
import statistics
import sys

PROCESS_TARGET = 0.01
NCU_TARGET = 0.02
WALL_TARGET = 0.005
NCU_LEAST_US = 10.0
US = {"nsecond": 1e-3, "ns": 1e-3, "usecond": 1.0, "us": 1.0, "msecond": 1e3, "ms": 1e3}


def fail(sentence):
    print(f"agreement.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def case_name(record):
    return "/".join(record[key] for key in ("op", "variant", "shape", "dtype", "form"))


def read_records(path):
    """(environment, timings by case) of a record file."""
    environment, timings = None, {}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                if record["kind"] == "environment":
                    environment = record
                elif record["verdict"] == "pass":
                    timings[case_name(record)] = record
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(f"{path} is not a record file: {error}")
    if environment is None or not timings:
        fail(f"{path} holds no timings")
    return environment, timings


def read_ncu(path):
    """(microseconds and number of kernels by case: the sum of its kernels' medians; times of the empty kernel)."""
    sums, case, kernels, header, empty = {}, None, {}, None, []

    def close():
        if case is not None and kernels:
            # A kernel that runs as often as the most frequent one is part of every call; a rarer one prepares.
            most = max(len(times) for times in kernels.values())
            # The first launch on each copy of the buffers finds its addresses untranslated and takes up to 0.9 us longer; those
            # are in the first half.
            parts = [statistics.median(times[most // 2:]) for times in kernels.values() if len(times) == most]
            sums[case] = (sum(parts), len(parts))

    try:
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                if len(row) == 2 and row[0] == "case":
                    close()
                    case, kernels, header = row[1], {}, None
                elif "Kernel Name" in row:
                    header = {title: i for i, title in enumerate(row)}
                elif header and row[header["Metric Name"]].startswith("gpu__time_duration"):
                    time = float(row[header["Metric Value"]].replace(",", "")) * US[row[header["Metric Unit"]]]
                    if "empty_kernel" in row[header["Kernel Name"]]:
                        empty.append(time)
                    elif "flush_by_" not in row[header["Kernel Name"]]:
                        kernels.setdefault(row[header["Kernel Name"]], []).append(time)
        close()
    except (OSError, ValueError, KeyError, IndexError) as error:
        fail(f"{path} is not such a file: {error!r}")
    if not sums:
        fail(f"{path} holds no times")
    return sums, empty


def two_processes(first, second):
    print("## Two processes\n")
    print("Medians of two processes, one after the other; target: within 1%.\n")
    print("| case | steady us | again | ratio | cold us | again | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    ratios = {"steady": [], "cold": []}
    for name, a in first.items():
        if name not in second:
            continue
        b = second[name]
        cells = []
        for kind, x, y in (("steady", a, b), ("cold", a.get("cold"), b.get("cold"))):
            if not x or not y:
                cells.append("- | - | -")
                continue
            ratio = y["median_us"] / x["median_us"]
            ratios[kind].append(ratio)
            cells.append(f"{x['median_us']:.3f} | {y['median_us']:.3f} | {ratio:.4f}")
        print(f"| {name} | {' | '.join(cells)} |")
    print()
    for kind, values in ratios.items():
        if values:
            within = sum(abs(ratio - 1) <= PROCESS_TARGET for ratio in values)
            print(f"{kind}: {within} of {len(values)} within 1%; largest difference {max(abs(r - 1) for r in values):.2%}\n")


def against_ncu(environment, timings, ncu, empty):
    events = environment.get("events") or {}
    print("## Against ncu\n")
    print("ncu's gpu__time_duration of single launches behind a flush of the L2, clocks not touched, against the cold median: the "
          "time between two events around the launch, less that between two events alone.\n")
    print(f"    between two events alone        {events.get('nothing_us', 0):.3f} us, taken off")
    print(f"    around an empty kernel          {events.get('empty_us', 0):.3f} us")
    if empty:
        print(f"    the empty kernel itself (ncu)   {statistics.median(empty):.3f} us, {len(empty)} launches from "
              f"{min(empty):.3f} to {max(empty):.3f}")
    print(f"\nTarget above 10 us: within {NCU_TARGET:.0%}. Cases of several kernels are not compared: ncu launches each by itself.\n")
    print("| case | kernels | ncu us | cold us | cold / ncu | steady us | steady / ncu |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    compared = []
    for name, (time, kernels) in ncu.items():
        record = timings.get(name)
        if not record or "cold" not in record:
            continue
        cold, steady = record["cold"]["median_us"], record["median_us"]
        if kernels == 1 and time > NCU_LEAST_US:
            compared.append(cold / time)
        print(f"| {name} | {kernels} | {time:.3f} | {cold:.3f} | {cold / time:.4f} | {steady:.3f} | {steady / time:.4f} |")
    within = sum(abs(ratio - 1) <= NCU_TARGET for ratio in compared)
    if compared:
        worst = max(compared, key=lambda ratio: abs(ratio - 1))
        print(f"\nOf {len(compared)} cases of one kernel above 10 us, {within} are within {NCU_TARGET:.0%}; farthest: {worst:.4f}")
    else:
        print("\nNo case could be compared.")


def sustained(timings):
    """Steady against the wall clock of launches back to back, and what clock and power do meanwhile."""
    print("\n## Sustained\n")
    print("Launches back to back for seconds, by the wall clock, against the steady median of the same process; target: within "
          f"{WALL_TARGET:.1%} where the clock held.\n")
    print("| case | steady us | sustained us | ratio | MHz before | settled MHz | after s | us at boost | W |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    ratios, riding = [], 0
    for name, record in timings.items():
        found = record.get("sustained")
        if not found:
            continue
        ratio = found["median_us"] / record["median_us"]
        riding += bool(record.get("rides_boost"))
        if not record.get("rides_boost"):
            ratios.append(ratio)
        print(f"| {name} | {record['median_us']:.3f} | {found['median_us']:.3f} | {ratio:.4f} | {found.get('boost_mhz', '-')} | "
              f"{found.get('sm_clock_mhz', '-')} | {found['settled_after_s']:.2f} | {found['boost_us']:.3f} | "
              f"{found.get('power_w', '-')} |")
    print(f"\n{riding} of {riding + len(ratios)} steady figures were taken at a clock that does not hold (`rides_boost`).")
    if ratios:
        within = sum(abs(ratio - 1) <= WALL_TARGET for ratio in ratios)
        print(f"Of the others {within} of {len(ratios)} are within {WALL_TARGET:.1%}; farthest: "
              f"{max(ratios, key=lambda ratio: abs(ratio - 1)):.4f}")


def main():
    parser = argparse.ArgumentParser(description="agreement of two processes, and with ncu")
    parser.add_argument("--measured")
    parser.add_argument("--again")
    parser.add_argument("--ncu")
    parser.add_argument("--sustained")
    arguments = parser.parse_args()
    if not arguments.measured or not arguments.again:
        parser.error("--measured and --again are required")
    environment, first = read_records(arguments.measured)
    _, second = read_records(arguments.again)
    gpu = environment.get("gpu") or {}
    print(f"# Agreement: {gpu.get('name', 'host')}, driver {gpu.get('driver')}, commit {environment.get('commit')}\n")
    two_processes(first, second)
    if arguments.ncu:
        against_ncu(environment, first, *read_ncu(arguments.ncu))
    if arguments.sustained:
        sustained(read_records(arguments.sustained)[1])


if __name__ == "__main__":
    main()
