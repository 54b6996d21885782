#!/usr/bin/env python3
"""What the variants ask of a GPU's memory system, counted on the host device (docs/races.md).

    scripts/host_counts.py write PROGRAM      # tests/baselines/host_counts.txt anew
    scripts/host_counts.py check PROGRAM      # whether it is what PROGRAM counts; what differs
    scripts/host_counts.py compare PROGRAM    # reports/measured/h100/host_counts.md: beside what ncu measured (ncu_counts.csv)
    scripts/host_counts.py check-compare PROGRAM

PROGRAM is normquant-watched. Needs Python 3 and nothing else. Ends with status 1 when a file is not what was counted, 2 when
it cannot be read, 5 when PROGRAM fails.
"""
import csv
import difflib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTS = ROOT / "tests" / "baselines" / "host_counts.txt"
MEASURED = ROOT / "reports" / "measured" / "h100" / "ncu_counts.csv"
COMPARED = ROOT / "reports" / "measured" / "h100" / "host_counts.md"
# The columns of `normquant-watched counts` behind the variant's name.
COLUMNS = ("launches", "loads", "load_sectors", "stores", "store_sectors", "copies", "copy_sectors", "of_least",
           "shared_loads", "load_conflicts", "shared_stores", "store_conflicts", "remote", "barriers", "shuffles", "atomics")
AGREE = 0.01
# ncu's sectors of loads are those of asynchronous copies too.
COMPARISON = (("load_sectors", "sectors loaded"), ("store_sectors", "sectors stored"), ("copies", "copies"),
              ("shared_loads", "shared loads"), ("shared_stores", "shared stores"))


def fail(status, sentence):
    print(f"host_counts.py: {sentence}", file=sys.stderr)
    sys.exit(status)


def counted(program, arguments=()):
    try:
        run = subprocess.run([program, "counts", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        fail(5, f"{program} cannot be run: {error}")
    if run.returncode != 0:
        fail(5, f"{program} ended with status {run.returncode}: {run.stderr.strip()}")
    return run.stdout


def check(path, text, how):
    try:
        kept = path.read_text(encoding="utf-8")
    except OSError as error:
        fail(2, f"{path}: {error}")
    if kept == text:
        print(f"{path.relative_to(ROOT)} is what was counted")
        return
    for line in difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "counted", lineterm="", n=1):
        print(line)
    fail(1, f"{path.relative_to(ROOT)} is not what was counted. If the change is meant, commit it with the output of: {how}")


def measured():
    """{(case, variant): [run 1, run 2]}; a run: {metric: sum over its kernels}."""
    try:
        with MEASURED.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        fail(2, f"{MEASURED}: {error}")
    runs = {}
    for line in lines:
        of = runs.setdefault((line["case"], line["variant"]), [{}, {}])[int(line["run"]) - 1]
        for name, value in line.items():
            if name not in ("case", "variant", "run", "kernel", "grid", "block"):
                of[name] = of.get(name, 0) + int(value)
    return runs


def counted_of(program, runs):
    """{(case, variant): {column: value}}"""
    found = {}
    for case in dict.fromkeys(case for case, _ in runs):
        variants = "|".join(variant for at, variant in runs if at == case)
        for line in counted(program, ["--case", case, "--variant", f"^({variants})$"]).splitlines():
            words = line.split()
            if len(words) == len(COLUMNS) + 1 and words[1].isdigit():
                of = found[case, words[0]] = dict(zip(COLUMNS, (float(word) for word in words[1:])))
                of["load_sectors"] += of["copy_sectors"]
    return found


def agrees(ours, theirs):
    return abs(ours - theirs) <= AGREE * max(ours, theirs)


def cell(ours, theirs):
    return f"{ours:.0f}" if ours == theirs else f"{ours:.0f} / **{theirs}**" if not agrees(ours, theirs) \
        else f"{ours:.0f} / {theirs}"


def spread(ours, first, second):
    """Conflicts: their number changes from launch to launch where they come of what else the memory does."""
    low, high = sorted((first, second))
    theirs = f"{low}" if low == high else f"{low} to {high}"
    return f"{ours:.0f} / {theirs}" if str(int(ours)) != theirs else theirs


def comparison(program):
    runs = measured()
    found = counted_of(program, runs)
    agree = sum(all(agrees(found[key][name], run[0][name]) for name, _ in COMPARISON) for key, run in runs.items()
                if key in found)
    calm = sum(run[0][name] == found[key][name] for key, run in runs.items() if key in found
               for name in ("load_conflicts", "store_conflicts"))
    lines = ["# Counted on the host device, measured on an H100", "",
             "Made by `scripts/host_counts.py compare`, of `ncu_counts.csv` (Nsight Compute 2025.3.1 on an NVIDIA H100 80GB HBM3, each",
             "variant launched twice by `normquant validate`) and what `normquant-watched counts` says of the same problems. One number: both",
             "the same. Two: host device / H100, in bold where they differ by more than 1%. docs/races.md says why some do.", "",
             f"{agree} of {len(runs)} rows agree to 1% in all columns but those of bank conflicts; {calm} of {2 * len(runs)} numbers of",
             "conflicts are the same, the others are ranges over two launches of one kernel.", ""]
    for case in dict.fromkeys(case for case, _ in runs):
        lines += [f"`{case}`", "", "| variant | " + " | ".join(text for _, text in COMPARISON) +
                  " | conflicts of loads | of stores |", "| --- |" + " ---: |" * (len(COMPARISON) + 2)]
        for key, (first, second) in runs.items():
            if key[0] != case:
                continue
            if key not in found:
                fail(1, f"{program} counted nothing for {key[1]} on {case}")
            ours = found[key]
            cells = [cell(ours[name], first[name]) for name, _ in COMPARISON]
            cells += [spread(ours[name], first[name], second[name]) for name in ("load_conflicts", "store_conflicts")]
            lines.append(f"| {key[1]} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def main(arguments):
    if arguments and arguments[0] in ("--help", "-h"):
        print(__doc__)
        return
    if len(arguments) != 2 or arguments[0] not in ("write", "check", "compare", "check-compare"):
        fail(2, "needs write, check, compare or check-compare, and the program; --help says more")
    what, program = arguments
    if what == "write":
        COUNTS.write_text(counted(program), encoding="utf-8")
    elif what == "check":
        check(COUNTS, counted(program), f"scripts/host_counts.py write {program}")
    elif what == "compare":
        COMPARED.write_text(comparison(program), encoding="utf-8")
    else:
        check(COMPARED, comparison(program), f"scripts/host_counts.py compare {program}")


main(sys.argv[1:])
