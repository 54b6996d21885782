#!/usr/bin/env python3
"""The committed matrix of mechanical mutants, from what `normquant-mutants run` found of them (docs/mutants.md).

    mechanical_matrix.py --sites FILE --run FILE... --found FILE... [--again FILE] [--judged FILE] [--about TEXT...] --out DIR

--sites: all of them, as `mechanical.py sites` writes them; --run: those that were planted; --found: findings, of unit tests too;
--again: findings of the very cases that caught each, run once more; --about: facts of the run ("commit 1234567"), which both
files begin with. --judged: the survivors that somebody looked at, a line each: name, one of `equivalent`, `gpu`, `hole`, and why.
Writes mechanical.csv (a line a mutant) and mechanical.md (counts, and every survivor with what was said of it) into --out.
Status 1 when a survivor is not judged, or --judged names a mutant that is caught or is no longer there: take it out.
"""
import argparse
import collections
import csv
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from wrap_prose import wrapped  # noqa: E402

SUITES = ("smoke", "standard", "tests")
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


def outcomes(mutants, findings, again, said):
    """Of each mutant a row of the matrix."""
    of = collections.defaultdict(dict)
    for finding in findings:
        before = of[finding["mutant"]].get(finding["suite"])
        if before is None or finding["caught"]:  # a further run may catch what limits cut short
            of[finding["mutant"]][finding["suite"]] = finding
    steady = {finding["mutant"] for finding in again
              if finding["caught"] and finding["check"] not in ("crash", "hang") and finding["seconds"] < 5}
    rows = []
    for mutant in mutants:
        row = {"mutant": mutant["name"], "outcome": "", "suite": "", "check": "", "again": "", "variant": "", "problem": "",
               "file": mutant["file"].removeprefix("kernels/"), "line": mutant["line"], "kind": mutant["kind"]}
        by_suite = of[mutant["name"]]
        caught = next((by_suite[s] for s in SUITES if by_suite.get(s, {}).get("caught")), None)
        if not mutant.get("compiles", True):
            row["outcome"] = "does not compile"
        elif caught:
            row.update(outcome="caught", suite=caught["suite"], check=caught["check"], variant=caught["variant"],
                       problem=caught["problem"], again="yes" if mutant["name"] in steady else "")
        elif by_suite:
            row["check"] = by_suite.get("standard", by_suite.get("smoke", {})).get("check", "")  # "not reached", or nothing
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
    owed = max(run - counts["equivalent"] - counts["GPU only"], 1)
    by_suites = suites["smoke"] + suites["standard"]
    return [run, suites["smoke"], suites["standard"], suites["tests"], counts["equivalent"], counts["GPU only"], counts["hole"],
            counts["not judged"], f"{100 * by_suites / owed:.1f}%", f"{100 * counts['caught'] / owed:.1f}%"]


COLUMNS = ["run", "caught by smoke", "by standard", "by unit tests", "equivalent", "a GPU only", "holes", "not judged",
           "the suites' share of those owed", "with unit tests"]


def table_by(rows, name, of):
    """A line for each value of `of`, and one for all."""
    values = sorted({of(row) for row in rows})
    return table([name, *COLUMNS], [[value, *share([row for row in rows if of(row) == value])] for value in values]
                 + [["**all**", *share(rows)]]) + "\n"


def page(rows, mutants, said, made, about):
    by_name = {mutant["name"]: mutant for mutant in mutants}
    refused = sum(row["outcome"] == "does not compile" for row in rows)
    text = ("# Mechanical mutants\n\nOne small change at a place of kernels/, made without a look at the suites, and what "
            "`smoke`, then `standard`, then the unit tests of choice and contracts said on the host device. Made by "
            f"tests/mutants/mechanical_matrix.py; docs/mutants.md describes it. {made} changes are possible today. {len(rows)} were "
            f"drawn, and the compiler refuses {refused} of them. Those owed are neither equivalent nor for a GPU only.\n\n")
    text += "".join(f"- {fact}\n" for fact in about) + ("\n" if about else "")
    text += table_by(rows, "code", lambda row: "kernels (.cu, .cuh)" if row["file"].endswith((".cu", ".cuh")) else "host code")
    text += table_by(rows, "kind", lambda row: row["kind"])
    text += table_by(rows, "where", lambda row: row["file"].split("/")[0])
    checks = collections.Counter(row["check"] if row["check"] in ("crash", "hang", "error") or row["suite"] == "tests"
                                 else "a case" for row in rows if row["outcome"] == "caught" and row["suite"] != "tests")
    text += ("Of those that the suites catch, " + ", ".join(f"{count} show by {check if check == 'a case' else 'a ' + check}"
                                                            for check, count in checks.most_common())
             + f". {sum(row['again'] == 'yes' for row in rows)} were caught a second time by the same case alone; CI draws from these.\n")
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
    text += "\n## By file\n\n" + table_by(rows, "file", lambda row: row["file"])
    return text.rstrip("\n") + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, many in (("--sites", None), ("--run", "+"), ("--found", "+"), ("--out", None)):
        parser.add_argument(name, type=pathlib.Path, nargs=many, required=True)
    parser.add_argument("--again", type=pathlib.Path)
    parser.add_argument("--judged", type=pathlib.Path)
    parser.add_argument("--about", nargs="*", default=[])
    options = parser.parse_args()
    mutants, said = records(options.run), judged(options.judged)
    again = records([options.again]) if options.again and options.again.exists() else []
    rows = outcomes(mutants, records(options.found), again, said)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "mechanical.csv").open("w", newline="") as file:
        file.writelines(f"# {fact}\n" for fact in options.about)
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = page(rows, mutants, said, len(records([options.sites])), options.about)
    (options.out / "mechanical.md").write_text(wrapped(text))
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
