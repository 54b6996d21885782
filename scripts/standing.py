#!/usr/bin/env python3
"""Where the kernels stand: a Markdown table of record files, one row a case, against the copy, the targets and Triton.

    scripts/standing.py [--triton seed.jsonl] RECORDS... > standing.md

RECORDS are files of `normquant bench --out`, best of the sweep `standing`, which holds every case with a target; the
first file with a case wins. seed.jsonl is that of the Triton baseline's bench_seed.py. Needs Python 3 and nothing else.
Ends with status 2, and a sentence, when a file cannot be read or is no record file.
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
TRITON_MEANS = {"norm_quant_forward": 1.3, "norm_quant_backward": 2.0}
MB = 1e6
SMALL = 2.2 * MB  # "below 2 MB" includes 128 x 4096, which moves 2.1 MB
ELEMENT_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
CLIFF = "N just above a power of two or a tile"
NEEDED = ["op", "variant", "auto_variant", "shape", "rows", "columns", "dtype", "form", "verdict"]
NEEDED_OF_PASSED = ["bytes", "median_us"]
LEGEND = """
us: median of the fastest variant that passed, which the targets judge. of copy: the time of the fastest plain copy of
the same bytes over it. The bytes of `weight_quant` are here those of its output and of the matrix, read once where the
L2 holds it, else twice; its copy was timed with the matrix counted once, and its time is scaled linearly for the second
reading. auto: what the library itself chose when this was timed; slower: by how much than the best variant."""


def fail(sentence):
    print(f"standing.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def read_lines(path):
    """The JSON objects of a file, one a line."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    if not all(isinstance(line, dict) for line in lines):
        fail(f"{path}: a line is not a record")
    return lines


def read_timings(path):
    """The timing records of a file, each with the L2 size of its GPU (0: not known) as `l2_bytes`."""
    l2_bytes, timings = 0, []
    for record in read_lines(path):
        if record.get("kind") == "environment":
            l2_bytes = (record.get("gpu") or {}).get("l2_bytes") or 0
        elif record.get("kind") == "timing":
            needed = NEEDED + (NEEDED_OF_PASSED if record.get("verdict") == "pass" else [])
            missing = [key for key in needed if key not in record]
            if missing:
                fail(f"{path}: a timing has no {missing[0]}")
            timings.append({**record, "l2_bytes": l2_bytes})
    return timings


def case_of(record):
    return record["op"], record["shape"], record["dtype"], record["form"]


def read_records(paths):
    """({case: its timings that passed}, sentences about the others that a reader should know)."""
    passed, seen, failed = {}, {}, []
    for path in paths:
        cases = {}
        for record in read_timings(path):
            seen[case_of(record)] = None
            if record["verdict"] == "pass":
                cases.setdefault(case_of(record), []).append(record)
            elif record["verdict"] != "skipped":
                failed.append(f"{' '.join(case_of(record))} {record['variant']}")
        if not cases:
            fail(f"{path}: it holds no timing that passed")
        for case, timings in cases.items():
            passed.setdefault(case, timings)
    unserved = [" ".join(case) for case in seen if case not in passed]
    notes = [f"Wrong, or ended in an error: {', '.join(failed)}."] if failed else []
    return passed, notes + ([f"No variant passed: {', '.join(unserved)}."] if unserved else [])


def read_triton(path):
    """{case: microseconds} of bench_seed.py's lines."""
    times = {}
    for line in read_lines(path) if path else []:
        whole = {"M", "N", "dtype", "us"} <= line.keys()
        if line.get("impl") != "triton" or line.get("op") not in TRITON_FORMS or not whole:
            fail(f"{path}: a line is not bench_seed.py's")
        operation, form = TRITON_FORMS[line["op"]]
        times[(operation, f"{line['M']}x{line['N']}", line["dtype"], form)] = line["us"]
    return times


def choice_of_auto(timings):
    """The variant that auto chose, as its own record says where there is one, and its microseconds; None where it was not
    timed."""
    chosen = next((t for t in timings if t["variant"] == "auto"), timings[0])["auto_variant"]
    return chosen, min((t["median_us"] for t in timings if t["variant"] in ("auto", chosen)), default=None)


def traffic(record):
    """Bytes that must be moved; see LEGEND for weight_quant, whose records count the matrix once."""
    matrix = record["rows"] * record["columns"] * ELEMENT_BYTES[record["dtype"]]
    read_again = record["op"] == "weight_quant" and matrix > record["l2_bytes"]
    return record["bytes"] + (matrix if read_again else 0)


def share_of_copy(record):
    """0 where no copy was timed."""
    return (record.get("copy_us") or 0) * traffic(record) / record["bytes"] / record["median_us"]


def neighbour_of(columns):
    """The N that an N just above a power of two or a tile is compared with; None for other N."""
    if columns in (5120, 11008):
        return 8192
    return 2 ** round(math.log2(columns)) if columns % 2 == 1 and columns > 1 else None


