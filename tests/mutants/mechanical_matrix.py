#!/usr/bin/env python3
"""The committed matrix of mechanical mutants, from what `normquant-mutants run` found of them (docs/mutants.md).

    mechanical_matrix.py --sites FILE --run FILE... --found FILE... [--judged FILE] --out DIR

--sites: all of them, as `mechanical.py sites` writes them; --run: those that were planted; --found: findings. Judged: the
survivors that somebody looked at, a line each: name, one of `equivalent`, `gpu`, `hole`, and why. Writes
mechanical.csv (a line a mutant) and mechanical.md (counts, and every survivor with what was said of it) into --out.
Status 1 when a survivor is not judged, or --judged names a mutant that is caught or is no longer there: take it out.
"""
import argparse
import collections
import csv
import json
import pathlib
import sys

VERDICTS = {"equivalent": "equivalent", "gpu": "GPU only", "hole": "hole"}


def records(paths):
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def judged(path):
    """{name: (verdict, why)}"""
    found = {}
    for number, line in enumerate(path.read_text().splitlines() if path and path.exists() else [], 1):
        if not line or line.startswith("#"):
            continue
        name, verdict, why = line.split(maxsplit=2)
        if verdict not in VERDICTS or name in found:
            raise ValueError(f"{path}:{number}: '{line}' is not 'name verdict why' for a mutant of its own")
        found[name] = (VERDICTS[verdict], why)
    return found


def outcomes(mutants, findings, said):
    """Of each mutant a row of the matrix."""
    of = collections.defaultdict(dict)
    for finding in findings:
        of[finding["mutant"]][finding["suite"]] = finding
    rows = []
    for mutant in mutants:
        row = {"mutant": mutant["name"], "outcome": "", "suite": "", "check": "", "variant": "", "problem": "",
               "file": mutant["file"].removeprefix("kernels/"), "line": mutant["line"], "kind": mutant["kind"]}
        by_suite = of[mutant["name"]]
        caught = next((by_suite[s] for s in ("smoke", "standard") if by_suite.get(s, {}).get("caught")), None)
        if not mutant.get("compiles", True):
            row["outcome"] = "does not compile"
        elif caught:
            row.update(outcome="caught", suite=caught["suite"], check=caught["check"], variant=caught["variant"],
                       problem=caught["problem"])
        elif by_suite:
            row["check"] = list(by_suite.values())[-1]["check"]  # "not reached", "cut short", or nothing
            row["outcome"] = said.get(mutant["name"], ("not judged",))[0]
        else:
            continue  # not run
        rows.append(row)
    return rows


def one_line(text):
    text = " ".join(text.split()).replace("|", "\\|")
    return "`" + (text if len(text) <= 70 else text[:66] + " ...") + "`" if text else "(nothing)"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def share(rows):
    counts = collections.Counter(row["outcome"] for row in rows)
    suites = collections.Counter(row["suite"] for row in rows if row["outcome"] == "caught")
    run = sum(counts.values()) - counts["does not compile"]
    owed = run - counts["equivalent"] - counts["GPU only"]
    return [run, suites["smoke"], counts["caught"], f"{100 * counts['caught'] / max(owed, 1):.1f}%", counts["equivalent"],
            counts["GPU only"], counts["hole"] + counts["not judged"]]


COLUMNS = ["run", "caught by smoke", "caught", "of those owed", "equivalent", "a GPU only", "missed"]


def page(rows, mutants, said, made):
    by_name = {mutant["name"]: mutant for mutant in mutants}
    text = ("# Mechanical mutants\n\nOne small change at a place of kernels/, made without a look at the suites, and what "
            "`smoke`, then `standard` said on the host device. Made by tests/mutants/mechanical_matrix.py; docs/mutants.md "
            f"describes both. {made} changes are possible today.\n\n")
    kinds = sorted({row["kind"] for row in rows})
    text += table(["kind", *COLUMNS], [[kind, *share([r for r in rows if r["kind"] == kind])] for kind in kinds]
                  + [["**all**", *share(rows)]])
    folders = sorted({row["file"].split("/")[0] for row in rows})
    text += "\n" + table(["where", *COLUMNS],
                         [[folder, *share([r for r in rows if r["file"].split("/")[0] == folder])] for folder in folders])
    for verdict, title in (("not judged", "Missed, and not judged yet"), ("hole", "Holes"), ("GPU only", "A GPU only"),
                           ("equivalent", "Equivalent")):
        some = [row for row in rows if row["outcome"] == verdict]
        if not some:
            continue
        text += f"\n## {title}\n\n"
        reasons = collections.defaultdict(list)
        for row in some:
            reasons[said.get(row["mutant"], ("", row["check"] or "passes"))[1]].append(row)
        for why, of_why in sorted(reasons.items(), key=lambda item: -len(item[1])):
            text += f"- {why}:\n"
            for row in of_why:
                mutant = by_name[row["mutant"]]
                text += (f"  - {row['mutant']} {row['file']}:{row['line']} {one_line(mutant['production'])} becomes "
                         f"{one_line(mutant['planted'])}\n")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, many in (("--sites", None), ("--run", "+"), ("--found", "+"), ("--out", None)):
        parser.add_argument(name, type=pathlib.Path, nargs=many, required=True)
    parser.add_argument("--judged", type=pathlib.Path)
    options = parser.parse_args()
    mutants, said = records(options.run), judged(options.judged)
    rows = outcomes(mutants, records(options.found), said)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "mechanical.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (options.out / "mechanical.md").write_text(page(rows, mutants, said, len(records([options.sites]))))
    print(", ".join(f"{value} {name}" for name, value in zip(COLUMNS, share(rows))))
    survivors = {row["mutant"] for row in rows if row["outcome"] not in ("caught", "does not compile")}
    stale = sorted(set(said) - survivors)
    for name in stale:
        print(f"mechanical_matrix.py: {name} is judged, and is caught or not there", file=sys.stderr)
    return 1 if stale or any(row["outcome"] == "not judged" for row in rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as failure:
        print(f"mechanical_matrix.py: {failure}", file=sys.stderr)
        sys.exit(2)