def target_of(record, best):
    """(class of target, what is asked, whether it is met) of a best record; None where nothing is asked. `best` has the
    best records of all cases, for the targets that compare two."""
    op, _, dtype, form = case_of(record)
    rows, columns, us = record["rows"], record["columns"], record["median_us"]
    size, share = traffic(record), share_of_copy(record)
    if share == 0 or op == "activation_quant":
        return None

    def at_least(least, name):
        return name, f"{least:.0%}", share >= least

    if op == "weight_quant":
        return at_least(0.90, "weight_quant, 16 MB and more") if size >= 16 * MB else None
    if form == "rms+unaligned":
        aligned = best.get((*case_of(record)[:3], "rms"))
        return aligned and ("unaligned pointers", "60% of aligned", aligned["median_us"] >= 0.6 * us)
    if neighbour_of(columns):
        shape = f"{rows}x{neighbour_of(columns)}"
        beside = best.get((op, shape, dtype, form))
        return beside and (CLIFF, f"90% of {shape}", share >= 0.9 * share_of_copy(beside))
    if op == "norm_quant_backward":
        if rows <= 16 and columns == 4096:
            return "backward, 1 to 16 rows of 4096", "3.5 us", us <= 3.5
        if size >= 64 * MB:
            return at_least(0.90, "backward, 64 MB and more")
        return at_least(0.75, "backward, 8 to 64 MB") if size >= 8 * MB else None
    if rows <= 16 and columns >= 32768:
        return at_least(0.80, "few rows, long N, above 4 MB") if size > 4 * MB else None
    usual = (dtype, form) == ("bfloat16", "rms")
    other = form if form != "rms" else dtype  # a class of its own, whatever the size
    if size < SMALL:
        return f"forward, {'below 2 MB' if usual else other}", "1.4 x copy", us <= 1.4 * record["copy_us"]
    if size < 32 * MB:
        return at_least(0.88, f"forward, {'2 to 32 MB' if usual else other}")
    return at_least(0.95, f"forward, {'32 MB and more' if usual else other}")


def print_row(*cells):
    print("| " + " | ".join(cells) + " |")


def print_table(passed, best, triton):
    print_row("operation", "shape", "type", "form", "best variant", "us", "of copy", "target", "met", "auto", "slower",
              "Triton us", "Triton / best")
    print_row("---", "---:", "---", "---", "---", "---:", "---:", "---", "---", "---", "---:", "---:", "---:")
    for case, record in best.items():
        us, theirs = record["median_us"], triton.get(case)
        chosen, auto = choice_of_auto(passed[case])
        share, target = share_of_copy(record), target_of(record, best)
        best_variant = record["auto_variant"] if record["variant"] == "auto" else record["variant"]
        print_row(*case, best_variant, f"{us:.2f}", f"{share:.1%}" if share else "",
                  target[1] if target else "", ("met" if target[2] else "missed") if target else "",
                  chosen, f"{auto / us - 1:.1%}" if auto else "not timed",
                  f"{theirs:.2f}" if theirs else "", f"{theirs / us:.2f}" if theirs else "")
    print(LEGEND)


def print_targets(best):
    classes = {}  # {class: [met, asked]}
    for record in best.values():
        target = target_of(record, best)
        if target:
            count = classes.setdefault(target[0], [0, 0])
            count[0] += target[2]
            count[1] += 1
    print()
    print_row("target", "met", "asked")
    print_row("---", "---:", "---:")
    for name, (met, asked) in sorted(classes.items()):
        print_row(name, str(met), str(asked))
    print_row("all", *(str(sum(counts)) for counts in zip((0, 0), *classes.values())))


def print_triton(best, triton):
    for operation, asked in TRITON_MEANS.items():
        ratios = [us / best[case]["median_us"] for case, us in triton.items() if case in best and case[0] == operation]
        if not ratios:
            continue
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"\nTriton / best, {operation}: geometric mean {mean:.2f} (asked {asked}: "
              f"{'met' if mean >= asked else 'missed'}), least {min(ratios):.2f}, {len(ratios)} cases; "
              f"not faster than Triton in {sum(ratio <= 1 for ratio in ratios)}.")
    untimed = sum(case not in best for case in triton)
    if untimed:
        print(f"\n{untimed} cases of the Triton system are not among the records.")


def print_auto(passed, best):
    times = {case: choice_of_auto(passed[case])[1] for case in best}
    regrets = {case: times[case] / record["median_us"] - 1 for case, record in best.items() if times[case]}
    if regrets:
        worst = max(regrets, key=regrets.get)
        print(f"\nauto is slower than the best by {sum(regrets.values()) / len(regrets):.2%} in the mean of "
              f"{len(regrets)} cases and {regrets[worst]:.1%} at worst ({' '.join(worst)}).")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+")
    parser.add_argument("--triton")
    arguments = parser.parse_args()
    triton = read_triton(arguments.triton)
    passed, notes = read_records(arguments.records)
    best = {case: min(timings, key=lambda timing: timing["median_us"]) for case, timings in passed.items()}
    print_table(passed, best, triton)
    print_targets(best)
    print_triton(best, triton)
    print_auto(passed, best)
    for note in notes:
        print(f"\n{note}")


if __name__ == "__main__":
    main()
